"""The numbers of a run in files of other programs: CSV, Parquet, TensorBoard."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from descent.common import paths, stdio
from descent.common.errors import DescentError
from descent.common.files import write_output
from descent.common.i18n import _, ngettext
from descent.common.text import clean, unwritable
from descent.run import find
from descent.run.folder import RunFolder
from descent.run.frame import package
from descent.run.metrics import Metrics

_PLACES = ("step", "member")  # columns that say where a number belongs


def export(word: str, kind: str, out: Path | None, runs_dir: Path | None, *, as_json: bool) -> None:
    """Write the rows and evaluations of the run that `word` names, and print where they are.

    kind: "csv", "parquet" or "tensorboard". out: the file, or the folder for TensorBoard.
    """
    run = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    frame = Metrics(run.path).to_polars()
    if frame.is_empty():
        raise DescentError(_("{run} has no numbers yet", run=run.id))
    path = out or Path(f"{run.id}.{kind}")
    try:
        _WRITERS[kind](run, frame, path)
    except OSError as error:
        raise unwritable(path, error) from None
    if as_json:
        stdio.say(json.dumps({"run": run.id, "format": kind, "file": str(path), "rows": len(frame)}))
        return
    count, shown = len(frame), clean(str(path))
    stdio.say(
        ngettext(
            "{file}: {count:,} row, as {kind}", "{file}: {count:,} rows, as {kind}", count, file=shown, kind=kind
        )
    )


def _csv(run: RunFolder, frame: Any, path: Path) -> None:
    """Write a header and a line for each row. What was not measured is empty."""
    write_output(path, frame.write_csv().encode())


def _parquet(run: RunFolder, frame: Any, path: Path) -> None:
    whole = io.BytesIO()
    frame.write_parquet(whole)
    write_output(path, whole.getvalue())


def _tensorboard(run: RunFolder, frame: Any, folder: Path) -> None:
    """Write DIR/RUN, or DIR/RUN/member-M for each of several, which TensorBoard shows as one run each.

    The time of a number is the run's start and the seconds of training since.
    """
    writer = package("tensorboard.summary").Writer
    started = float(run.facts().get("started", 0))
    names = [name for name in frame.columns if name not in _PLACES]
    parts = frame.partition_by("member", maintain_order=True)
    for part in parts:
        place = folder / run.id if len(parts) == 1 else folder / run.id / f"member-{part['member'][0]}"
        if place.exists():
            raise DescentError(_("{folder} exists already; give another folder", folder=clean(str(place))))
        place.mkdir(parents=True)
        times = (started + part["time"].fill_null(strategy="forward").fill_null(0)).to_list()
        steps, written = part["step"].to_list(), writer(str(place))
        for name in names:
            tag = name.replace("layer.", "layer/", 1) if name.startswith("layer.") else name
            for step, time, value in zip(steps, times, part[name].to_list(), strict=True):
                if value is not None:
                    written.add_scalar(tag, value, step, wall_time=time)
        written.close()


_WRITERS: dict[str, Callable[[RunFolder, Any, Path], None]] = {
    "csv": _csv,
    "parquet": _parquet,
    "tensorboard": _tensorboard,
}
