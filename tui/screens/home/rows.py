"""The entries that Home lists, each as one line."""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.cells import cell_len

from descent.common.glyphs import LAB_STATES
from descent.common.i18n import _, ngettext
from descent.common.numbers import day, midnight
from descent.common.text import clean
from descent.run.folder import RunFolder
from descent.run.note import Note
from descent.run.result_metrics import standing
from engine.preset.listing import Entry
from tui.data.course import LabEntry, Labs
from tui.data.hosts import HostRun, HostRuns
from tui.data.runs import RunStatus
from tui.data.search import fitting
from tui.screens.home.changes import in_words
from tui.widgets.lines import Line, Piece, fitted, width_of
from tui.widgets.run_line import Look, heads, look_at, run_line

_NAME = 23
_LAB_NAME = 18
BY_DAY_FROM = 6  # ended runs that are listed; to fewer, a line for each day would leave no room
_LAB_STYLES = {"passed": "good", "started": "train"}


@dataclass(frozen=True)
class Heading:
    """The title of a group, and a word on it."""

    text: str
    note: str = ""
    of_runs: bool = False  # whether the columns of runs are below it


@dataclass(frozen=True)
class Day:
    """The day on which the runs below it were started."""

    text: str


@dataclass(frozen=True)
class More:
    """Stands for runs or labs that are not listed."""

    of: str  # "runs", "labs", or the name of a host
    text: str


@dataclass(frozen=True)
class Nothing:
    """A note in place of entries."""

    text: str
    style: str = "quiet"


@dataclass(frozen=True)
class Study:
    """The runs of one study, listed as one until it is opened. runs: the latest start first."""

    folder: Path
    runs: tuple[RunStatus, ...]
    is_open: bool = False

    @property
    def best(self) -> RunStatus | None:
        """Return the ended run with the best result."""
        ended = {run.folder.path: run for run in self.runs if not run.alive}
        own = [replace(run, preset="study") for run in ended.values()]  # of whatever presets, they are compared
        found = look_at(own, lambda run: "").best
        return next((ended[path] for path in found), next(iter(ended.values()), None))


Item = Heading | Day | More | Nothing | RunStatus | HostRun | Study | Entry | LabEntry | None  # None: an empty line


def is_choice(item: Item) -> bool:
    """Return whether the cursor stops there."""
    return isinstance(item, RunStatus | HostRun | Study | Entry | LabEntry | More)


def key_of(item: Item) -> str:
    """Return what stays the same when an entry is listed again."""
    key = ""
    match item:
        case RunStatus():
            key = f"run {item.folder.path}"
        case HostRun():
            key = f"run {item.host.name}:{item.run.folder.path}"
        case Study():
            key = f"study {item.folder}"
        case Entry():
            key = f"preset {item.name}"
        case LabEntry():
            key = f"lab {item.id}"
        case More():
            key = f"more {item.of}"
    return key


@dataclass(frozen=True)
class Found:
    """All that can be listed. None: still being read."""

    runs: Sequence[RunStatus] | None = None
    hosts: Sequence[HostRuns] = ()
    labs: Labs | None = None
    presets: Sequence[Entry] | None = None


Order = Literal["latest", "preset"]


def listed(
    found: Found,
    typed: str,
    most: Mapping[str, int],
    opened: Collection[Path] = (),
    order: Order = "latest",
    *,
    now: float,
) -> list[Item]:
    """Return all lines of the list: the runs by day, live ones first, the labs, the presets by topic.

    typed: only entries that fit it are listed. most: at most so many ended "runs" and "labs", and runs of a host
    by its name, if nothing was typed. opened: studies whose runs are listed each. order: "preset" lists the runs of a
    preset together, the best first. now: the time, for the names of days.
    """
    labs = found.labs or Labs()
    # All at once: what holds the words themselves comes before what only holds their letters.
    on_hosts = [run for host in found.hosts for run in host.runs or ()]
    everything: list[RunStatus | HostRun | LabEntry | Entry] = [
        *(found.runs or ()), *on_hosts, *labs.entries, *(found.presets or ())
    ]  # fmt: skip
    fit = fitting(everything, typed, text_of)
    most = {} if typed else most
    runs = [one for one in fit if isinstance(one, RunStatus)]
    items = _runs(runs, most.get("runs"), opened, folded=not typed, order=order, now=now)
    there = [one for one in fit if isinstance(one, HostRun)]
    for host in found.hosts:
        items += _host(host, [run for run in there if run.host == host.host], most, typed, first=not items)
    items += _labs([one for one in fit if isinstance(one, LabEntry)], labs, most.get("labs"), first=not items)
    topic: str | None = None
    for preset in (one for one in fit if isinstance(one, Entry)):
        group = _group(preset)
        if group != topic:
            items += [*([None] if items else []), Heading(group)]
            topic = group
        items.append(preset)
    if found.runs is None or found.presets is None:
        return [*items, *([None] if items else []), Nothing(_("reading…"))]
    return items or [Nothing(_("nothing found"))]


