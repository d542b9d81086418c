"""What `descent data look` prints: the columns of a table, the classes of a data set, and what is left out."""

import contextlib
import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from descent.common.errors import DataError, PresetError
from descent.common.files import json_safe
from descent.common.i18n import _, pgettext
from descent.common.text import clean, shorten, show
from engine.cli.tables import print_fields, print_json, print_table
from engine.preset import schema
from engine.preset.find import find
from engine.preset.loading import checked, load_preset

if TYPE_CHECKING:
    from engine.training.data.dataset import Samples
    from engine.training.data.image_survey import Survey
    from engine.training.data.table_roles import ColumnFacts, Table

_SHOWN = 30  # classes
_SIDE = 32  # pixels, to which the preset to begin with brings larger images


def look(source: str, targets: Sequence[str], overrides: Sequence[str], root: Path, *, as_json: bool) -> None:
    """Print what a table's file or the data of a preset are.

    targets: the target columns of a file. Raises DescentError for what can't be read.
    """
    from engine.training.data import image_survey, table_roles, tables
    from engine.training.data.load import check_samples, read_samples

    path = Path(os.path.expanduser(source))
    name = _kind(source, path)
    is_table = name == "csv"
    data = load_preset(source, overrides).data if name is None else _section(path, name, targets, overrides)
    table, samples, images, problem = None, None, None, ""
    if isinstance(data, schema.CsvData):
        table = table_roles.look(data)
        try:
            samples = tables.read(data)
            check_samples(samples)
        except DataError as error:
            problem = str(error)
            samples, data = _mended(data, table) if targets and not as_json else (None, data)
    else:
        samples = read_samples(data, root)
        if isinstance(data, schema.ImagesData):
            images = image_survey.survey(data)
            problem = images.problem
    if samples is not None:
        data, too_few = _with_room(data, samples)
        problem = problem or too_few
    counts = _counts(samples)
    if as_json:
        print_json(_as_json(source, data.name, table, samples, images, counts, problem))
        return
    if table is not None:
        _print_table(table)
    _print_samples(table, samples, images, counts)
    for note in _notes(table, samples, images):
        print(f"- {clean(note)}")
    if problem and (not is_table or targets):
        print(_("It can't be trained on as it is: {problem}", problem=clean(problem)))
    if name is not None:
        _print_preset(path, data, table, samples, images)


def _mended(data: schema.CsvData, table: "Table") -> "tuple[Samples | None, schema.CsvData]":
    """Return the samples with the settings that a table needs, where missing cells or whole numbers stopped it.

    None, and the settings as they were, for a table that needs something else.
    """
    from engine.training.data import tables
    from engine.training.data.load import check_samples

    is_missing = any(column.missing for column in table.columns if column.role != "left out")
    filled = [{}, {"missing": "mean"}] if is_missing and data.missing == "refuse" else [{}]
    for task in ({}, {"task": "regression"}) if data.task == "auto" else ({},):
        for fill in filled:
            settings = data.model_copy(update={**task, **fill})
            try:
                samples = tables.read(settings)
                check_samples(samples)
            except DataError:
                continue
            return samples, settings
    return None, data


def _with_room(data: schema.AnyData, samples: "Samples") -> tuple[schema.AnyData, str]:
    """Return the settings with which each split has one sample of each class, and why those given do not do.

    They are as given where no others would do.
    """
    from engine.training.data import splits

    try:
        splits.plan(data, samples)
    except DataError as error:
        problem = str(error)
    else:
        return data, ""
    shares = {key: getattr(data, key) for key in ("validation", "test") if hasattr(data, key)}
    room = math.ceil(1000 * len(samples.classes or "1") / len(samples.targets)) / 1000
    larger = {key: max(share, room) for key, share in shares.items()}
    for other in ({"validation": larger["validation"]}, larger, dict.fromkeys(shares, 0.0)):
        settings = data.model_copy(update=other)
        with contextlib.suppress(DataError):
            splits.plan(settings, samples)
            return settings, problem
    return data, problem


def _kind(source: str, path: Path) -> Literal["csv", "images"] | None:
    """Return what the data of a file or a folder without a preset are, or None for a preset."""
    from engine.training.data import image_files

    if path.is_dir() and find(source).is_dir():
        return "images"
    if not path.is_file() or path.suffix.lower() == ".toml":
        return None
    is_images = zipfile.is_zipfile(path) and bool(image_files.split_images(image_files.list_files(path))[0])
    return "images" if is_images else "csv"


def _section(path: Path, name: str, targets: Sequence[str], overrides: Sequence[str]) -> schema.AnyData:
    """Return the data section of a file or a folder without a preset."""
    if targets and name == "images":
        raise PresetError(_("--target names a column of a table, but {file} holds images: leave it out.", file=path))
    settings: dict[str, Any] = {
        "data": {"name": name, "path": str(path.absolute())} | ({"target": [*targets]} if name == "csv" else {}),
        "model": {"name": "softmax"},
        "loss": {"name": "cross-entropy"},
        "optimizer": {"name": "sgd", "lr": 0.1},
        "train": {"steps": 1, "batch_size": "full"},
    }
    data = checked(settings, path, overrides).data
    if data.name != name:
        raise PresetError(
            _(
                "data.name = {name}: {file} is looked at as {expected}",
                name=show(data.name),
                file=path,
                expected=show(name),
            )
        )
    return data


def _counts(samples: "Samples | None") -> dict[str, int] | None:
    """Return the number of samples of each class, or None for a regression."""
    if samples is None or not samples.is_classification:
        return None
    import numpy as np

    counts = np.bincount(samples.targets, minlength=len(samples.classes))
    return {name: int(count) for name, count in zip(samples.classes, counts, strict=True)}


