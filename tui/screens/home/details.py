"""The pane beside Home's list: facts of the highlighted preset, run or lab."""

import contextlib
import shlex
import socket
import time
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from descent.common.errors import DescentError
from descent.common.i18n import N_, _, ngettext, pgettext
from descent.common.numbers import ago, count, percent, setting, short_number, time_taken
from descent.common.numbers import metric as number_text
from descent.common.text import clean, show
from descent.run.health import state_sign
from descent.run.result_metrics import score_words, standing
from engine.preset.listing import Entry
from tui.base import ConsoleApp
from tui.data.course import LabEntry
from tui.data.hosts import HostRun
from tui.data.runs import RunStatus
from tui.data.words import stage_words, state_words
from tui.screens.home.changes import Changes, trained
from tui.screens.home.rows import Item, Study
from tui.widgets import lines
from tui.widgets.lines import Line, Lines, Piece, fitted
from tui.widgets.run_line import metric, state_style

if TYPE_CHECKING:
    from engine.preset.loading import Preset


_MOST_SCALARS = 8
_MOST_CURVE = 32  # rows, the legend included
_SECTIONS = {
    "data": N_("data"),
    "model": N_("model"),
    "loss": N_("loss"),
    "optimizer": N_("optimizer"),
    "schedule": N_("schedule"),
    "train": N_("training"),
}
Field = tuple[str, str]
LABEL = 12  # cells of the labels' column
EMPTY: Line = ()


def command_of(item: RunStatus | HostRun | Study | Entry | LabEntry, overrides: Sequence[str] = ()) -> str:
    """Return the shell command for what enter does: train a preset, open or resume a run, go on in a lab."""
    if isinstance(item, LabEntry):
        return item.command
    if isinstance(item, HostRun):
        return shlex.join(item.host.attach(item.run.folder.id))
    if isinstance(item, Study):
        from engine.study.folder import word_for  # loaded for who has studies

        return f"descent study show {shlex.quote(word_for(item.folder))}"
    if isinstance(item, Entry):
        sets = "".join(f" --set {shlex.quote(text)}" for text in overrides)
        return f"descent run {shlex.quote(item.name)}{sets}"
    return f"descent {'resume' if can_go_on(item) else 'attach'} {shlex.quote(item.folder.id)}"


def can_go_on(run: RunStatus) -> bool:
    """Return whether there is something left to train."""
    return run.state in ("stopped", "failed", "lost")


# --- a preset ---


def preset_lines(
    entry: Entry, preset: "Preset | None", runs: Sequence[RunStatus], width: int, height: int, *, unicode: bool
) -> list[Line]:
    """Return the preset's title, sections, runs so far, command, and as much of its file as has room."""
    if entry.broken:
        wrong = [(Piece(text, "trouble"),) for text in wrapped(entry.broken, width)]
        return [
            head(entry.name, _("broken"), width),
            EMPTY,
            *wrong,
            EMPTY,
            *labelled([(_("file"), shown_path(entry.path))], width),
        ]
    top = [head(entry.title or entry.name, "", width)]
    if entry.reaches:
        label = f"{_('reaches')} "
        top.append((Piece(label, "quiet"), Piece(fitted(entry.reaches, width - cell_len(label)).rstrip(), "good")))
    fields = [(_(words), _section(preset, name)) for name, words in _SECTIONS.items()] if preset is not None else []
    own = [run for run in runs if run.preset == entry.name]
    parameters = _parameters(preset, own)
    if parameters is not None:
        fields.insert(2, ("", _("{count:,} parameters", count=parameters)))
    if own:
        fields.append((_("your runs"), _runs(own)))
    if entry.origin != "shipped":
        fields.append((_("file"), shown_path(entry.path)))
    lines = [*top, EMPTY, *labelled(fields, width), EMPTY, command_line(command_of(entry), width)]
    room = height - len(lines) - 2
    if room >= 6:
        lines += [EMPTY, *_file(entry.path, width, room + 1)]
    return tight(lines, height)


def _section(preset: "Preset", name: str) -> str:
    """Return a section as its kind and the keys that its file gives."""
    section: Any = getattr(preset, name)
    if name == "train":
        return _train(section)
    given = sorted(section.model_fields_set - {"name"}, key=list(type(section).model_fields).index)
    parts = [f"{_spaced(key)} {_value(getattr(section, key))}" for key in given]
    return ", ".join([str(section.name), *parts])