def _host(host: HostRuns, fit: Sequence[HostRun], most: Mapping[str, int], typed: str, *, first: bool) -> list[Item]:
    """Return the runs of a host, live ones first, or why they are not known."""
    if typed and not fit:
        return []
    live, ended = [run for run in fit if run.run.alive], [run for run in fit if not run.run.alive]
    told = [] if host.runs is None else [_counts(len(live), len(ended)) or _("no runs")]
    name = host.host.name
    heading = Heading(clean(name), told[0] if told else _("asking…") if not host.problem else "")
    problem = [Nothing(f"  {host.problem}", "trouble")] if host.problem else []
    wanted = most.get(name)
    shown = ended if wanted is None or len(ended) <= wanted + 1 else ended[:wanted]
    rest = len(ended) - len(shown)
    more = [More(name, f"  … {ngettext('{count} more run', '{count} more runs', rest)}")] if rest else []
    return [*([] if first else [None]), heading, *problem, *live, *shown, *more]


def _group(preset: Entry) -> str:
    if preset.broken:
        return _("broken")
    if preset.lab:
        return _("your files of labs")
    return preset.topic or _("presets")


def _runs(
    runs: Sequence[RunStatus], most: int | None, opened: Collection[Path], *, folded: bool, order: Order, now: float
) -> list[Item]:
    if not runs:
        return []
    live, ended = [run for run in runs if run.alive], [run for run in runs if not run.alive]
    heading = Heading(_("runs"), _counts(len(live), len(ended)), of_runs=True)
    if order == "preset":
        return [heading, *live, *_by_preset(ended)]
    rows: list[RunStatus | Study] = [*ended]
    if folded:
        rows = _folded(runs, ended, opened)
        alone = {run.folder.path for row in rows if isinstance(row, Study) for run in row.runs}
        live = [run for run in live if run.folder.path not in alone]
    rows.sort(key=lambda row: not (isinstance(row, RunStatus) and row.note.pinned))
    shown = rows if most is None or len(rows) <= most + 1 else rows[:most]
    rest = len(rows) - len(shown)
    more = [More("runs", f"  … {ngettext('{count} more run', '{count} more runs', rest)}")] if rest else []
    items: list[Item] = [heading, *live]
    days = _days(shown, now) if most is None or most >= BY_DAY_FROM else {}
    for at, row in enumerate(shown):
        items += [*([days[at]] if at in days else []), row]
        items += row.runs if isinstance(row, Study) and row.is_open else ()
    return [*items, *more]


def _days(rows: Sequence[RunStatus | Study], now: float) -> dict[int, Day]:
    """Return the days before the rows, the latest start first, with which they begin; none if all are of today.

    Rows that are at the top for another reason have no day.
    """
    found: dict[int, Day] = {}
    since = math.inf
    for at, row in enumerate(rows):
        if isinstance(row, Study):
            is_on_top, started = any(run.alive for run in row.runs), _started(row.runs[0])
        else:
            is_on_top, started = row.note.pinned, _started(row)
        if not is_on_top and started < since:
            since = midnight(started)
            found[at] = Day(day(started, now))
    return {} if list(found) == [0] and since == midnight(now) else found


def _started(run: RunStatus) -> float:
    return run.changed if run.started is None else run.started


def _folded(
    runs: Sequence[RunStatus], ended: Sequence[RunStatus], opened: Collection[Path]
) -> list[RunStatus | Study]:
    """Return the ended runs with one entry for each study, its live runs among them, in the place of its latest."""
    of_studies: dict[Path, list[RunStatus]] = {}
    for run in runs:
        if run.study is not None:
            of_studies.setdefault(run.study, []).append(run)
    rows: list[RunStatus | Study] = []
    told: set[Path] = set()
    living = [run for run in runs if run.alive and run.study is not None]
    for run in [*living, *ended]:
        if run.study is None:
            rows.append(run)
        elif run.study not in told:
            told.add(run.study)
            rows.append(Study(run.study, tuple(of_studies[run.study]), run.study in opened))
    return rows


def _by_preset(ended: Sequence[RunStatus]) -> list[Item]:
    """Return the ended runs below the names of their presets, the best first."""
    groups: dict[str, list[RunStatus]] = {}
    for run in ended:
        groups.setdefault(run.preset, []).append(run)
    items: list[Item] = []
    for preset, own in groups.items():
        items += [None, Heading(preset or "–", ngettext("{count} run", "{count} runs", len(own)))]
        own.sort(key=_rank)
        items += own
    return items


def _rank(run: RunStatus) -> tuple[bool, tuple[float, ...]]:
    return not run.note.pinned, standing(run.results)


