"""Loading a preset: read a TOML file, apply overrides, check the result as a whole and freeze it."""

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.common.settings import Override, flatten, parse
from descent.common.text import clean
from descent.run.find import is_run
from descent.run.folder import RunFolder
from descent.run.schema import LOOP_FILE
from engine.preset import overrides, schema, sweep
from engine.preset.find import find, path_shown, read_tables
from engine.preset.messages import ProblemList
from engine.preset.schema import describe


@dataclass(frozen=True)
class Preset:
    """A checked preset. path: the file it came from. notes: what to tell the user once."""

    settings: schema.PresetModel
    name: str
    path: Path | None = None
    notes: tuple[str, ...] = ()

    def already_at(self, step: int) -> PresetError:
        """Return the error of a fork that begins at a step, where the training should have ended already."""
        train = self.train
        return PresetError(
            _(
                "{key} = {given} is already reached at step {step:,}, where this fork begins; give more, or fork at "
                "an earlier checkpoint",
                key="train.steps" if train.steps is not None else "train.epochs",
                given=train.steps or train.epochs,
                step=step,
            )
        )

    @property
    def title(self) -> str:
        return self.settings.title

    @property
    def data(self) -> schema.AnyData:
        return self.settings.data

    @property
    def model(self) -> schema.AnyModel:
        return self.settings.model

    @property
    def loss(self) -> schema.AnyLoss:
        return self.settings.loss

    @property
    def optimizer(self) -> schema.AnyOptimizer:
        return self.settings.optimizer

    @property
    def schedule(self) -> schema.AnySchedule:
        return self.settings.schedule

    @property
    def train(self) -> schema.Train:
        return self.settings.train

    @property
    def members(self) -> schema.Members:
        return self.settings.members

    @property
    def metrics(self) -> schema.OwnMetrics:
        return self.settings.metrics

    @property
    def code(self) -> dict[str, str]:
        """Return the "file.py:name" of the user's own code, by the section that names it."""
        settings = self.settings
        named = {name: getattr(getattr(settings, name), "code", None) for name in overrides.CODE_TABLES}
        return {name: spec for name, spec in named.items() if spec is not None}

    def flat(self) -> dict[str, Any]:
        """Return every setting by its dotted key."""
        return flatten(self.settings.model_dump(by_alias=True, exclude_none=True))

    def changed(self, texts: Sequence[str]) -> "Preset":
        """Return a copy with overrides such as "optimizer.lr=0.1". Raises PresetError if the result is no preset."""
        assert self.path is not None
        settings = self.settings.model_dump(by_alias=True, exclude_none=True)
        return replace(checked(settings, self.path, texts), name=self.name)

    def to_toml(self) -> str:
        """Return the preset as TOML with every default written out. Loading that gives the same settings again."""
        settings = self.settings.model_dump(by_alias=True, exclude_none=True)
        if self.metrics.code is None:
            del settings["metrics"]
        if self.members == schema.Members():
            del settings["members"]
        elif not self.members.sweep:
            del settings["members"]["sweep"]
        return _short_lists(tomli_w.dumps({key: _name_first(value) for key, value in settings.items()}))


def load_preset(source: str | Path, overrides: Sequence[str] = ()) -> Preset:
    """Load a preset by its name or its file, and apply overrides such as "optimizer.lr=0.1".

    Relative paths in the file are taken from the file's folder, those in overrides from the current folder.
    Raises PresetError, with a line for each thing that is wrong.
    """
    path = find(source)
    if (path.parent / LOOP_FILE).is_file():
        raise PresetError(_why_no_loop(RunFolder(path.parent)))
    settings = read_tables(path)
    if not settings and not overrides:
        names = ", ".join(describe.sections())
        raise PresetError(
            _("{file}: is empty; a preset has the sections {names}", file=path_shown(path), names=names)
        )
    return checked(settings, path, overrides)


