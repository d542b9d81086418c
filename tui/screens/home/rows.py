"""What Home lists, each entry as one line, and the line that narrows the list as its user types."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from descent.common.glyphs import LAB_STATES
from engine.preset.listing import Entry
from tui.data.labs import LabEntry, Labs
from tui.data.runs import RunStatus
from tui.data.search import fitting
from tui.widgets.lines import Line, Piece, fitted, width_of
from tui.widgets.run_line import run_line


@dataclass(frozen=True)
class Heading:
    """The title of a group, and a word on it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class More:
    """Stands for the runs or the labs that are not listed."""

    of: str  # "runs" or "labs"
    text: str


@dataclass(frozen=True)
class Nothing:
    """Said where no entry is to be listed."""

    text: str


Item = Heading | More | Nothing | RunStatus | Entry | LabEntry | None  # None: an empty line


def is_choice(item: Item) -> bool:
    """Whether the cursor stops there."""
    return isinstance(item, RunStatus | Entry | LabEntry | More)


def key_of(item: Item) -> str:
    """What stays the same when an entry is listed anew."""
    match item:
        case RunStatus():
            return f"run {item.folder.path}"
        case Entry():
            return f"preset {item.name}"
        case LabEntry():
            return f"lab {item.id}"
        case More():
            return f"more {item.of}"
        case _:
            return ""


@dataclass(frozen=True)
class Found:
    """All that can be listed. None: it is still being read."""

    runs: Sequence[RunStatus] | None = None
    labs: Labs | None = None
    presets: Sequence[Entry] | None = None


def listed(found: Found, typed: str, most: Mapping[str, int]) -> list[Item]:
    """All lines of the list: the runs, live ones first, the labs, the presets by topic, as far as they fit what was
    typed. most: at most so many ended "runs" and so many "labs", unless something was typed.
    """
    labs = found.labs or Labs()
    # All at once: what holds the words themselves comes before what only holds their letters.
    everything: list[RunStatus | LabEntry | Entry] = [*(found.runs or ()), *labs.entries, *(found.presets or ())]
    fit = fitting(everything, typed, text_of)
    most = {} if typed else most
    items = _runs([one for one in fit if isinstance(one, RunStatus)], most.get("runs"))
    items += _labs([one for one in fit if isinstance(one, LabEntry)], labs, most.get("labs"), first=not items)
    topic: str | None = None
    for preset in (one for one in fit if isinstance(one, Entry)):
        group = "broken" if preset.broken else "your files of labs" if preset.lab else preset.topic or "presets"
        if group != topic:
            items += [*([None] if items else []), Heading(group)]
            topic = group
        items.append(preset)
    if found.runs is None or found.presets is None:
        return [*items, *([None] if items else []), Nothing("reading …")]
    return items or [Nothing("nothing here is called so")]


def _runs(runs: Sequence[RunStatus], most: int | None) -> list[Item]:
    live, ended = [run for run in runs if run.alive], [run for run in runs if not run.alive]
    ended.sort(key=lambda run: run.of_study)  # a study's hundreds would push out all others
    shown = ended if most is None or len(ended) <= most + 1 else ended[:most]
    more = [More("runs", f"  … {len(ended) - len(shown)} more runs")] if len(shown) < len(ended) else []
    return [Heading("runs", _counts(len(live), len(ended))), *live, *shown, *more] if runs else []


def _labs(fit: Sequence[LabEntry], labs: Labs, most: int | None, *, first: bool) -> list[Item]:
    """The labs around the one that comes next."""
    if not fit:
        return []
    shown = fit
    if most is not None and len(fit) > most + 1:
        following = next((at for at, lab in enumerate(fit) if lab.state != "passed"), len(fit))
        begin = min(max(0, following - 1), len(fit) - most)
        shown = fit[begin : begin + most]
    more = [More("labs", f"  … {labs.more.format(count=len(fit) - len(shown))}")] if len(shown) < len(fit) else []
    return [*([] if first else [None]), Heading(labs.heading, labs.count), *shown, *more]


def best(items: Sequence[Item], typed: str) -> int:
    """The line that Enter most likely means: a live run, else what is called so or begins so, else the first."""
    choices = [y for y, item in enumerate(items) if is_choice(item)]
    live = [y for y in choices if isinstance(item := items[y], RunStatus) and item.alive]
    names = {y: name for y in choices if (name := _name(items[y])).startswith(typed.casefold())} if typed else {}
    called = [y for y, name in names.items() if name == typed.casefold()]
    return next(iter(live or called or names or choices), -1)