def _train(train: Any) -> str:
    if train.epochs is not None:
        length = ngettext("{count:,} epoch", "{count:,} epochs", train.epochs)
    else:
        length = ngettext("{count:,} step", "{count:,} steps", train.steps)
    size = _("full batch") if train.batch_size == "full" else _("batch size {size}", size=train.batch_size)
    said = {"epochs", "steps", "batch_size"}
    rest = sorted(train.model_fields_set - said, key=list(type(train).model_fields).index)
    return ", ".join([length, size, *(f"{_spaced(key)} {_value(getattr(train, key))}" for key in rest)])


def _spaced(key: str) -> str:
    return key.rstrip("_").replace("_", " ")


def _value(value: Any) -> str:
    """Write a setting as people do: widths as 64-32, a place as -7, -2, a table as its keys."""
    match value:
        case bool():
            return _("on") if value else _("off")
        case tuple() | list():
            between = "-" if all(isinstance(part, int) for part in value) else ", "  # a minus is no hyphen
            return between.join(_value(part) for part in value)
        case str():
            return clean(value)
        case int() | float():
            return setting(value)
    if hasattr(value, "model_fields_set"):
        parts = [
            key if getattr(value, key) is True else f"{_spaced(key)} {_value(getattr(value, key))}"
            for key in type(value).model_fields
            if key in value.model_fields_set
        ]
        return ", ".join(parts)
    return show(value)


def _parameters(preset: "Preset | None", runs: Sequence[RunStatus]) -> int | None:
    """Return the number of parameters, taken from a run of the same model and data; None if there is no such run."""
    if preset is None:
        return None
    wanted = tomllib.loads(preset.to_toml())
    for run in runs[:5]:
        with contextlib.suppress(OSError, ValueError):
            stored = tomllib.loads(run.folder.preset.read_text(encoding="utf-8"))
            if run.parameters and all(stored.get(key) == wanted.get(key) for key in ("data", "model")):
                return run.parameters
    return None


def _runs(runs: Sequence[RunStatus]) -> str:
    """Return how many there are, and the best accuracy in validation."""
    validated = [run.last("validation") for run in runs]
    best = max((accuracy for __, accuracy in filter(None, validated) if accuracy is not None), default=None)
    if best is None:
        return f"{len(runs)}"
    return _("{count}, best {accuracy} in validation", count=len(runs), accuracy=percent(best))


def _file(path: Path, width: int, most: int) -> list[Line]:
    """Return the lines of the preset's file, with comments and section names in other styles; at most `most`."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    rows = [row for row in text.splitlines() if not row.startswith("#:schema")]
    lines: list[Line] = [(Piece(f"── {clean(path.name)} ".ljust(width, "─"), "quiet"),)]
    for row in rows:
        style = "quiet" if row.startswith("#") else "strong" if row.startswith("[") else ""
        lines += [(Piece(part, style),) for part in wrapped(row, width) or [""]]
    return lines if len(lines) <= most else [*lines[: most - 1], (Piece("…", "quiet"),)]


# --- a run ---


def run_lines(run: RunStatus, changes: Changes, width: int, height: int, *, unicode: bool, now: float) -> list[Line]:
    """Return a run's state, what it trains, its results, what was changed of its preset, its note, and its curve."""
    title = run.name + (f" {run.letters}" if run.letters else "")
    words = _("failed at start; x removes it") if run.failed_at_start else state_words(run.state)
    if run.broken is not None:
        begun = _("step {step}", step=count(run.broken.step))
        words = f"{run.broken.words} ({begun}), {words}" if run.alive else f"{run.broken.words} ({begun})"
    state = Piece(f"{state_sign(run.state, run.broken)} {words}", state_style(run))
    lines: list[Line] = [head(title, "", width), (state, Piece(_where(run), "quiet"))]
    if run.problem or (run.reason and not run.alive):
        lines += [(Piece(text, "trouble"),) for text in wrapped(run.problem or run.reason, width)]
    if run.problem:
        return [*lines, EMPTY, *labelled([(_("folder"), shown_path(run.folder.path))], width)]
    lines += [EMPTY, *labelled(_run_fields(run, now), width)]
    about = _started_from(run, changes.script(run.folder))
    about += trained(changes.stored(run.folder))
    about += _changed(changes.of(run.folder, run.preset))
    if run.note.text:
        about.append((_("note"), run.note.text))
    lines += labelled(about, width)
    tail: list[Line] = [
        *labelled([(_("folder"), shown_path(run.folder.path))], width),
        EMPTY,
        command_line(command_of(run), width),
    ]
    room = min(_MOST_CURVE + 2, height - len(lines) - len(tail))
    if len(run.loss) > 1 and room >= 3:
        lines += [EMPTY, *_losses(run, width, room - 2, unicode=unicode), EMPTY]
    return tight([*lines, *tail], height)


