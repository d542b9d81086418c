"""Predictions of a run's model as CSV or JSON, and its export."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from descent.common import stdio
from descent.common.errors import DescentError
from descent.common.files import write_output
from descent.common.i18n import _, ngettext
from descent.common.text import clean, did_you_mean, show, unwritable
from engine.cli import tables
from engine.cli.report import tell

if TYPE_CHECKING:
    from engine.training.learned import LearnedModel, Predictions

FORMATS = ("safetensors", "pt2", "onnx")  # of engine.training.export, which loads PyTorch


class Wanted(NamedTuple):
    """A model, as the command line names it."""

    run: str
    member: int | None
    device: str
    runs_dir: Path | None
    data_root: Path | None
    allow_code: bool

    def load(self) -> "LearnedModel":
        """Return the model, and say on stderr what is worth knowing of it."""
        from descent.learned import load

        model = load(
            self.run,
            member=self.member,
            device=self.device,
            runs_dir=self.runs_dir,
            data_root=self.data_root,
            allow_code=self.allow_code,
        )
        for note in model.notes:
            tell(clean(note))
        return model


def predict(wanted: Wanted, data: Path, out: Path | None, *, as_json: bool) -> None:
    """Print the predictions as CSV or one JSON object, or write the CSV into a file."""
    model = wanted.load()
    found = model.predictions(data)
    about = {"run": model.run, "step": model.step, "member": model.member, "task": model.task}
    about |= {"classes": list(model.classes), "targets": list(model.targets), "count": len(found.rows)}
    if out is None and as_json:
        tables.print_json(about | {"predictions": list(_objects(found))})
        return
    text = _csv(model, found)
    if out is None:
        lines = text.rstrip("\n").split("\n")
        # Names of files and classes may hold what a terminal would obey. Programs get them as they are.
        stdio.say("\n".join(map(clean, lines) if sys.stdout.isatty() else lines))
        return
    try:
        write_output(out, text.encode())
    except OSError as error:
        raise unwritable(out, error) from None
    if as_json:
        tables.print_json(about | {"out": str(out)})
        return
    stdio.say(
        ngettext(
            "{count:,} prediction in {file}, by the model of step {step:,}",
            "{count:,} predictions in {file}, by the model of step {step:,}",
            len(found.rows),
            file=clean(str(out)),
            step=model.step,
        )
    )


def _objects(found: "Predictions") -> Iterator[dict[str, Any]]:
    for i, (row, values) in enumerate(zip(found.rows, found.values.tolist(), strict=True)):
        value = values[0] if isinstance(values, list) and len(values) == 1 else values
        more = {} if found.probabilities is None else {"probabilities": found.probabilities[i].tolist()}
        yield {"row": row, "prediction": value, **more}


def _csv(model: "LearnedModel", found: "Predictions") -> str:
    """Return a line for each sample: what it is called, what is predicted, and the probabilities."""
    if found.probabilities is not None:
        heads = ["prediction", *(f"p({name})" for name in model.classes)]
        rows = [[value, *map(_number, p)] for value, p in zip(found.values, found.probabilities, strict=True)]
    else:
        count = found.values.shape[1]
        heads = list(model.targets) if len(model.targets) == count else ["prediction"] * count
        rows = [list(map(_number, values)) for values in found.values]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([found.called, *heads])
    writer.writerows([name, *row] for name, row in zip(found.rows, rows, strict=True))
    return text.getvalue()


def _number(value: float) -> str:
    return f"{value:.7g}"  # the digits of float32


def export(wanted: Wanted, kind: str | None, out: Path | None, *, as_json: bool) -> None:
    """Write the model into a file, and print where it is."""
    kind = kind or (out.suffix.lstrip(".") if out is not None else FORMATS[0])
    if kind not in FORMATS:
        raise DescentError(
            _("--to {given}: must be one of {allowed}", given=show(kind), allowed=", ".join(FORMATS))
            + did_you_mean(kind, FORMATS)
        )
    model = wanted.load()
    from engine.training import export as exporting

    path = out or Path(f"{model.run}.{kind}")
    exporting.export(model, kind, path)
    if as_json:
        about = {"run": model.run, "step": model.step, "member": model.member, "format": kind, "file": str(path)}
        stdio.say(json.dumps(about))
        return
    stdio.say(_("{file}: the model of step {step:,}, as {kind}", file=clean(str(path)), step=model.step, kind=kind))
