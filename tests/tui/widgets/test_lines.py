"""Lines of text in the theme's colours."""

from collections.abc import Sequence

from textual.app import App, ComposeResult

from tui import themes
from tui.widgets.lines import Line, Lines, Piece


class _Two(Lines):
    def lines(self, width: int, height: int) -> Sequence[Line]:
        return [(Piece("plain "), Piece("quiet", "quiet"))]


class _App(App[None]):
    CSS = "Screen { background: $background; }"

    def __init__(self) -> None:
        super().__init__()
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = "dark"

    def compose(self) -> ComposeResult:
        yield _Two()


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
