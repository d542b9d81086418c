"""Keys that work on every screen: leaving, copying, and a keyboard in Korean mode."""

from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input

from tests.helpers.screens import console, place, seen
from tests.helpers.waiting import until
from tui.app import latin
from tui.screens.home.list import Listing
from tui.widgets.find import Find

__all__ = ["place"]


@pytest.mark.parametrize(
    ("key", "character", "pressed"),
    [("ㅂ", "ㅂ", ("q", "q")), ("ㅃ", "ㅃ", ("Q", "Q")), ("ctrl+ㅊ", None, ("ctrl+c", None)), ("g", "g", ("g", "g"))],
)
def test_a_korean_letter_is_the_key_it_stands_on(
    key: str, character: str | None, pressed: tuple[str, str | None]
) -> None:
    """In Korean mode every key would be dead, and nothing say why; not even ctrl+c would leave."""
    found = latin(events.Key(key, character))
    assert (found.key, found.character) == pressed


@pytest.mark.slow
async def test_keys_work_in_korean_mode_and_text_stays_text(place: Path) -> None:
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "images")
        before = app.screen.query_one(Listing).chosen
        await pilot.press("ㅓ")  # j: down
        await until(pilot, lambda: app.screen.query_one(Listing).chosen != before, "the next entry")
        await pilot.press("slash", "ㅓ")
        assert app.screen.query_one(Find).value == "ㅓ"
        await pilot.press("ctrl+ㅂ")  # ctrl+q
        await until(pilot, lambda: app._exit, "the end")


@pytest.mark.slow
async def test_ctrl_c_copies_what_is_selected_and_else_leaves(place: Path) -> None:
    """It would end the console, and copy nothing."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "images")
        await pilot.press("slash", *"line", "shift+left", "shift+left", "ctrl+c")
        assert isinstance(app.focused, Input)
        assert app.clipboard == "ne"
        assert not app._exit
        await pilot.press("escape", "ctrl+c")
        await until(pilot, lambda: app._exit, "the end")


async def test_a_key_behind_the_end_is_no_crash(place: Path) -> None:
    """Whoever types on while the app ends would be told of a bug."""
    app = console()
    async with app.run_test(size=(80, 24)):
        app.exit()
    assert not app.screen_stack
    await app.on_event(events.Key("3", "3"))
