"""Who sees that five cats were taken for dogs wants to see them, one cell and one sample after the other."""

import numpy as np
import pytest

from engine.pictures import Picture
from tests.helpers import made_pictures
from tui.pictures import examples
from tui.pictures.canvas import Palette
from tui.pictures.picture import draw

PLAIN = Palette(shades=False, unicode=False)


@pytest.fixture
def matrix() -> Picture:
    return made_pictures.of("confusion", **made_pictures.examples())


def test_the_most_frequent_mistakes_come_first(matrix: Picture) -> None:
    found = [(one.true, one.predicted, one.place, one.number, one.count) for one in examples.examples_of(matrix)]
    assert found == [(2, 0, 0, 1, 2), (2, 0, 3, 2, 2), (0, 2, 1, 1, 1), (0, 0, 2, 1, 2), (0, 0, 4, 2, 2)]
    assert examples.examples_of(made_pictures.of("confusion")) == []


@pytest.mark.parametrize(
    ("first", "by", "then"), [(0, 1, 2), (1, 1, 2), (2, 1, 3), (4, 1, 0), (0, -1, 3), (3, -1, 2)]
)
def test_a_step_leads_to_the_first_sample_of_the_next_cell(matrix: Picture, first: int, by: int, then: int) -> None:
    assert examples.beside(matrix, first, by) == then


def test_the_cell_stays_chosen_when_the_picture_is_drawn_anew(matrix: Picture) -> None:
    """Each refresh would take the reader to another mistake."""
    given = made_pictures.examples() | {"true": [0, 2, 0, 2, 0], "predicted": [2, 0, 0, 0, 0]}
    later = made_pictures.of("confusion", **given | {"counts": [[18, 0, 9], [0, 20, 0], [5, 0, 15]]})
    assert [(one.true, one.predicted) for one in examples.examples_of(later)][:2] == [(0, 2), (2, 0)]
    assert examples.again(matrix, later, 1) == 1  # 고양이 → cat
    assert examples.again(matrix, later, 2) == 0  # cat → 고양이
    assert examples.again(made_pictures.of("confusion"), later, 0) == 0


@pytest.mark.parametrize(("width", "height"), [(80, 14), (40, 24)])
def test_the_sample_stands_beside_or_below_the_matrix(matrix: Picture, width: int, height: int) -> None:
    canvas = draw(matrix, width, height, Palette(shades=False), 1)
    drawn = "\n".join(canvas.plain())
    assert "▸5" in drawn
    for told in ("true 고양이", "predicted cat (60%)", "2 of the 2 most confident of 5"):
        assert told in drawn
    assert canvas.seen == (1, 5)
    if width == 40:
        assert "고양이     ▸5       ·      15      75%" in drawn  # the matrix has the width of before


def test_without_room_the_matrix_alone_is_drawn(matrix: Picture) -> None:
    """A sign at a cell would mean nothing on the board, whose keys choose none."""
    canvas = draw(matrix, 40, 8, PLAIN)
    assert canvas.plain() == draw(made_pictures.of("confusion"), 40, 8, PLAIN).plain()
    assert canvas.seen is None


def test_a_sample_of_a_table_has_its_numbers() -> None:
    given = {name: value for name, value in made_pictures.examples().items() if name != "images"}
    rows = np.arange(10.0).reshape(5, 2)
    table = made_pictures.of("confusion", **given, rows=rows, columns=["height", "width"])
    drawn = draw(table, 80, 14, PLAIN).plain()
    assert any(line.split()[-2:] == ["width", "1.00"] for line in drawn)


def test_of_many_classes_the_chosen_pair_is_marked() -> None:
    counts = np.eye(100, dtype=int) * 9
    counts[3, 7], counts[4, 8] = 4, 3
    names = [f"class {i}" for i in range(100)]
    given = {"images": np.zeros((2, 1, 8, 8), np.uint8), "true": [3, 4], "predicted": [7, 8]}
    given |= {"probability": [0.9, 0.8], "index": [1, 2]}
    many = made_pictures.of("confusion", counts=counts, classes=names, **given)
    drawn = "\n".join(draw(many, 140, 40, Palette(), 1).plain())
    assert "▸  3  class 4 → class 8" in drawn
    assert "predicted class 8 (80%)" in drawn
