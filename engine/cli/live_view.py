"""Commands to a live run from a shell: sent, awaited and told. Also a run's kinds of pictures, and drawing one."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from descent import control
from descent.common import paths
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.numbers import metric
from descent.common.settings import key_of, pair_of
from descent.common.text import clean, show
from descent.run import find
from descent.run.folder import RunFolder
from engine import pictures
from engine.cli import tables
from engine.pictures.request import picture_of

_SAID = {
    "pause": "paused at step {step:,}; go on with: descent resume {run}",
    "resume": "goes on at step {step:,}",
    "step": "now at step {step:,}",
    "set": "set from step {step:,} on: {changed}",
    "checkpoint": "saved at step {step:,}: {checkpoint}",
    "evaluate": "at step {step:,}: {measured}",
    "extend": "will train to step {total_steps:,}",
    "rewind": "back at step {step:,}",
    "stop": "stopped at step {step:,}{receipt}",
}


def give(word: str, runs_dir: Path | None, command: str, arguments: dict[str, Any], *, as_json: bool) -> int:
    """Give a command to the run that `word` names, and say what came of it. RefusedError with the reason."""
    folder = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    print_answer(command, arguments, control.send(folder.path, command, arguments, timeout=None), as_json=as_json)
    return 0


def print_answer(command: str, arguments: dict[str, Any], answer: control.Answer, *, as_json: bool) -> None:
    """Print what a worker answered to a command, in a line."""
    if as_json:
        print(json.dumps(answer))
        return
    if answer.get("at"):
        print(f"will stop at {answer['at']}")
        return
    changed = ", ".join(f"{key} = {value}" for key, value in answer.get("set", {}).items())
    changed += "".join(
        f", of {text.replace('=', ' ')} alone" for text in arguments.get("edits", ()) if key_of(text) == "member"
    )
    measured = ", ".join(f"{key} {metric(key, value)}" for key, value in answer.items() if key.startswith("val_"))
    receipt = f"; checkpoint {answer['checkpoint']}" if answer.get("checkpoint") else "; nothing was saved"
    print(_SAID[command].format(**answer, changed=changed, measured=measured, receipt=receipt))


def picture_kinds(word: str, runs_dir: Path | None, *, as_json: bool) -> int:
    """List all kinds, what each shows, and why the run that `word` names can't have some."""
    folder = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    known = pictures.traits(folder.path)
    found = [(kind, kind.complaint(known)) for kind in pictures.KINDS.values()]
    if as_json:
        listed = [
            {
                "kind": kind.name,
                "shows": kind.shows,
                "needs": kind.needs,
                "options": {option.name: option.default for option in kind.options},
                "fits": complaint is None,
                "why_not": complaint,
            }
            for kind, complaint in found
        ]
        tables.print_json({"run": folder.id, "pictures": listed})
        return 0
    for kind, complaint in found:
        print(
            f"{kind.name:<18} {_(kind.shows)}"
            if complaint is None
            else f"{kind.name:<18} - {_('not available for this run: {why}', why=complaint)}"
        )
    print(f"draw one with: descent picture {folder.id} {next(k.name for k, no in found if no is None)}")
    return 0


def draw_picture(word: str, kind: str, edits: Sequence[str], runs_dir: Path | None, *, as_json: bool) -> int:
    """Draw one, and say where its file is, what is in it and how to look at it."""
    folder = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    options = {}
    for edit in edits:
        pair = pair_of(edit)
        if pair is None:
            raise DescentError(f"--set {show(edit)}: write it as OPTION=VALUE, as in --set resolution=100")
        options[pair[0]] = pair[1]
    answer = picture_of(folder, kind, options)
    if as_json:
        print(json.dumps(answer))
    else:
        file = Path(answer["picture"])
        print(f"{kind} at step {answer['step']:,}: {clean(str(file))}")
        for name, array in pictures.read(file).arrays.items():
            what = f"{array.shape} {array.dtype}" if array.shape else clean(str(array))
            print(f"  {name:<14} {what}")
        print(f"look at it with: descent attach {shlex.quote(folder.id)}, then i; in Python: numpy.load(FILE)")
    return 0
