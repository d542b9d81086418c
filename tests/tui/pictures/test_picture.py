"""A picture that is squeezed, colourless or damaged tells a student something false, or takes the screen down."""

import itertools

import numpy as np
import pytest

from engine.pictures import KINDS, Picture
from tests.helpers import made_pictures
from tests.helpers.contrast import ratio
from tui.pictures import frame
from tui.pictures import pixels as pixels_of
from tui.pictures.canvas import Palette, PictureCanvas, pack
from tui.pictures.layer_histograms import of_layer
from tui.pictures.picture import DRAW, draw, svg

PLAIN = Palette(shades=False, unicode=False)
SIZES = [(30, 10), (48, 12), (76, 20), (116, 36), (196, 56)]


def text(kind: str, width: int, height: int, palette: Palette = PLAIN, **changed: object) -> str:
    return "\n".join(draw(made_pictures.of(kind, **changed), width, height, palette).plain())


def test_every_kind_of_the_engine_can_be_drawn() -> None:
    assert (
        set(DRAW) - {"walk", "graph", "sample", "histogram", *made_pictures.MADE_HERE}
        == set(KINDS)
        == set(made_pictures.KINDS)
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*made_pictures.KINDS, *made_pictures.MADE_HERE])
def test_a_picture_fills_exactly_its_cells_on_every_terminal(kind: str) -> None:
    """A line too long breaks the border beside it."""
    palettes = [Palette(*flags) for flags in itertools.product((True, False), repeat=3)]
    for (width, height), palette in itertools.product([*SIZES, (16, 4), (5, 2), (1, 1), (0, 0)], palettes):
        canvas = draw(made_pictures.of(kind), width, height, palette)
        strips = canvas.strips()
        assert [strip.cell_length for strip in strips] == [width] * height
        for strip in strips:
            assert sum(segment.cell_length for segment in strip) == width
            assert palette.unicode or strip.text.isascii()
            if not palette.shades:
                assert all(not s.style or s.style.bgcolor is None for s in strip)


def test_a_decision_boundary_without_colours() -> None:
    assert text("boundary", 40, 11).splitlines() == [
        "height  A cat  B dog      capital: train",
        "4+                   ...................",
        " |                   ...................",
        " |       a           .........b.........",
        " |                   ...................",
        "2+                   ...................",
        " |                   ...................",
        " |         A         .........B.........",
        "0+                   ...................",
        " ++--------+---------+--------+--------+",
        "-1.0     -0.5       0.0      0.5   width",
    ]


def test_a_decision_boundary_has_each_class_in_its_own_colour_and_shape() -> None:
    canvas = draw(made_pictures.of("boundary"), 48, 12, Palette())
    rows = canvas.plain()
    assert rows[0].startswith("height  ● cat  ▲ dog")
    assert "".join(rows[1:]).count("●") == "".join(rows[1:]).count("▲") == 1  # filled: train
    assert "".join(rows).count("○") == "".join(rows).count("△") == 1  # hollow: validation
    back = [segment.style.bgcolor for segment in canvas.strips()[5] if segment.style and segment.style.bgcolor]
    left, right = back[0].triplet, back[-1].triplet
    assert left is not None
    assert right is not None
    assert left.blue > left.red  # cats are blue, dogs orange
    assert right.red > right.blue


def test_a_fitted_curve() -> None:
    assert text("fit", 48, 12, Palette(shades=False)).splitlines() == [
        "y  ━ model  • train  ○ validation",
        "1.0┤                                       ⢀⣀⡤⠔⠚",
        "   │                                   ⣀⠤⠖⠚⠉",
        "   │                             ⢀⣠⠤⠖⠊⠉",
        "   │        •               ⢀⣀⠤⠒⠊⠉",
        "0.5┤                   ⢀⣠⠤⠖⠋⠁",
        "   │              ⣀⡠⠤⠒⠉⠁",
        "   │         ⣀⡠⠴⠒⠋⠁",
        "   │    ⣀⡤⠴⠒⠉                          ○",
        "0.0┤⡤⠔⠚⠉⠁",
        "   └┬─────────────────────┬────────────────────┬",
        "   0.0                   0.5                   x",
    ]


