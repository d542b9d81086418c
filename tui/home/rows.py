"""What Home lists, and each entry as one line."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.library import Entry
from tui.home.glance import Glance
from tui.numbers import percent
from tui.signs import STATE_STYLES, bars, short_number, sign
from tui.widgets.find import fitting
from tui.widgets.lines import Line, Piece, fitted


@dataclass(frozen=True)
class Heading:
    """The title of a group, and a word on it."""

    text: str
    note: str = ""


@dataclass(frozen=True)
class More:
    """Stands for the runs that are not listed."""

    count: int


@dataclass(frozen=True)
class Nothing:
    """Said where no entry is to be listed."""

    text: str


Item = Heading | More | Nothing | Glance | Entry | None  # None: an empty line


def is_choice(item: Item) -> bool:
    """Whether the cursor stops there."""
    return isinstance(item, Glance | Entry | More)


def key_of(item: Item) -> str:
    """What stays the same when an entry is listed anew."""
    match item:
        case Glance():
            return f"run {item.folder.path}"
        case Entry():
            return f"preset {item.name}"
        case More():
            return "more"
        case _:
            return ""


def listed(
    runs: Sequence[Glance] | None, presets: Sequence[Entry] | None, typed: str, most_ended: int | None
) -> list[Item]:
    """All lines of the list: the runs, live ones first, then the presets by topic, as far as they fit what was typed.

    None where they are still being read. most_ended: so many ended runs are listed; None for all.
    """
    items: list[Item] = []
    found_runs = fitting(runs or (), typed, run_text)
    found_presets = fitting(presets or (), typed, preset_text)
    if typed and any(
        all(word in run_text(run).casefold() for word in typed.casefold().split()) for run in found_runs
    ):
        # What holds the words themselves comes before what only holds their letters.
        found_presets = [p for p in found_presets if _holds(preset_text(p), typed)]
    elif typed and any(_holds(preset_text(preset), typed) for preset in found_presets):
        found_runs = []
    live = [run for run in found_runs if run.alive]
    ended = [run for run in found_runs if not run.alive]
    shown = ended if most_ended is None or typed or len(ended) <= most_ended + 1 else ended[:most_ended]
    if found_runs:
        items += [Heading("runs", _counts(len(live), len(ended))), *live, *shown]
        if len(shown) < len(ended):
            items.append(More(len(ended) - len(shown)))
    topic: str | None = None
    for preset in found_presets:
        group = "broken" if preset.broken else preset.topic or "presets"
        if group != topic:
            items += [*([None] if items else []), Heading(group)]
            topic = group
        items.append(preset)
    if items:
        return items
    return [Nothing("reading …" if runs is None or presets is None else "nothing here is called so")]


def best(items: Sequence[Item], typed: str) -> int:
    """The line that Enter most likely means: a live run, else the preset whose name begins so, else the first."""
    choices = [y for y, item in enumerate(items) if is_choice(item)]
    live = [y for y in choices if isinstance(item := items[y], Glance) and item.alive]
    named = [y for y in choices if isinstance(item := items[y], Entry) and item.name.startswith(typed.casefold())]
    return next(iter(live or (named if typed else []) or choices), -1)


def _holds(text: str, typed: str) -> bool:
    return all(word in text.casefold() for word in typed.casefold().split())


def _counts(live: int, ended: int) -> str:
    parts = [f"{live} live"] if live else []
    return ", ".join([*parts, *([f"{ended} ended"] if ended else [])])


def run_text(run: Glance) -> str:
    """What a run is found by."""
    return f"{run.folder.id} {run.preset} {run.state}"


def preset_text(entry: Entry) -> str:
    """What a preset is found by."""
    return f"{entry.name} {entry.topic} {entry.title}"


def line(item: Item, width: int, *, unicode: bool, now: float) -> Line:
    """An item in exactly `width` cells. now: the time, for ages."""
    match item:
        case Heading():
            return _fill(
                (Piece(f" {item.text}", "strong"), Piece(f"  {item.note}" if item.note else "", "quiet")), width
            )
        case Nothing():
            return (Piece(fitted(f" {item.text}", width), "quiet"),)
        case More():
            return (Piece(fitted(f"   … {item.count} more runs", width), "quiet"),)
        case Glance():
            return _run(item, width, unicode, now)
        case Entry():
            return _preset(item, width)
        case _:
            return (Piece(" " * width),)


def _fill(pieces: tuple[Piece, ...], width: int) -> Line:
    used = sum(len(piece.text) for piece in pieces)
    return (*pieces, Piece(" " * max(0, width - used)))


_STATUS, _METRIC, _AGE = 11, 13, 11  # cells of the columns, the space before them included


def _run(run: Glance, width: int, unicode: bool, now: float) -> Line:
    curve = 0 if width < 50 else 8 if width < 70 else 16
    wide = width >= 76
    room = width - 3 - _STATUS - _METRIC - (curve + 2 if curve else 0) - (_AGE if wide else 0)
    name = fitted(run.name, min(len(run.name), room - (len(run.letters) + 1 if run.letters else 0)))
    style = STATE_STYLES.get(run.state, "")
    age = "" if run.alive else ago(now - run.changed)
    # Where there is no room for both, the time is worth more than a word that says what the sign says already.
    state = age if run.state == "finished" and not wide else status(run)
    pieces = [
        Piece(f" {sign(run.state, unicode=unicode)} ", style),
        Piece(name),
        Piece(fitted(f" {run.letters}" if run.letters else "", room - len(name)), "quiet"),
        Piece(fitted(state, _STATUS, right=True), style if run.alive or style == "trouble" else "quiet"),
    ]
    if wide:
        pieces.append(Piece(fitted(age, _AGE, right=True), "quiet"))
    label, number = metric(run)
    pieces += [Piece(f" {label:>4}", "quiet"), Piece(fitted(number, _METRIC - 5, right=True))]
    if curve:
        drawn = bars(run.loss, curve, unicode=unicode)[0]
        pieces.append(Piece(f"  {fitted(drawn, curve)}", "train" if run.alive else "quiet"))
    return tuple(pieces)


def status(run: Glance) -> str:
    """How far it is, or how it ended."""
    match run.state:
        case "running" | "paused":
            return f"{run.share:.0%}" if run.total else run.state
        case "finished":
            return "done"
        case _:
            return run.state


def metric(run: Glance) -> tuple[str, str]:
    """The latest number worth comparing: of the test split, else the validation split, else the training loss."""
    for split, short in (("test", "test"), ("validation", "val")):
        reached = run.last(split)
        if reached is not None:
            loss, accuracy = reached
            return short, percent(accuracy) if accuracy is not None else short_number(loss)
    return ("loss", short_number(run.last_loss)) if run.last_loss is not None else ("", "")


def ago(seconds: float) -> str:
    """How long ago, in one unit: "3 h ago"."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "just now"


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