def _losses(run: RunStatus, width: int, height: int, *, unicode: bool) -> list[Line]:
    """Return the curves of the training and of the validation loss over one another, with a legend below."""
    # The curve is of a moment ago, the last loss the one above.
    last = run.loss[-1] if run.last_loss is None else run.last_loss
    told = _("train loss {first} → {last}", first=short_number(run.loss[0]), last=short_number(last))
    legend: list[Line] = [(Piece(f"━ {told}", "train"),)]
    val = run.val_curve if len(run.val_curve) > 1 else ()
    if val:
        told = _("val loss {first} → {last}", first=short_number(val[0]), last=short_number(val[-1]))
        legend.append((Piece(f"╌ {told}", "validation"),))
        wide = (*legend[0], Piece("   "), *legend[1])
        legend = [wide] if LABEL + lines.width_of(wide) <= width or height < 4 else legend
    rows = height - len(legend)
    across = min(max(48, 5 * rows), width - LABEL)
    drawn = [*_curves(run.loss, val, across, rows, unicode=unicode), *legend]
    label, blank = Piece(fitted(_("loss"), LABEL), "quiet"), Piece(" " * LABEL)
    return [(label if i == 0 else blank, *line) for i, line in enumerate(drawn)]


def host_run_lines(there: HostRun, width: int, height: int, *, now: float) -> list[Line]:
    """Return the state and the results of a run on another machine."""
    run = there.run
    title = run.name + (f" {run.letters}" if run.letters else "")
    where = f"  {_('on {host}', host=clean(there.host.name))}"
    state = Piece(f"{state_sign(run.state, None)} {state_words(run.state)}", state_style(run))
    problem = [(Piece(text, "trouble"),) for text in wrapped(run.problem, width)] if run.problem else []
    fields = [] if run.problem else _run_fields(run, now)
    fields += [*_started_from(run, there.script), *_changed(there.changed)]
    if run.note.text:
        fields.append((_("note"), run.note.text))
    fields.append((_("folder"), clean(str(run.folder.path))))
    lines = [head(title, "", width), (state, Piece(where, "quiet")), *problem, EMPTY, *labelled(fields, width)]
    return tight([*lines, EMPTY, command_line(command_of(there), width)], height)


def _started_from(run: RunStatus, script: str | None) -> list[Field]:
    """Return the script of a loop of one's own, and the preset or the script's own name, if the title lacks it."""
    fields = [(_("script"), script)] if script else []
    if run.preset and run.preset != run.name:
        fields.append((_("preset") if script is None else _("name"), run.preset))
    return fields


def _changed(settings: Mapping[str, Any] | None) -> list[Field]:
    words = ", ".join(f"{key} {show(value)}" for key, value in (settings or {}).items())
    return [(_("changed"), clean(words))] if words else []


def _curves(train: Sequence[float], val: Sequence[float], width: int, height: int, *, unicode: bool) -> list[Line]:
    """Return two lines over one another, the second one dashed and in front."""
    from descent.common import braille  # with NumPy, which the first frame does not wait for

    behind, dots = braille.curves([train, val], width, height)
    front = braille.bits(braille.dashes(dots))
    both, is_front = braille.bits(behind) | front, front > 0
    cells = braille.characters(both) if unicode else braille.ascii_signs(both, is_front.astype(int))
    styled = ["validation" if there else "train" for there in is_front.flat]
    found = []
    for row in range(height):
        line = zip(map(chr, cells[row].tolist()), styled[row * width :], strict=False)
        parts = groupby(line, key=lambda cell: cell[1])
        found.append(tuple(Piece("".join(text for text, __ in part), style) for style, part in parts))
    return found


def _ended_words(run: RunStatus) -> str:
    return run.broken.words if run.broken is not None and not run.alive else state_words(run.state)


def _where(run: RunStatus) -> str:
    parts = []
    if run.alive and run.host and run.host != socket.gethostname():
        parts.append(_("on {host}", host=clean(run.host)))
    if run.state == "starting" and run.stage:
        parts.append(stage_words(run.stage))
    if run.alive and run.total:
        parts.append(percent(run.share))
    return "".join(f"  {part}" for part in parts)