def test_a_curve_of_straight_pieces_is_marked_where_it_bends() -> None:
    rows = text("fit", 60, 12, Palette(shades=False), kinks=np.array([0.3, 0.6])).splitlines()
    assert "◆ 3 straight pieces" in rows[0]
    assert "".join(rows[1:]).count("◆") == 2
    assert "+ 1 straight piece " in text("fit", 60, 12, kinks=np.zeros(0))


def test_a_curve_that_runs_away_leaves_its_points_in_sight() -> None:
    y = np.linspace(0, 1e6, 50)[:, None]
    assert "•" in text("fit", 48, 12, Palette(), y=y)
    text("fit", 48, 12, Palette(), y=np.full((50, 1), np.nan))


def test_the_loss_surface_shows_where_the_run_began_is_and_could_be() -> None:
    drawn = text("surface", 60, 16, Palette(shades=False))
    start, now, lowest = (drawn.index(sign, drawn.index("\n")) for sign in "○●×")
    assert lowest < now < start  # further up is a larger bias
    assert "⠉" in drawn or "⠒" in drawn  # the path
    assert "checkpoints" not in drawn
    assert "path: checkpoints" in text("surface", 80, 16, Palette(), path_source="checkpoints")


def test_a_confusion_matrix_with_wide_names() -> None:
    assert text("confusion", 40, 11, Palette(shades=False)).splitlines() == [
        "88.3% of 60 validation samples correct",
        "true      cat     dog    고양이 recall",
        "",
        "   cat     18       ·       2      90%",
        "",
        "",
        "   dog      ·      20       ·     100%",
        "",
        "",
        "고양이      5       ·      15      75%",
    ]


def test_a_confusion_matrix_of_many_classes_names_the_worst_pairs() -> None:
    counts = np.eye(100, dtype=int) * 9
    counts[3, 7] = 4
    names = [f"class {i}" for i in range(100)]
    assert "4  class 3 → class 7" in text("confusion", 120, 30, Palette(), counts=counts, classes=names)
    assert "4  class 3 → class 7" in text("confusion", 40, 12, Palette(), counts=counts, classes=names)


def test_the_worst_mistakes_say_what_was_taken_for_what() -> None:
    rows = text("mistakes", 48, 12, Palette()).splitlines()
    assert "true 4             true 3" in rows
    assert "predicted 9 (98%)  predicted 8 (90%)" in rows
    assert text("mistakes", 48, 12, mistakes=0, images=np.empty((0, 1, 8, 8))).startswith("0 mistakes in 180")


def test_large_images_are_made_small_and_a_table_has_rows() -> None:
    large = np.random.default_rng(0).integers(0, 255, (3, 3, 224, 180), dtype=np.uint8)
    assert "predicted 9" in text("mistakes", 76, 20, Palette(), images=large)
    made = made_pictures.of("mistakes", rows=[[5.1, 3.5], [12.0, 0.25], [1.0, 2.0]], columns=["length", "width"])
    table = Picture("mistakes", 1, {name: value for name, value in made.arrays.items() if name != "images"})
    rows = draw(table, 50, 8, PLAIN).plain()
    assert rows[2:5] == [
        "true  predicted  confidence  length  width",
        "4     9          98%          5.10   3.50",
        "3     8          90%         12.0    0.250",
    ]


def test_shrinking_an_image_keeps_its_mean() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (28, 28, 3), dtype=np.uint8)
    small = pixels_of.resized(pixels, 12, 10)
    assert small.shape == (12, 10, 3)
    assert small.mean() == pytest.approx(pixels.mean(), abs=1)


def test_histograms_stand_between_their_least_and_largest_values() -> None:
    assert text("weights", 40, 11).splitlines() == [
        "weights by layer, without zeros",
        "hidden1                mean 0  std 0.400",
        "               @@@@@@@@@@",
        ".....=====@@@@@@@@@@@@@@@@@@@@=====.....",
        "-1.00               0               1.00",
        "",
        "head    mean -0.100  std 0.100  zero 25%",
        "               @@@@@",
        "               @@@@@.....          .....",
        "-0.500                    0        0.250",
    ]


def test_a_net_of_many_layers_has_a_line_for_each() -> None:
    many = {
        "layers": [f"block{i}.conv" for i in range(30)],
        "kinds": ["conv"] * 30,
        "counts": np.ones((30, 8), int),
        "edges": np.tile(np.linspace(-1, 1, 9), (30, 1)),
        **{name: np.zeros(30) for name in ("zeros", "mean", "std", "non_finite")},
    }
    rows = text("gradients", 60, 20, **many).splitlines()
    assert rows[1].startswith("block0.conv")
    assert rows[-1] == "12 more layers on a taller screen"