def _as_json(
    source: str,
    kind: str,
    table: "Table | None",
    samples: "Samples | None",
    images: "Survey | None",
    counts: dict[str, int] | None,
    problem: str,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "source": source,
        "kind": kind,
        "samples": None if samples is None else len(samples.targets),
        "classes": counts,
        "notes": _notes(table, samples, images),
        "problem": problem or None,
    }
    if images is not None:
        found |= {"sizes": sorted(map(list, images.sizes)), "damaged": [*images.damaged]}
    if table is None:
        return found | {"shape": None if samples is None else list(samples.inputs.shape[1:])}
    columns = [
        {
            "name": column.name,
            "kind": column.kind,
            "role": column.role,
            "missing": column.missing,
            "distinct": column.distinct,
            "low": json_safe(column.low),
            "high": json_safe(column.high),
            "words": [*column.words],
            "reason": column.reason or None,
        }
        for column in table.columns
    ]
    left_out = None if samples is None else samples.rows_left_out
    return found | {
        "rows": len(table.file),
        "rows_left_out": left_out,
        "targets": [*table.targets],
        "inputs": [column.name for column in table.inputs],
        "columns": columns,
    }


def _print_table(table: "Table") -> None:
    from engine.training.data.table_roles import KINDS

    roles = {"input": _("input"), "target": _("target"), "left out": _("left out"), "refused": _("refused")}
    rows = [
        (
            shorten(column.name or "–", 40),
            _(KINDS[column.kind]),
            str(column.missing or ""),
            roles[column.role],
            _values(column),
        )
        for column in table.columns
    ]
    print(
        _(
            "{file}: {rows} rows, {columns} columns",
            file=clean(str(table.path)),
            rows=len(table.file),
            columns=len(rows),
        )
    )
    print_table(
        (_("COLUMN"), _("KIND"), _("MISSING"), _("USED AS"), _("VALUES")),
        rows,
        right=(_("MISSING"),),
    )


def _values(column: "ColumnFacts") -> str:
    """Return what the cells of a column are, or why it is left out or refused."""
    if column.reason:
        return column.reason
    if column.low is not None and column.high is not None:
        return _("{low:g} to {high:g}", low=column.low, high=column.high)
    words = ", ".join(shorten(clean(word), 24) for word in column.words[:6])
    more = (column.distinct or 0) - 6
    return _("{names} and {count} more", names=words, count=more) if more > 0 else words


def _notes(table: "Table | None", samples: "Samples | None", images: "Survey | None") -> list[str]:
    found = samples.notes if samples is not None else table.notes if table is not None else ()
    return [*found, *(images.notes if images is not None else ())]


def _print_samples(
    table: "Table | None", samples: "Samples | None", images: "Survey | None", counts: dict[str, int] | None
) -> None:
    if samples is None:
        return
    fields = [(_("samples"), str(len(samples.targets)))]
    if samples.rows_left_out:
        fields.append((_("rows left out"), str(samples.rows_left_out)))
    if table is None:
        shape = " × ".join(map(str, samples.inputs.shape[1:]))
        if images is not None and images.is_mixed:
            shape = _("{channels} channels, of several sizes", channels=samples.inputs.shape[1])
        fields.append((_("inputs"), shape))
    if counts is None:
        fields.append((_("targets"), _("quantities ({count})", count=samples.targets.shape[1])))
    else:
        shown = ", ".join(f"{clean(name)} {count}" for name, count in list(counts.items())[:_SHOWN])
        more = len(counts) - _SHOWN
        names = _("{names} and {count} more", names=shown, count=more) if more > 0 else shown
        fields.append((pgettext("of data", "classes"), f"{len(counts)}: {names}"))
    print()
    print_fields(samples.where if table is None else _("What is trained on"), fields)


def _print_preset(
    path: Path,
    data: schema.AnyData,
    table: "Table | None",
    samples: "Samples | None",
    images: "Survey | None",
) -> None:
    """Print a preset that trains on this file; of data that can't be trained on as they are, its first section.

    data: its settings, as they were looked at.
    """
    import tomli_w

    section = {key: value for key, value in data.model_dump(mode="json", exclude_unset=True).items() if value != []}
    section |= {"path": str(path)}
    target = section.get("target")
    if isinstance(target, list) and len(target) == 1:
        section["target"] = target[0]
    if table is not None:
        if not table.targets:
            print(_("With --target NAME, the classes or the quantities to predict are shown too."))
            section["target"] = _("NAME")
        section.setdefault("scaling", "standard")
        if any(column.missing for column in table.columns if column.role != "left out"):
            section.setdefault("missing", "mean")
        if samples is not None and not samples.is_classification:
            section.setdefault("scale_target", True)
    if samples is not None and images is not None and (images.is_mixed or max(samples.inputs.shape[1:]) > _SIDE):
        section.setdefault("image_size", _SIDE)  # images of several sizes are brought to one, large ones train fast
    lines: dict[str, Any] = {"data": section}
    if samples is not None:
        lines |= {
            "model": {"name": "mlp"} if table is not None else {"name": "cnn", "batch_norm": True},
            "loss": {"name": "cross-entropy" if samples.is_classification else "mse"},
            "optimizer": {"name": "adam", "lr": 0.01 if table is not None else 0.001},
            "train": {"epochs": 30, "batch_size": 32},
        }
    print()
    print(
        _("In a preset (a .toml file):")
        if samples is None
        else _("A preset to begin with (save it as a .toml file):")
    )
    print()
    print(tomli_w.dumps(lines).rstrip())