def _run_fields(run: RunStatus, now: float) -> list[Field]:
    step = _("{step:,} of {total:,}", step=run.step, total=run.total) if run.total else f"{run.step:,}"
    if run.epoch is not None:
        epoch = f"{run.epoch:,.1f}" if run.epoch < 10 else f"{run.epoch:,.0f}"
        step = f"{step}, {_('epoch {epoch}', epoch=epoch)}"
    fields = [(_("step"), step)]
    if run.candidate:
        fields.append(
            (_("best"), _("{candidate}, of {count} candidates", candidate=run.candidate, count=run.candidates))
        )
    for split, label in (("validation", _("validation")), ("test", _("test"))):
        reached = run.last(split)
        if reached is not None:
            loss, accuracy = reached
            parts = [percent(accuracy)] if accuracy is not None else []
            scores = score_words(run.scores.get(split, {}))
            parts += [_("loss {loss}", loss=short_number(loss))] if loss is not None or not scores else []
            fields.append((label, ", ".join([*parts, *scores])))
    if run.last_loss is not None:
        fields.append((_("train"), _("loss {loss}", loss=short_number(run.last_loss))))
    if run.scalars:
        named = [f"{name} {number_text(name, value)}" for name, value in list(run.scalars.items())[:_MOST_SCALARS]]
        more = len(run.scalars) - len(named)
        fields.append((_("scalars"), ", ".join([*named, *([_("… and {number} more", number=more)] if more else [])])))
    fields.append((pgettext("at a time", "started"), _when(run.started, now)))
    if run.seconds:
        fields.append((_("trained for"), time_taken(run.seconds)))
    if run.device:
        fields.append((_("device"), run.device))
    if run.parameters is not None:
        fields.append((_("parameters"), f"{run.parameters:,}"))
    return fields


def _when(moment: float | None, now: float) -> str:
    if moment is None:
        return ""
    local = time.localtime(moment)
    today = time.localtime(now)[:3] == local[:3]
    return f"{time.strftime('%H:%M' if today else '%Y-%m-%d %H:%M', local)}, {ago(now - moment)}"


# --- a study ---


def study_lines(study: Study, changes: Changes, width: int, height: int) -> list[Line]:
    """Return how many runs a study has, as many of them as there is room for, the best first, and its command."""
    states = Counter(_ended_words(run) for run in study.runs)
    fields = [(_("runs"), ", ".join(f"{number:,} {words}" for words, number in states.items()))]
    best = study.best
    if best is not None:
        label, number = metric(best)
        fields += [(_("best"), f"{label} {number}, {clean(best.folder.id)}")]
    fields.append((_("folder"), shown_path(study.folder)))
    opened = _("enter: list its runs") if not study.is_open else _("enter: fold its runs")
    lines = [head(study.folder.name, "", width), EMPTY, *labelled(fields, width), EMPTY]
    tail: list[Line] = [(Piece(opened, "quiet"),), EMPTY, command_line(command_of(study), width)]
    room = height - len(lines) - len(tail) - 1
    return tight([*lines, *_ranked(study, changes, width, room), *tail], height)


def _ranked(study: Study, changes: Changes, width: int, room: int) -> list[Line]:
    """Return a line for each of a study's ended runs that has a result: its job, what varies, and the result."""
    ended = [run for run in study.runs if not run.alive and run.broken is None and run.results]
    ended.sort(key=lambda run: standing(run.results))
    if room < 2 or not ended:
        return []
    told = [metric(run) for run in ended[:room]]
    words = max(cell_len(f"{label} {number}") for label, number in told)
    found: list[Line] = []
    for run, (label, number) in zip(ended, told, strict=False):
        job = fitted(clean(run.folder.id).rpartition("-")[2], LABEL)
        varied = fitted(changes.words(run), max(0, width - LABEL - words - 1))
        found.append(
            (Piece(job, "quiet"), Piece(varied), Piece(f" {fitted(f'{label} {number}', words, right=True)}"))
        )
    return [*found, EMPTY]


# --- a lab ---


def lab_lines(entry: LabEntry, width: int, height: int) -> list[Line]:
    """Return what a lab is about, its learner's progress, and the next step."""
    if entry.broken:
        wrong = [(Piece(text, "trouble"),) for text in wrapped(entry.broken, width)]
        return tight(
            [head(entry.id, _("broken"), width), EMPTY, *wrong, EMPTY, command_line(entry.command, width)], height
        )
    about = [(Piece(text),) for text in wrapped(entry.about, width)]
    facts = labelled(entry.facts, width)
    lines = [head(entry.title, "", width), *about, EMPTY, *facts, EMPTY, command_line(entry.command, width)]
    return tight(lines, height)


