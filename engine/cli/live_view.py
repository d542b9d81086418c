"""Commands to a live run from a shell, the kinds of pictures of a run, and drawing one."""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from descent import control
from descent.common import paths, stdio
from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.numbers import metric
from descent.common.settings import key_of, pair_of
from descent.common.text import clean, show
from descent.run import find
from descent.run.folder import RunFolder
from engine import pictures
from engine.cli import tables
from engine.pictures.request import picture_of

_SAID = {
    "pause": N_("paused at step {step:,}; resume with: descent resume {run}"),
    "resume": N_("resumed at step {step:,}"),
    "step": N_("now at step {step:,}"),
    "set": N_("set from step {step:,} on: {changed}"),
    "checkpoint": N_("saved at step {step:,}: {checkpoint}"),
    "evaluate": N_("at step {step:,}: {measured}"),
    "action": N_("{action}: done at step {step:,}"),
    "extend": N_("will train to step {total_steps:,}"),
    "rewind": N_("back at step {step:,}"),
    "stop": N_("stopped at step {step:,}; {receipt}"),
}


def give(word: str, runs_dir: Path | None, command: str, arguments: dict[str, Any], *, as_json: bool) -> int:
    """Give a command to the run that `word` names, and print its answer. Raises RefusedError with the reason."""
    folder = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    answer = control.send(folder.path, command, arguments, None, "shell")
    if not as_json:
        answer = answer | {"run": find.word_for(folder.path)}
    print_answer(command, arguments, answer, as_json=as_json)
    return 0


def print_answer(command: str, arguments: dict[str, Any], answer: control.Answer, *, as_json: bool) -> None:
    """Print what a worker answered to a command, in a line."""
    if as_json:
        print(json.dumps(answer))
        return
    if answer.get("at"):
        print(_("will stop at the end of the epoch"))
        return
    changed = ", ".join(f"{key} = {value}" for key, value in answer.get("set", {}).items())
    changed += "".join(
        " " + _("(only member {member})", member=text.partition("=")[2].strip())
        for text in arguments.get("edits", ())
        if key_of(text) == "member"
    )
    measured = ", ".join(f"{key} {metric(key, value)}" for key, value in answer.items() if key.startswith("val_"))
    saved = answer.get("checkpoint")
    receipt = _("checkpoint {file}", file=saved) if saved else _("nothing was saved")
    print(_(_SAID[command], **answer, changed=changed, measured=measured, receipt=receipt))
    if answer.get("dropped"):
        changes = clean("; ".join(answer["dropped"]))
        print(_("these earlier changes are lost, because of the new one: {changes}", changes=changes))


def list_actions(word: str, runs_dir: Path | None, *, as_json: bool) -> int:
    """List the actions that the script of the run `word` has declared."""
    folder = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    names = [clean(str(name)) for name in folder.facts().get("actions", ())]
    if as_json:
        tables.print_json({"run": folder.id, "actions": names})
        return 0
    for name in names:
        print(name)
    if not names:
        print(_("{run} has declared no action; a script does by: run.action(name, function)", run=clean(folder.id)))
    return 0


def picture_kinds(word: str, runs_dir: Path | None, *, as_json: bool) -> int:
    """List all kinds, what each shows, and why some are not available for the run that `word` names."""
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
        shown = _(kind.shows) if complaint is None else _("- not available for this run: {why}", why=complaint)
        print(f"{kind.name:<18} {shown}")
    command = f"descent picture {folder.id} {next(kind.name for kind, complaint in found if complaint is None)}"
    print(_("draw one with: {command}", command=command))
    return 0


def draw_picture(word: str, kind: str, edits: Sequence[str], runs_dir: Path | None, *, as_json: bool) -> int:
    """Draw a picture and print its file, the arrays in it, and how to open it."""
    folder = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    options = {}
    for edit in edits:
        pair = pair_of(edit)
        if pair is None:
            raise DescentError(
                _("--set {given}: must be OPTION=VALUE, such as --set resolution=100", given=show(edit))
            )
        options[pair[0]] = pair[1]
    answer = picture_of(folder, kind, options, "shell", lambda for_what: stdio.say(for_what, sys.stderr))
    if as_json:
        print(json.dumps(answer))
    else:
        file = Path(answer["picture"])
        print(_("{kind} at step {step:,}: {file}", kind=kind, step=answer["step"], file=clean(str(file))))
        for note in answer.get("notes", ()):
            print(clean(note))
        for name, array in pictures.read(file).arrays.items():
            what = f"{array.shape} {array.dtype}" if array.shape else clean(str(array))
            print(f"  {name:<14} {what}")
        command = f"descent attach {shlex.quote(folder.id)}"
        print(_("open it with: {command}, then i; in Python: numpy.load(FILE)", command=command))
    return 0