def _why_no_loop(run: RunFolder) -> str:
    """Return why a loop of one's own is no preset, and where its weights are."""
    why = _("{run} is a training loop of one's own, not a preset; this needs a preset's run", run=run.id)
    why += "; " + _("its numbers: {command}", command=f"descent export {shlex.quote(run.id)} --csv")
    saved = run.checkpoints()
    if not saved:
        return why
    file = clean(str(run.checkpoint(saved[-1])))
    return why + "; " + _('what its script tracks is in torch.load("{file}")["objects"]', file=file)


def checked(settings: dict[str, Any], path: Path, texts: Sequence[str] = ()) -> Preset:
    """Return the preset that these tables of the file at `path` make, with overrides. `settings` is changed in place.

    Raises PresetError, with a line for each thing that is wrong.
    """
    given, problems = parse(texts)
    complaints = ProblemList(path_shown(path), given)
    notes = overrides.apply(settings, given)
    complaints.storable((), settings)
    complaints.tables(settings)
    _imply_names(settings)
    _join_sweep_keys(settings)
    _make_paths_absolute(settings, path.absolute().parent, given)
    try:
        model = schema.PresetModel.model_validate(settings, by_alias=True, by_name=False)
        model, wrong = sweep.checked(model, complaints)
        problems += wrong
    except ValidationError as error:
        complaints.schema(error, settings)
    problems += complaints.lines()
    if problems:
        raise PresetError("\n".join(problems))
    return Preset(model, path.stem, path.absolute(), tuple(notes))


def _imply_names(settings: dict[str, Any]) -> None:
    """Fill in the `name` of sections that may leave it out: those with the user's own code or with a default kind."""
    fields = schema.PresetModel.model_fields  # not the JSON Schema, which takes longer to make than all else here
    for section, field in fields.items():
        table = settings.get(section)
        if not isinstance(table, dict) or "name" in table:
            continue
        if section in overrides.CODE_SECTIONS and "code" in table:
            table["name"] = "code"
        elif hasattr(field.default, "name"):
            table["name"] = field.default.name
    for section, field in fields.items():
        if field.is_required():
            settings.setdefault(section, {})  # so that the error says which of its keys are needed


def _join_sweep_keys(settings: dict[str, Any]) -> None:
    """Turn sweep.optimizer.lr = […], which TOML reads as tables in tables, into sweep."optimizer.lr" = […]."""
    table = settings.get("members")
    sweep = table.get("sweep") if isinstance(table, dict) else None
    if not isinstance(table, dict) or not isinstance(sweep, dict):
        return
    joined: dict[str, Any] = {}
    for key, value in sweep.items():
        if key in describe.sections() and isinstance(value, dict):
            joined.update({f"{key}.{inner}": choice for inner, choice in value.items()})
        else:
            joined[key] = value
    table["sweep"] = joined


def _make_paths_absolute(settings: dict[str, Any], folder: Path, given: Sequence[Override]) -> None:
    here = Path.cwd()
    for section, key in (*overrides.FILES, *((section, "code") for section in overrides.CODE_TABLES)):
        table = settings.get(section)
        text = table.get(key) if isinstance(table, dict) else None
        if not isinstance(table, dict) or not isinstance(text, str) or not text:
            continue
        base = here if any((section, key)[: len(o.path)] == o.path for o in given) else folder
        file, colon, name = text.rpartition(":") if key == "code" else (text, "", "")
        absolute = os.path.abspath(base / os.path.expanduser(file))
        # `from` may name a run or a preset too, and a folder of that name may be something else.
        if file and (key != "from" or os.path.isfile(absolute) or is_run(Path(absolute))):
            table[key] = absolute + colon + name


def _name_first(section: Any) -> Any:
    if isinstance(section, dict) and "name" in section:
        return {"name": section["name"], **section}
    return section


def _short_lists(toml: str) -> str:
    """Join each list on one line. tomli_w gives each item a line of its own, which is harder to read."""
    lines: list[str] = []
    items: list[str] | None = None
    for line in toml.splitlines():
        if items is None and line.endswith(" = ["):
            items = [line]
        elif items is None:
            lines.append(line)
        elif line == "]":
            lines.append(items[0] + " ".join(items[1:]).removesuffix(",") + "]")
            items = None
        else:
            items.append(line.strip())
    return "\n".join(lines) + "\n"
