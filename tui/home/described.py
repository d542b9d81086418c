"""What is said of a preset or a run beside the list: lines of styled pieces, for the width and height there is."""

import contextlib
import shlex
import socket
import textwrap
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.flat import flat
from engine.library import Entry
from engine.texts import clean, show
from tui.home.glance import Glance
from tui.home.rows import ago
from tui.numbers import duration, percent
from tui.signs import STATE_STYLES, bars, curve, short_number, sign
from tui.widgets.lines import Line, Piece, fitted

if TYPE_CHECKING:
    from engine.preset import Preset

Field = tuple[str, str]
_LABEL = 12  # cells of the labels' column
_SECTIONS = ("data", "model", "loss", "optimizer", "schedule", "train")
_EMPTY: Line = ()


def command_of(item: Glance | Entry, overrides: Sequence[str] = ()) -> str:
    """What a shell would do as this screen does: train a preset, look at a run, or go on with a stopped one."""
    if isinstance(item, Entry):
        sets = "".join(f" --set {shlex.quote(text)}" for text in overrides)
        return f"descent run {shlex.quote(item.name)}{sets}"
    return f"descent {'resume' if can_go_on(item) else 'attach'} {shlex.quote(item.folder.id)}"


def can_go_on(run: Glance) -> bool:
    """Whether there is something left to train."""
    return run.state in ("stopped", "failed", "lost")


# --- a preset ---


def preset_lines(
    entry: Entry, preset: "Preset | None", runs: Sequence[Glance], width: int, height: int, *, unicode: bool
) -> list[Line]:
    """entry's title, its sections in rows, its runs so far, its command, and its file as far as there is room."""
    if entry.broken:
        wrong = [(Piece(text, "trouble"),) for text in _wrapped(entry.broken, width)]
        return [
            _head(entry.name, "broken", width),
            _EMPTY,
            *wrong,
            _EMPTY,
            (Piece(f"file  {_path(entry.path)}"),),
        ]
    head = [_head(entry.title or entry.name, "", width)]
    if entry.reaches:
        head.append((Piece("reaches ", "quiet"), Piece(fitted(entry.reaches, width - 8).rstrip(), "good")))
    fields = [(name, _section(preset, name)) for name in _SECTIONS] if preset is not None else []
    own = [run for run in runs if run.preset == entry.name]
    parameters = _parameters(preset, own)
    if parameters is not None:
        fields.insert(2, ("", f"{parameters:,} parameters"))
    if own:
        fields.append(("your runs", _runs(own)))
    if entry.origin != "shipped":
        fields.append(("from", _path(entry.path)))
    lines = [*head, _EMPTY, *_rows(fields, width), _EMPTY, _command(entry, width)]
    room = height - len(lines) - 2
    if room >= 6:
        lines += [_EMPTY, *_file(entry.path, width, room + 1)]
    return _tight(lines, height)


def _section(preset: "Preset", name: str) -> str:
    """A section as its kind and the keys that its file gives."""
    section: Any = getattr(preset, name)
    if name == "train":
        return _train(section)
    given = sorted(section.model_fields_set - {"name"}, key=list(type(section).model_fields).index)
    parts = [f"{_spaced(key)} {_value(getattr(section, key))}" for key in given]
    return ", ".join([str(section.name), *parts])


def _train(train: Any) -> str:
    length = f"{train.epochs:,} epochs" if train.epochs is not None else f"{train.steps:,} steps"
    size = "the whole set at once" if train.batch_size == "full" else f"batches of {train.batch_size}"
    said = {"epochs", "steps", "batch_size"}
    rest = sorted(train.model_fields_set - said, key=list(type(train).model_fields).index)
    return ", ".join([length, size, *(f"{_spaced(key)} {_value(getattr(train, key))}" for key in rest)])


def _spaced(key: str) -> str:
    return key.rstrip("_").replace("_", " ")


