"""Pictures from a shell: which kinds a run can have, and drawing one."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from engine import library, pictures, views
from engine.errors import DescentError
from engine.pictures.request import picture_of
from engine.run import RunFolder
from engine.texts import clean, show


def kinds(word: str, runs_dir: Path | None, *, as_json: bool) -> int:
    """List all kinds, what each shows, and why the run that `word` names can't have some."""
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)))
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
        views.print_json({"run": folder.id, "pictures": listed})
        return 0
    for kind, complaint in found:
        print(
            f"{kind.name:<18} {kind.shows}"
            if complaint is None
            else f"{kind.name:<18} - not of this run: {complaint}"
        )
    print(f"draw one with: descent picture {folder.id} {next(k.name for k, no in found if no is None)}")
    return 0


def draw(word: str, kind: str, edits: Sequence[str], runs_dir: Path | None, *, as_json: bool) -> int:
    """Draw one, and say where its file is, what is in it and how to look at it."""
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)))
    options = {}
    for edit in edits:
        name, equals, value = edit.partition("=")
        if not equals:
            raise DescentError(f"--set {show(edit)}: write it as OPTION=VALUE, as in --set resolution=100")
        options[name.strip()] = value.strip()
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