@pytest.mark.parametrize("kind", made_pictures.KINDS)
def test_a_file_of_another_version_is_said_to_be_damaged(kind: str) -> None:
    assert "can't be drawn" in draw(Picture(kind, 1, {}), 80, 20, PLAIN).plain()[0]


def test_names_from_files_are_no_markup_and_drive_no_terminal() -> None:
    names = ["[red]a[/]", "\x1b[31mb", "c\u202e"]
    rows = text("confusion", 76, 12, Palette(), classes=names)
    assert "[red]a[/]" in rows
    assert "\x1b" not in rows
    assert "\u202e" not in rows
    assert "[red]a" in svg(draw(made_pictures.of("confusion", classes=names), 76, 12, Palette()), "x").replace(
        "&#160;", " "
    )


def test_two_pixels_are_one_cell_and_a_character_over_them_keeps_their_mean() -> None:
    canvas = PictureCanvas(2, 1, Palette())
    canvas.image(0, 0, np.array([[[200, 0, 0]] * 2, [[0, 0, 100]] * 2], dtype=np.uint8))
    assert canvas.plain() == ["▀▀"]
    canvas.mark(1, 0, "●")
    assert canvas.plain() == ["▀●"]
    last = list(canvas.strips()[0])[-1].style
    assert last is not None
    assert last.bgcolor is not None
    assert last.bgcolor.triplet == (100, 0, 50)
    assert pack((1, 2, 3)) == 0x010203


def test_values_are_interpolated_where_they_lie() -> None:
    """A boundary drawn beside its place would put points on the wrong side."""
    x, y = np.linspace(0, 10, 11), np.linspace(0, 5, 6)
    values = x[None, :] + 100 * y[:, None]
    found = frame.resample(values, x, y, np.array([2.5, 10.0]), np.array([4.25, 0.0]))
    assert found == pytest.approx(np.array([[427.5, 435.0], [2.5, 10.0]]))


def test_filters_that_have_no_room_are_on_the_next_page_and_their_scale_is_said() -> None:
    """A student would see 6 of 64 filters, and not know of the others, nor what the colours mean."""
    drawn = np.random.default_rng(0).uniform(-1, 1, (64, 1, 28, 28))
    many = made_pictures.of("filters", filters=drawn, scale=np.linspace(0.1, 0.5, 64), of=64)
    first = draw(many, 54, 19, PLAIN)
    assert first.seen is not None
    shown = first.seen[0]
    assert f"1-{shown} of 64" in "\n".join(first.plain())
    assert "+  maximum 0.100 to " in "\n".join(first.plain())
    second = draw(many, 54, 19, PLAIN, first=shown)
    assert f"{shown + 1}-{2 * shown} of 64" in "\n".join(second.plain())
    assert first.plain()[2:] != second.plain()[2:]


def test_one_layer_of_the_histograms_of_all() -> None:
    """The layer screen would show another layer's weights."""
    both = made_pictures.of("weights")
    alone = of_layer(both, "head")
    assert alone is not None
    lines = draw(alone, 60, 12, PLAIN).plain()
    assert lines[0] == "mean -0.100  std 0.100  zero 25%"
    assert lines[-1].startswith("-0.500")
    assert lines[-1].endswith("0.250")
    assert len(lines) == 12
    assert all(line.strip() for line in lines)
    assert of_layer(both, "dropout") is None


def test_numbers_that_spread_are_seen_to_spread_and_a_gap_is_a_gap() -> None:
    """A student would look for the step from which weights grow at the wrong place."""
    lines = text("over-time", 50, 14).splitlines()
    rows = np.array([list(line.ljust(50)) for line in lines[:12]])
    inside = rows[:, lines[0].index("|" if "|" in lines[0] else "+") + 1 :]
    heights = (inside != " ").sum(axis=0)
    assert 0 < heights[0] < 0.7 * heights[-1]
    assert (heights == 0).sum() == pytest.approx(inside.shape[1] / 9, abs=1)  # one of the steps
    assert any(line.strip().startswith("0") for line in lines[1:-1])
    assert lines[-1].split() == ["0", "200", "400", "600", "800"]
    nothing = np.full((10, 33), np.nan)
    assert text("over-time", 50, 14, values=nothing).strip() == "Nothing measured."


