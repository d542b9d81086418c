"""The panes of a console share the room that there is, and no pane that is not shown takes any."""

import pytest
from textual.app import App, ComposeResult

from tui import themes
from tui.settings import Settings
from tui.terminal import Terminal
from tui.widgets.panes import ConsolePanes


class Panes(App[None]):
    """Panes of a run, or of a lab that watches some of them, on a screen that has these classes."""

    def __init__(self, watch: list[str] | None, *classes: str) -> None:
        super().__init__()
        self.terminal = Terminal()
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = "dark"
        self._watch, self._kinds = watch, classes

    def compose(self) -> ComposeResult:
        yield ConsolePanes(Settings(), self._watch)

    def on_mount(self) -> None:
        self.screen.add_class(*self._kinds)


@pytest.mark.slow
@pytest.mark.parametrize("watch", [["loss", "accuracy", "grad_norm"], ["grad_norm", "loss", "accuracy"]])
async def test_the_chart_of_a_lab_has_all_the_room_of_a_small_screen(watch: list[str]) -> None:
    """Half of the screen stood empty beside the one chart, at 80 × 24."""
    app = Panes(watch, "-narrow", "-short")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        first = app.query_one("#loss" if watch[0] == "loss" else "#gradient")
        assert first.region.height == 24


@pytest.mark.slow
@pytest.mark.parametrize(("width", "kind"), [(80, "-narrow"), (100, "-normal")])
async def test_the_loss_has_room_on_a_screen_of_thirty_rows(width: int, kind: str) -> None:
    """It had two rows, and the tables below it fifteen."""
    app = Panes(None, kind, "-medium")
    async with app.run_test(size=(width, 25)) as pilot:  # without the rows above and below the panes
        await pilot.pause()
        assert app.query_one("#loss").region.height >= 8


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("-narrow", "-short"), ("-normal", "-medium"), ("-wide", "-tall")])
async def test_a_table_alone_has_all_of_the_room(kinds: tuple[str, str]) -> None:
    """Fifteen rows of a log stood on an empty screen."""
    app = Panes(None, *kinds)
    async with app.run_test(size=(120, 36)) as pilot:
        for name in ("log", "layers", "loss", "machine"):
            app.query_one(ConsolePanes).show_alone(name)
            await pilot.pause()
            region = app.query_one(f"#{name}").region
            assert (region.width, region.height) == (120, 36), name
        app.query_one(ConsolePanes).show_alone(None)
        await pilot.pause()
        assert app.query_one("#loss").region.height < 36