def _labs(fit: Sequence[LabEntry], labs: Labs, most: int | None, *, first: bool) -> list[Item]:
    """Return the labs around the next one."""
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
    """Return the line that enter most likely means: a live run, else a name that begins as typed, else the first."""
    choices = [y for y, item in enumerate(items) if is_choice(item)]
    live = [y for y in choices if isinstance(item := items[y], RunStatus) and item.alive]
    names = {y: name for y in choices if (name := _name(items[y])).startswith(typed.casefold())} if typed else {}
    called = [y for y, name in names.items() if name == typed.casefold()]
    return next(iter(live or called or names or choices), -1)


def _name(item: Item) -> str:
    return item.name if isinstance(item, Entry) else item.id if isinstance(item, LabEntry) else ""


def title(runs: Sequence[RunStatus] | None, *, read_only: bool) -> Line:
    """Return what stands at the right of the screen's title. runs: None while they are still being read."""
    pieces = [Piece(f"{_('read-only')}  ", "planned")] if read_only else []
    if runs is not None:
        live, count = sum(run.alive for run in runs), len(runs)
        pieces.append(Piece(f"{_('{count} running', count=live)}  " if live else "", "train"))
        pieces.append(Piece(ngettext("{count} run", "{count} runs", count), "quiet"))
    return tuple(pieces)


def _counts(live: int, ended: int) -> str:
    parts = [_("{count} running", count=live)] if live else []
    return ", ".join([*parts, *([_("{count} ended", count=ended)] if ended else [])])


def text_of(item: RunStatus | HostRun | Entry | LabEntry) -> str:
    """Return the text by which an entry is found."""
    match item:
        case RunStatus():
            return f"{item.folder.id} {item.preset} {item.state} {item.note.text}"
        case HostRun():
            return f"{text_of(item.run)} {item.host.name}"
        case Entry():
            return f"{item.name} {item.topic} {item.title}"
        case LabEntry():
            return item.found_by


def line(item: Item, width: int, *, now: float, look: Look | None = None) -> Line:
    """Return an item in exactly `width` cells. now: the time, for ages."""
    match item:
        case Heading():
            return _heading(item, width, look)
        case RunStatus():
            return run_line(item, width, now=now, look=look)
        case HostRun(run=run, changed=changed):
            words = in_words(changed or {})
            own = None if look is None else replace(look, changed=lambda run: words)  # its files are not here
            return run_line(run, width, now=now, look=own)
        case Study():
            return _study(item, width, look)
        case Entry() | LabEntry():
            return _preset(item, width) if isinstance(item, Entry) else _lab(item, width)
        case _:
            text = f" {item.text}" if isinstance(item, Nothing | More) else ""
            if isinstance(item, Day):
                text = f" ─ {item.text} {'─' * (width - cell_len(item.text) - 5)}"
            return (Piece(fitted(text, width), item.style if isinstance(item, Nothing) else "quiet"),)


def _heading(heading: Heading, width: int, look: Look | None) -> Line:
    """Return a title; that of the runs with the heads of their columns, as far as the note leaves room."""
    if look is None or not heading.of_runs or width < 50:
        note = Piece(f"  {heading.note}" if heading.note else "", "quiet")
        return _fill((Piece(f" {heading.text}", "strong"), note), width)
    title = f" {heading.text}  "
    columns = "".join(piece.text for piece in heads(width, look))
    blank = cell_len(title) + cell_len(heading.note)
    if columns[:blank].strip():  # the note covers a part of them
        middle = columns[: columns.find(_("result"))]
        columns = " " * cell_len(middle) + columns[len(middle) :]
    return Piece(title, "strong"), Piece(heading.note, "quiet"), Piece(columns[blank:], "quiet")


def lines_of_runs(items: Sequence[Item]) -> Iterator[RunStatus]:
    """Yield the runs that have a line, a study's best one for the study."""
    for item in items:
        match item:
            case RunStatus():
                yield item
            case HostRun():
                yield item.run
            case Study() if item.best is not None:
                yield _called(item.best, item.folder)


def _study(study: Study, width: int, look: Look | None) -> Line:
    best, live = study.best, sum(run.alive for run in study.runs)
    count = ngettext("study of {count} run", "study of {count:,} runs", len(study.runs))
    told = f"{count}, {_('{count} running', count=live)}" if live else count
    if best is None:
        name = fitted(clean(study.folder.name), max(8, min(30, width // 3)))
        return (
            Piece(" ▦ ", "train" if live else ""),
            Piece(name),
            Piece(fitted(f"  {told}", width - 3 - len(name)), "quiet"),
        )
    shown = replace(best, preset="", note=Note(told))
    sign, *rest = run_line(_called(shown, study.folder), width, now=0.0, look=look)
    return (Piece(" ▦ ", "train" if live else sign.style), *rest)


def _called(run: RunStatus, study: Path) -> RunStatus:
    """Return the run under the name of its study."""
    return replace(run, folder=RunFolder(run.folder.path.with_name(study.name)), state="finished")


def _fill(pieces: tuple[Piece, ...], width: int) -> Line:
    return (*pieces, Piece(" " * max(0, width - width_of(pieces))))


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