def test_a_matrix_of_weights_has_its_outputs_as_rows_and_its_signs_as_colours() -> None:
    plain = text("matrix", 30, 5).splitlines()
    assert plain[0] == "@" * 10 + " " * 10 + "@" * 10
    assert plain[3] == " " * 10 + "+" * 10
    assert plain[4] == "0.250" + "2 outputs x 3 inputs".rjust(25)
    strip = draw(made_pictures.of("matrix"), 30, 5, Palette()).strips()[0]
    colours = [segment.style.bgcolor.triplet for segment in strip if segment.style and segment.style.bgcolor]
    assert colours[0].red > colours[0].blue
    assert colours[-1].blue > colours[-1].red


def test_the_largest_weight_stands_for_its_neighbours() -> None:
    """A matrix larger than the screen would look as if all its weights were 0."""
    many = np.zeros((64, 64))
    many[33, 40] = -1.0
    assert "".join(draw(made_pictures.of("matrix", matrix=many), 16, 6, PLAIN).plain()[:5]).strip() == "@"


def test_the_ways_of_optimizers_have_letters_rates_and_the_run_s_own_on_top() -> None:
    """Without colours nobody could tell one way from another."""
    drawn = text("paths", 60, 16).splitlines()
    assert drawn[1].startswith("A GD 0.5  B Adam 0.05")
    below = "\n".join(drawn[2:])
    assert below.count("A") == below.count("B") == 1
    assert below.count("*") >= 1  # where the run is
    narrow = text("paths", 18, 16, rates=[0.123456, 12.5]).splitlines()
    assert [line.strip() for line in narrow[1:3]] == ["A GD 0.1235", "B Adam 12.5"]
    lost = np.full((2, 11, 2), np.nan)
    lost[:, 0] = 0.0
    assert "can't be drawn" not in text("paths", 60, 16, ways=lost)


@pytest.mark.parametrize("palette", [Palette(), Palette(dark=False, ground=(252, 252, 250), text=(28, 32, 38))])
def test_the_ways_of_optimizers_can_be_seen_on_the_map(palette: Palette) -> None:
    """A yellow way on a yellow plateau is none."""
    ways = np.linspace([[0, 0]] * 7, [[2, i / 6] for i in range(7)], 40, axis=1)
    many = made_pictures.of("paths", optimizers=list("abcdefg"), rates=[1.0] * 7, means=[1.0] * 7, ways=ways)
    strips = draw(many, 76, 30, palette).strips()[2:-2]
    segments = [s for strip in strips for s in strip if s.text.strip(" ▀") and s.style and s.style.bgcolor]
    drawn = {(s.style.color.get_truecolor(), s.style.bgcolor.get_truecolor()) for s in segments if s.style.color}
    assert len({front for front, _ in drawn}) >= 7
    assert min(ratio(front, back) for front, back in drawn) > 2


def test_a_tally_counts_and_has_a_sign_for_each_member() -> None:
    """A student would have to count the boundaries of fifty nets."""
    drawn = text("tally", 76, 16, Palette(shades=False)).splitlines()
    assert drawn[0].startswith("2 of 4 members solved it (at least 95% of the training samples correct)")
    assert drawn[1].rstrip() == "● solved  7 70–79% correct  × diverged"  # no room for it beside the count
    assert drawn[2].rstrip() == "●7×●"
    assert drawn[3].startswith("height")
    half = text(
        "tally", 76, 16, Palette(shades=False), accuracy=[0.5, 0.5, 0.75, 1.0], solved=[False, False, False, True]
    )
    assert "5 50–59% correct" in half  # an example that can be seen
    many = text("tally", 76, 20, accuracy=[1.0] * 500, solved=[True] * 500)
    assert many.splitlines()[0].startswith("500 of 500 members solved it")


def test_results_by_setting_are_a_curve_over_a_number_that_alone_differs() -> None:
    """A student who trained with three amounts of data would have to draw the curve on paper."""
    drawn = text("trials", 60, 14, Palette(shades=False))
    assert drawn.splitlines()[0].rstrip() == "1 − validation accuracy  ● this run"
    assert drawn.count("○") == 2
    assert drawn.count("●") == 2  # the key and the run itself
    assert "data.size" in drawn.splitlines()[-1]
    assert "1,000" in drawn.splitlines()[-1]  # a number, not its power of ten


