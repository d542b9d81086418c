"""Lines of text in the theme's colours."""

from collections.abc import Sequence

from textual.app import ComposeResult

from tui.base import ConsoleApp
from tui.widgets.lines import Line, Lines, Piece, wrapped


class _Two(Lines):
    def lines(self, width: int, height: int) -> Sequence[Line]:
        return [(Piece("plain "), Piece("quiet", "quiet"))]


class _App(ConsoleApp):
    CSS = "Screen { background: $background; }"

    def compose(self) -> ComposeResult:
        yield _Two()


def test_a_number_is_not_parted_from_its_spread() -> None:
    """The log of a sweep had "val 0.135 ±" on one line and a lone number below it."""
    assert wrapped("epoch 8  best lr 0.1: val 0.135 ± 0.032  96.4%", 32) == [
        "epoch 8 best lr 0.1: val 0.135",
        "± 0.032 96.4%",
    ]


async def test_another_theme_is_seen_at_once() -> None:
    """What is kept of the old one could not be read on the new one's ground."""
    async with _App().run_test(size=(20, 3)) as pilot:
        lines, seen = pilot.app.query_one(_Two), []
        for theme in ("dark", "light"):
            pilot.app.theme = theme
            await pilot.pause()
            colours = {
                segment.style.color for segment in lines.render_line(0) if segment.style and segment.text.strip()
            }
            grounds = {segment.style.bgcolor for segment in lines.render_line(0) if segment.style}
            assert len(colours) == 2
            seen.append((colours, grounds))
        assert not seen[0][0] & seen[1][0]
        assert not seen[0][1] & seen[1][1]


async def test_what_is_chosen_is_seen_with_colours_and_without() -> None:
    """Nobody would know which layer or picture enter opens."""

    class Chosen(Lines):
        def lines(self, width: int, height: int) -> Sequence[Line]:
            return [(Piece("other "), Piece("chosen", "chosen"))]

    class Shown(ConsoleApp):
        def compose(self) -> ComposeResult:
            yield Chosen()

    for theme, inverts in (("dark", False), ("light", False), ("ansi", True)):
        app = Shown(theme=theme)
        async with app.run_test(size=(20, 3)):
            other, chosen = list(app.query_one(Chosen).render_line(0))[:2]
            assert chosen.style is not None
            assert bool(chosen.style.reverse) == inverts
            assert inverts or chosen.style.bgcolor != other.style.bgcolor
