"""The app as its screens know it: what they wait for is no reason to end it."""

import asyncio

from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.waiting import until


async def test_what_is_cancelled_while_the_app_waits_for_it_does_not_end_the_app() -> None:
    """Keys that follow each other fast cancel looks at a lab, and once that closed Descent without a word."""

    async def removal() -> None:
        raise asyncio.CancelledError

    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        app.call_next(removal)
        await pilot.press("question_mark")
        await until(pilot, lambda: len(app.screen_stack) == 2 and "esc" in shown(pilot), "the help")