def _value(value: Any) -> str:
    """A setting as people write it: a tuple as 64, 32; a table as its keys."""
    match value:
        case bool():
            return "on" if value else "off"
        case tuple() | list():
            return "-".join(str(part) for part in value)
        case str():
            return clean(value)
        case float():
            return f"{value:g}"
    if hasattr(value, "model_fields_set"):
        parts = [
            key if getattr(value, key) is True else f"{_spaced(key)} {_value(getattr(value, key))}"
            for key in type(value).model_fields
            if key in value.model_fields_set
        ]
        return " and ".join(parts)
    return show(value)


def _parameters(preset: "Preset | None", runs: Sequence[Glance]) -> int | None:
    """Of a run of the very same model and data; nothing is guessed."""
    if preset is None:
        return None
    wanted = tomllib.loads(preset.to_toml())
    for run in runs[:5]:
        with contextlib.suppress(OSError, ValueError):
            stored = tomllib.loads(run.folder.preset.read_text(encoding="utf-8"))
            if run.parameters and all(stored.get(key) == wanted.get(key) for key in ("data", "model")):
                return run.parameters
    return None


def _runs(runs: Sequence[Glance]) -> str:
    """How many there are, and the best of them on the test split."""
    text = f"{len(runs)}"
    tested = [run.last("test") for run in runs]
    best = max((accuracy for _, accuracy in filter(None, tested) if accuracy is not None), default=None)
    return f"{text}, the best {percent(best)} on test" if best is not None else text


def _file(path: Path, width: int, most: int) -> list[Line]:
    """The preset's file, comments and section names apart; at most so many lines."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    rows = [row for row in text.splitlines() if not row.startswith("#:schema")]
    lines: list[Line] = [(Piece(f"── {clean(path.name)} ".ljust(width, "─"), "quiet"),)]
    for row in rows:
        style = "quiet" if row.startswith("#") else "strong" if row.startswith("[") else ""
        lines += [(Piece(part, style),) for part in _wrapped(row, width) or [""]]
    return lines if len(lines) <= most else [*lines[: most - 1], (Piece("…", "quiet"),)]


# --- a run ---


def run_lines(
    run: Glance, preset: "Preset | None", width: int, height: int, *, unicode: bool, now: float
) -> list[Line]:
    """A run's state, curve, results and settings that differ from `preset`, which it was started from."""
    title = run.name + (f" {run.letters}" if run.letters else "")
    state = Piece(f"{sign(run.state, unicode=unicode)} {run.state}", STATE_STYLES.get(run.state, ""))
    lines: list[Line] = [_head(title, "", width), (state, Piece(_where(run), "quiet"))]
    if run.problem or (run.reason and not run.alive):
        lines += [(Piece(text, "trouble"),) for text in _wrapped(run.problem or run.reason, width)]
    if run.problem:
        return [*lines, _EMPTY, *_rows([("folder", _path(run.folder.path))], width)]
    lines += [_EMPTY, *_rows(_run_fields(run, now), width)]
    changed = _changed(run, preset)
    if changed:
        lines += _rows([("changed", changed)], width)
    tail: list[Line] = [*_rows([("folder", _path(run.folder.path))], width), _EMPTY, _command(run, width)]
    room = height - len(lines) - len(tail) - 2
    if len(run.loss) > 1 and room >= 1:
        rows = min(7, max(1, room))
        label = Piece(fitted("loss", _LABEL), "quiet")
        blank = Piece(" " * _LABEL)
        across = min(48, width - _LABEL)
        drawn = curve(run.loss, across, rows) if unicode else bars(run.loss, across, rows, unicode=False)
        low_high = f"{short_number(run.loss[0])} to {short_number(run.loss[-1])}"
        lines += [_EMPTY] if rows > 1 else []
        lines += [(label if i == 0 else blank, Piece(row.rstrip(), "train")) for i, row in enumerate(drawn)]
        lines += [(blank, Piece(low_high, "quiet")), _EMPTY] if rows > 1 else []
    return _tight([*lines, *tail], height)