def _name(item: Item) -> str:
    return item.name if isinstance(item, Entry) else item.id if isinstance(item, LabEntry) else ""


def title(runs: Sequence[RunStatus] | None, *, read_only: bool) -> Line:
    """What stands at the right of the screen's title. runs: None while they are still being read."""
    pieces = [Piece("read-only  ", "planned")] if read_only else []
    if runs is not None:
        live, count = sum(run.alive for run in runs), len(runs)
        pieces.append(Piece(f"{live} live" if live else "", "train"))
        pieces.append(Piece(f"{'  ' if live else ''}{count} run{'' if count == 1 else 's'}", "quiet"))
    return tuple(pieces)


def _counts(live: int, ended: int) -> str:
    parts = [f"{live} live"] if live else []
    return ", ".join([*parts, *([f"{ended} ended"] if ended else [])])


def text_of(item: RunStatus | Entry | LabEntry) -> str:
    """What an entry is found by."""
    match item:
        case RunStatus():
            return f"{item.folder.id} {item.preset} {item.state}"
        case Entry():
            return f"{item.name} {item.topic} {item.title}"
        case LabEntry():
            return item.found_by


def line(item: Item, width: int, *, now: float) -> Line:
    """An item in exactly `width` cells. now: the time, for ages."""
    match item:
        case Heading():
            return _fill(
                (Piece(f" {item.text}", "strong"), Piece(f"  {item.note}" if item.note else "", "quiet")), width
            )
        case Nothing() | More():
            return (Piece(fitted(f" {item.text}", width), "quiet"),)
        case RunStatus():
            return run_line(item, width, now=now)
        case Entry():
            return _preset(item, width)
        case LabEntry():
            return _lab(item, width)
        case _:
            return (Piece(" " * width),)


def _fill(pieces: tuple[Piece, ...], width: int) -> Line:
    return (*pieces, Piece(" " * max(0, width - width_of(pieces))))


_NAME = 23


def _preset(entry: Entry, width: int) -> Line:
    name = fitted(f"   {entry.name}", min(width, 3 + _NAME))
    rest = width - 3 - _NAME
    if rest < 8:
        return (Piece(name),)
    if entry.broken:
        return Piece(name), Piece(fitted(entry.broken.splitlines()[0], rest), "trouble")
    if rest < 50:
        return Piece(name), Piece(fitted(entry.reaches or entry.title, rest), "quiet")
    reaches = 24 if rest < 66 else 30
    return (
        Piece(name),
        Piece(fitted(entry.title, rest - reaches - 2) + "  "),
        Piece(fitted(entry.reaches, reaches), "quiet"),
    )


_LAB_NAME = 18
_LAB_STYLES = {"passed": "good", "started": "train"}


def _lab(entry: LabEntry, width: int) -> Line:
    sign = "!" if entry.broken else LAB_STATES[entry.state]
    style = "trouble" if entry.broken else _LAB_STYLES.get(entry.state, "")
    name = (Piece(f" {sign} ", style), Piece(fitted(entry.id, min(max(0, width - 3), _LAB_NAME))))
    rest = width - 3 - _LAB_NAME
    if rest < 8:
        return name
    if entry.broken:
        return (*name, Piece(fitted(entry.broken.splitlines()[0], rest), "trouble"))
    note = 0 if rest < 50 else 24 if rest < 66 else 30
    title = fitted(entry.title, rest - (note + 2 if note else 0))
    return (*name, Piece(f"{title}  " if note else title), Piece(fitted(entry.note, note), "quiet"))


class Find(Input):
    """Typing posts `Changed`; up, down and enter go to the list; Escape clears, then leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back to the list", show=False, id="find.leave")
    ]
    DEFAULT_CSS = """
    Find, Find:focus {
        height: 1; border: none; padding: 0; background: transparent; background-tint: transparent;
    }
    Find > .input--placeholder { color: $quiet; }
    """

    class Left(Message):
        """The user is done with typing."""

    class Moved(Message):
        """A key that is meant for the list: up, down, pageup, pagedown or enter."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def on_key(self, event: events.Key) -> None:
        if event.key in ("up", "down", "pageup", "pagedown", "enter"):
            event.stop()
            event.prevent_default()
            self.post_message(self.Moved(event.key))

    def action_leave(self) -> None:
        if self.value:
            self.value = ""
        self.post_message(self.Left())