def test_results_by_setting_are_a_row_each_where_words_differ() -> None:
    """Nobody could tell which activation came to which accuracy."""
    names = ["activation relu", "activation tanh", "activation maxout"]
    drawn = text("trials", 70, 8, Palette(shades=False), labels=names, key="", x=np.empty(0)).splitlines()
    assert drawn[0].startswith("validation accuracy  3 runs")
    assert [line[:20].rstrip() for line in drawn[1:4]] == [f"  {names[0]}", f"▶ {names[1]}", f"  {names[2]}"]
    assert [line.split()[-1] for line in drawn[1:4]] == ["80.0%", "90.0%", "95.0%"]
    alone = text("trials", 70, 8, labels=[""], values=[0.9], sd=[np.nan], now=0, key="", x=np.empty(0))
    assert "> this run" in alone  # without Unicode


def test_a_spread_marks_the_ensemble() -> None:
    """Whether the mean prediction beats the members could not be seen where the members are."""
    drawn = text("spread", 70, 12, Palette(shades=False), ensemble=0.99)
    assert "◆ ensemble 99.0%" in drawn.splitlines()[0]
    assert drawn.count("◆") == 2


def test_a_spread_has_a_dot_for_each_score_and_its_mean() -> None:
    """The mean of folds alone hides how far they lie apart."""
    drawn = text("spread", 60, 12, Palette(shades=False))
    assert drawn.splitlines()[0] == "validation accuracy, 4 folds  │ mean  ─ ± 1 sd  1 missing"
    assert "mean 96.0%  sd 1.0%  se 0.58%  n 3" in drawn
    assert drawn.count("•") == 3
    assert "96%" in drawn.rstrip().splitlines()[-1]  # as the mean is written
    empty = text("spread", 60, 12, values=[np.nan] * 4, mean=[np.nan], sd=[np.nan], se=[np.nan])
    assert "no score  n 0" in empty
    groups = [f"lr {i}" for i in range(40)]
    many = draw(
        made_pictures.of("spread", groups=groups, mean=np.ones(40), sd=np.ones(40), se=np.ones(40), best=[1]),
        60, 20, PLAIN,
    )  # fmt: skip
    assert many.seen == (5, 40)
    assert any(line.startswith("* lr 1") for line in many.plain())


def test_gradients_by_layer_stand_on_a_scale_of_powers_of_ten() -> None:
    """On an even scale every vanishing gradient looks like none."""
    drawn = text("gradients-by-layer", 60, 9, Palette(shades=False)).splitlines()
    assert drawn[0] == "gradient norm by layer  ━ step 1,150  ◆ step 0"
    lengths = [line.count("━") for line in drawn[1:4]]
    assert lengths[1] == 0 < lengths[0] < lengths[2]
    assert "0" in drawn[2]
    assert drawn[1].index("◆") < drawn[2].index("◆") < drawn[3].index("◆")
    assert "1e-4" in drawn[5]
    narrow = text("gradients-by-layer", 36, 9, Palette(shades=False)).splitlines()[0]
    assert narrow == "━ step 1,150  ◆ step 0"  # a mark without its meaning would say nothing


def test_a_sample_through_training_shows_when_the_model_changed_its_mind() -> None:
    """Whether a mistake was ever right could not be seen."""
    assert text("followed", 40, 14).splitlines() == [
        "1 of 3  true 7  predicted 2 (91%)",
        "",
        "0                                     1%",
        "1                                     1%",
        "2             @@@@@@@@@@@@@@@@@@@@@  91%",
        "3                                     1%",
        "4                                     1%",
        "5                                     1%",
        "6                                     1%",
        "7 @@@@@@@@@@@@                        1%",
        "8                                     1%",
        "9                                     1%",
        "  +---------------+---------------^",
        "  0              200             400",
    ]
    assert "predicted 7 (90%)" in text("followed", 40, 14, at=1)
    few = text("followed", 40, 7).splitlines()
    assert [line[0] for line in few[2:5]] == ["0", "2", "7"]  # the true class, then what was ever likely
