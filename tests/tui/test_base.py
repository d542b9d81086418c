"""The app as its screens know it: what they wait for is no reason to end it."""

import asyncio

from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.waiting import until
from tui.screens.help import Help


async def test_a_screen_fits_the_terminal_from_its_first_frame_on() -> None:
    """Each screen would flash as on a wide terminal, half of it empty, before it is drawn as it should be."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        help_ = Help(app.screen)
        app.push_screen(help_)
        assert help_.has_class("-narrow", "-middling")
        assert not {"-normal", "-wide", "-tall"} & help_.classes
        await until(pilot, lambda: help_.is_mounted, "the help")


async def test_what_is_cancelled_while_the_app_waits_for_it_does_not_end_the_app() -> None:
    """Keys that follow each other fast cancel looks at a lab, and once that closed Descent without a word."""

    async def removal() -> None:
        raise asyncio.CancelledError

    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        app.call_next(removal)
        await pilot.press("question_mark")
        await until(pilot, lambda: len(app.screen_stack) == 2 and "esc" in shown(pilot), "the help")