def _where(run: Glance) -> str:
    parts = []
    if run.alive and run.host and run.host != socket.gethostname():
        parts.append(f"on {clean(run.host)}")
    if run.state == "starting" and run.stage:
        parts.append(f"loading {clean(run.stage)}")
    if run.alive and run.total:
        parts.append(percent(run.share))
    return "".join(f"  {part}" for part in parts)


def _run_fields(run: Glance, now: float) -> list[Field]:
    step = f"{run.step:,}" + (f" of {run.total:,}" if run.total else "")
    if run.epoch is not None:
        step += f", epoch {run.epoch:,.1f}"
    fields = [("step", step)]
    for split, label in (("validation", "validation"), ("test", "test")):
        reached = run.last(split)
        if reached is not None:
            loss, accuracy = reached
            parts = [percent(accuracy)] if accuracy is not None else []
            fields.append((label, ", ".join([*parts, f"loss {short_number(loss)}"])))
    if run.last_loss is not None:
        fields.append(("train", f"loss {short_number(run.last_loss)}"))
    fields.append(("started", _when(run.started, now)))
    if run.seconds:
        fields.append(("trained for", _time(run.seconds)))
    if run.device:
        fields.append(("device", run.device))
    if run.parameters is not None:
        fields.append(("parameters", f"{run.parameters:,}"))
    return fields


def _time(seconds: float) -> str:
    return f"{short_number(seconds)} s" if seconds < 60 else duration(seconds)


def _when(moment: float | None, now: float) -> str:
    if moment is None:
        return ""
    local = time.localtime(moment)
    today = time.localtime(now)[:3] == local[:3]
    return f"{time.strftime('%H:%M' if today else '%Y-%m-%d %H:%M', local)}, {ago(now - moment)}"


def _changed(run: Glance, preset: "Preset | None") -> str:
    """The settings that differ from those of the preset that the run was started from."""
    if preset is None:
        return ""
    try:
        stored = tomllib.loads(run.folder.preset.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    before, after = flat(tomllib.loads(preset.to_toml())), flat(stored)
    return ", ".join(f"{key} {show(value)}" for key, value in after.items() if before.get(key) != value)


# --- shared ---


def _path(path: Path) -> str:
    """As people write it: from the current folder, or from their own."""
    with contextlib.suppress(ValueError, OSError):
        return clean(str(path.relative_to(Path.cwd().resolve())))
    with contextlib.suppress(ValueError, RuntimeError):
        return clean(f"~/{path.relative_to(Path.home())}")
    return clean(str(path))


def _head(title: str, note: str, width: int) -> Line:
    shown = fitted(clean(title), min(width, len(clean(title))))
    return (Piece(shown, "strong"), Piece(f"  {note}" if note else "", "trouble"))


def _rows(fields: Sequence[Field], width: int) -> list[Line]:
    """Labels in one column, values in the other, wrapped below themselves."""
    lines: list[Line] = []
    for label, value in fields:
        for position, part in enumerate(_wrapped(value, width - _LABEL) or [""]):
            lines.append((Piece(fitted("" if position else label, _LABEL), "quiet"), Piece(part)))
    return lines


def _command(item: Glance | Entry, width: int) -> Line:
    return (Piece("$ ", "quiet"), Piece(fitted(command_of(item), width - 2).rstrip(), "key"))


def _wrapped(text: str, width: int) -> list[str]:
    return [part for row in text.splitlines() for part in textwrap.wrap(clean(row), max(8, width)) or [""]]


def _tight(lines: list[Line], height: int) -> list[Line]:
    """Without its empty lines where they would push text out; the last line, the command, always stays."""
    if len(lines) <= height:
        return lines
    tight = [line for line in lines if line != _EMPTY]
    return tight if len(tight) <= height else [*tight[: height - 1], tight[-1]]
