"""Waiting for things to happen, which a test does instead of sleeping."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from textual.pilot import Pilot

DEADLINE = 240.0  # seconds after which a test gives up; no measure of anything


def _until_next_look(began: float, first: float) -> float:
    """Return the seconds to wait: a tenth of what was waited so far. Looking costs what the awaited needs."""
    return min(0.05, max(first, (time.monotonic() - began) / 10))


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until `condition` returns something true, and return that."""
    began = time.monotonic()
    while time.monotonic() < began + DEADLINE:
        if found := condition():
            return found
        time.sleep(_until_next_look(began, 0.005))
    raise AssertionError(f"waited {DEADLINE:.0f} s for {what}")


async def until(pilot: "Pilot[Any]", condition: Callable[[], Any], what: str) -> Any:
    """Let a running app work until `condition` returns something true, and return that.

    A widget that the condition asks for may still be on its way to the screen.
    """
    from textual.css.query import NoMatches

    began = time.monotonic()
    while time.monotonic() < began + DEADLINE:
        with suppress(NoMatches):
            if found := condition():
                return found
        await pilot.pause(_until_next_look(began, 0.01))
    lines = (strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips())
    raise AssertionError("\n".join([f"waited {DEADLINE:.0f} s for {what}; the screen:", *lines]))