def shown_path(path: Path) -> str:
    """Write a path as people do: relative to the current folder or to the home folder."""
    with contextlib.suppress(ValueError, OSError):
        return clean(str(path.relative_to(Path.cwd().resolve())))
    with contextlib.suppress(ValueError, RuntimeError):
        return clean(f"~/{path.relative_to(Path.home())}")
    return clean(str(path))


def head(title: str, note: str, width: int) -> Line:
    """Return a title, and what is wrong with it."""
    shown = fitted(clean(title), min(width, cell_len(clean(title))))
    return (Piece(shown, "strong"), Piece(f"  {note}" if note else "", "trouble"))


def labelled(fields: Sequence[Field], width: int) -> list[Line]:
    """Return labels in one column and values in the other, wrapped below themselves."""
    rows: list[Line] = []
    for label, value in fields:
        for position, part in enumerate(wrapped(value, width - LABEL) or [""]):
            rows.append((Piece(fitted("" if position else label, LABEL), "quiet"), Piece(part)))
    return rows


def command_line(command: str, width: int) -> Line:
    """Return a shell's line, cut if it is too long. A key copies the whole."""
    return (Piece("$ ", "quiet"), Piece(fitted(command, width - 2).rstrip(), "key"))


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, each folded between words to at most `width` cells."""
    return [part for row in text.splitlines() for part in lines.wrapped(clean(row), max(8, width))]


def tight(whole: list[Line], height: int) -> list[Line]:
    """Leave out empty lines if they would push text out. The last line, the command, always stays."""
    if len(whole) <= height:
        return whole
    kept = [line for line in whole if line != EMPTY]
    return kept if len(kept) <= height else [*kept[: height - 1], kept[-1]]


class Details(Lines):
    """Shows one entry of the list; nothing for a heading."""

    app: ConsoleApp
    DEFAULT_CSS = "Details { width: 1fr; height: 1fr; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__(id="details")
        self._item: Item = None
        self._runs: Sequence[RunStatus] = ()
        self._is_new = False  # whether the user has no run yet
        self.changes = Changes()
        self._loaded: dict[Entry, Preset | None] = {}

    def show(self, item: Item, runs: Sequence[RunStatus] | None) -> None:
        """item: the entry. runs: all of them, for what they say of each other; None while they are still unread."""
        self._item, self._runs, self._is_new = item, runs or (), runs is not None and not runs
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        welcome = self._welcome() if self._is_new and height >= 12 else []
        return [*welcome, *self._lines(width, height - len(welcome))]

    def _welcome(self) -> list[Line]:
        """Return what to press first, for a user without any run."""
        name = self._item.name if isinstance(self._item, Entry) else ""
        name = self._item.title if isinstance(self._item, LabEntry) else name
        told = [
            *([_("press enter to begin: {name}", name=clean(name))] if name else []),
            _("press / and type digits-mlp: it trains in a second"),
            _("press ? for all keys"),
        ]
        return [(Piece(_("Welcome to Descent"), "strong"),), *((Piece(text, "key"),) for text in told), EMPTY]

    def _lines(self, width: int, height: int) -> Sequence[Line]:
        unicode = self.app.terminal.unicode
        match self._item:
            case Entry():
                return preset_lines(self._item, self._preset(self._item), self._runs, width, height, unicode=unicode)
            case RunStatus():
                return run_lines(self._item, self.changes, width, height, unicode=unicode, now=self.app.clock())
            case HostRun():
                return host_run_lines(self._item, width, height, now=self.app.clock())
            case Study():
                return study_lines(self._item, self.changes, width, height)
            case LabEntry():
                return lab_lines(self._item, width, height)
        return ()

    def _preset(self, entry: Entry) -> "Preset | None":
        """Return the preset of an entry, read once. The schema is loaded by then, so this takes a millisecond."""
        if entry.broken:
            return None
        if entry not in self._loaded:
            from engine.preset.loading import load_preset

            try:
                self._loaded[entry] = load_preset(entry.path)
            except DescentError:  # it was good a moment ago; the next reading of the presets says what is wrong
                self._loaded[entry] = None
        return self._loaded[entry]

    def forget(self) -> None:
        """Forget the presets that were read. Their files may have changed."""
        self._loaded.clear()
