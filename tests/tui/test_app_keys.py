"""Keys that work on every screen: leaving, copying, and a keyboard in Korean mode."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual import events
from textual.css.query import NoMatches
from textual.widget import Widget
from textual.widgets import Input

from tests.helpers.screens import console, place, seen
from tests.helpers.waiting import until
from tui.app import latin
from tui.screens.home.list import Listing
from tui.widgets.find import Find

__all__ = ["place"]


class _Pair(Widget):
    """Two parts, the second of which leaves only when a worker has asked for the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first_has_left, self.asked = asyncio.Event(), asyncio.Event()

    def compose(self) -> Iterator[Widget]:
        yield _First()
        yield _Second()

    async def ask(self) -> None:
        await self.first_has_left.wait()
        try:
            self.query_one(_First)
        finally:
            self.asked.set()


class _First(Widget):
    async def on_unmount(self) -> None:
        asyncio.get_running_loop().call_later(0.1, self.screen.query_one(_Pair).first_has_left.set)


class _Second(Widget):
    async def on_unmount(self) -> None:
        await self.screen.query_one(_Pair).asked.wait()


async def test_a_part_that_asks_for_its_neighbour_while_both_leave_is_no_crash(place: Path) -> None:
    """Whoever leaves a screen in a bad moment would be told of a bug."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        pair = _Pair()
        await app.screen.mount(pair)
        worker = pair.run_worker(pair.ask())
        await pair.remove()
        assert isinstance(worker.error, NoMatches)
        await pilot.pause()
    assert app.crash is None


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
