"""Home's keys: which of them work for the highlighted entry, and what the bottom line calls them."""

from collections.abc import Callable

from engine.library import Entry
from tui.home.described import can_go_on
from tui.home.glance import Glance
from tui.home.labs import LabEntry
from tui.home.rows import More

Chosen = Glance | Entry | LabEntry | More | None
# What each action needs; an action that is not here always works.
WORKS: dict[str, Callable[[Chosen], bool]] = {
    "find": lambda chosen: True,
    "choose": lambda chosen: chosen is not None,
    "edit": lambda chosen: isinstance(chosen, Entry) and not chosen.broken,
    "copy": lambda chosen: isinstance(chosen, Entry | Glance | LabEntry),
    "go_on": lambda chosen: isinstance(chosen, Glance) and can_go_on(chosen),
    "mark": lambda chosen: isinstance(chosen, Glance),
    "compare": lambda chosen: isinstance(chosen, Glance),
    "delete": lambda chosen: isinstance(chosen, Glance) and not chosen.alive,
}
STEERS = ("edit", "go_on", "delete")


def labels(chosen: Chosen, marked: int) -> dict[str, str]:
    """A word for each action, the most wanted first. marked: runs that are marked to be compared."""
    found = {"choose": "start" if isinstance(chosen, Entry) else "show" if isinstance(chosen, More) else "open"}
    found |= {"find": "find", "edit": "edit first", "copy": "copy command", "go_on": "go on"}
    found |= {
        "compare": f"compare {marked}" if marked > 1 else "compare",
        "delete": "clear away" if _is_empty(chosen) else "delete",
    }
    return found | {"app.settings": "settings", "app.help": "help", "mark": "mark", "app.quit": "quit"}


def _is_empty(chosen: Chosen) -> bool:
    return isinstance(chosen, Glance) and chosen.failed_at_start


def source(entry: Entry) -> str:
    """How the engine finds it: a path cannot be taken for another preset's name."""
    return str(entry.path)
