"""Asking for a picture of a run: the worker of a live run makes it, else it is made from the last checkpoint."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from descent import control, warm
from descent.common.errors import CannotGoOnError, DescentError
from descent.common.i18n import _
from descent.common.stages import hear
from descent.control import Giver, NotRunningError
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.run.state import ALIVE
from engine import pictures
from engine.pictures import from_rows
from engine.preset import consent
from engine.preset.datasets import data_root

Answer = dict[str, Any]
TellWaiting = Callable[[str], None]


def picture_of(
    folder: RunFolder,
    kind: str,
    options: Mapping[str, object],
    given_by: Giver,
    tell: TellWaiting = lambda for_what: None,
) -> Answer:
    """Return `kind`, `step`, and as `picture` the path of the file; `notes` if the last checkpoint is damaged.

    given_by: who asks, for the run's log. tell: hears what it waits for, in words.

    Raises DescentError, with the reason, if the run can't have this picture.
    """
    chosen = pictures.settings(kind, {name: value for name, value in options.items() if name != "member"})
    known = pictures.traits(folder.path)
    complaint = pictures.KINDS[kind].complaint(known)
    if complaint is not None:
        raise pictures.refusal(kind, complaint, known)
    if kind in from_rows.KINDS:
        return _answered(folder, of_rows(folder, kind, chosen))
    try:
        return control.send(folder.path, "picture", {"kind": kind, "options": dict(options)}, None, given_by)
    except NotRunningError:
        if folder.state() in ALIVE:
            raise
    answer = of_ended(folder, {kind: options}, tell)[kind]
    if "error" in answer:
        raise DescentError(str(answer["error"]))
    return _answered(folder, answer)


def _answered(folder: RunFolder, answer: Answer) -> Answer:
    return {"run": folder.id, "command": "picture", "ok": True, "error": None} | answer


def of_rows(folder: RunFolder, kind: str, options: Mapping[str, object]) -> Answer:
    """Make a picture from the run's folder, without a worker. kind: one of from_rows.KINDS. options: all of them."""
    arrays = from_rows.make(folder, kind, options)
    step = len(Metrics(folder.path))
    try:
        path = pictures.write(folder.path, kind, step, arrays)
    except OSError as error:
        raise DescentError(
            _("{path}: can't be written: {error}", path=folder.path / "pictures", error=error.strerror)
        ) from None
    return {"kind": kind, "step": step, "picture": str(path)}


def of_ended(
    folder: RunFolder,
    wanted: Mapping[str, Mapping[str, object]],
    tell: TellWaiting = lambda for_what: None,
    started: Callable[[warm.Process], None] = lambda process: None,
) -> dict[str, Answer]:
    """Make pictures of a run that is not training, when there is memory for it: see descent.common.turn.

    wanted: options by kind. tell: hears what it waits for, in words. started: gets the process, to end it
    before it is done.

    Each answer has `step` and `picture`, or `error`, and `notes` if the last checkpoint is damaged. A call loads
    PyTorch and the data, which takes seconds, so ask for all pictures at once. Raises DescentError if the run has no
    checkpoint, its data are missing or the user has not agreed to its code.
    """
    from engine.preset.loading import load_preset

    found = {kind: _of_rows_or_error(folder, kind, wanted[kind]) for kind in wanted if kind in from_rows.KINDS}
    wanted = {kind: options for kind, options in wanted.items() if kind not in found}
    if not wanted:
        return found
    preset = load_preset(folder.preset)
    for section, spec in preset.code.items():
        consent.check_consent(spec, False, key=f"{section}.code")
    stored = folder.facts().get("data_root")
    root = data_root(Path(stored) if stored else None)
    asked = [json.dumps({"kind": kind, "options": dict(options)}) for kind, options in wanted.items()]
    words = ["engine.training.pictures.ended", str(folder.path), str(root), *asked]
    with tempfile.TemporaryFile() as out:
        process = warm.start("descent.common.turn", *words, stdout=out, stderr=subprocess.PIPE)
        assert process.stderr is not None
        started(process)
        last = hear(process.stderr, lambda stage, for_what: tell(for_what))
        code = process.wait()
        out.seek(0)
        printed = out.read().decode(errors="replace")
    answers = [answer for line in printed.splitlines() if (answer := _understood(line)) is not None]
    for answer in answers:
        if "kind" not in answer:
            raise DescentError(str(answer["error"]))
    if code != 0 or len(answers) < len(asked):
        last = last or _("exit code {code}", code=code)
        raise CannotGoOnError(_("{run}: the picture could not be drawn: {error}", run=folder.id, error=last))
    return found | {answer["kind"]: answer for answer in answers}


def _of_rows_or_error(folder: RunFolder, kind: str, options: Mapping[str, object]) -> Answer:
    try:
        return of_rows(folder, kind, pictures.settings(kind, options))
    except DescentError as error:
        return {"kind": kind, "error": str(error)}


def _understood(line: str) -> Answer | None:
    """Return the answer in a line, or None for a line that the user's own code has printed."""
    try:
        answer = json.loads(line)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) and ("picture" in answer or "error" in answer) else None
