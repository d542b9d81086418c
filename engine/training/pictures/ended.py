"""Pictures of a run that no worker trains, from its last checkpoint, in a process of their own.

    python -m engine.training.pictures.ended FOLDER DATA_ROOT '{"kind": "boundary", "options": {}}' …

It prints a JSON object for each picture on stdout, each on its own line: {"picture": path} or {"error": why}, and
"notes" if the picture is not of the last checkpoint.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from engine import pictures
from engine.preset.loading import load_preset
from engine.training import live_edits
from engine.training.build import build
from engine.training.data import fingerprint
from engine.training.pictures import make
from engine.training.train_state import TrainState
from engine.training.user_code import user_code


def last_state(folder: RunFolder, data_root: Path) -> tuple[TrainState, list[str]]:
    """Load the run at its last intact checkpoint, for reading only. Also return what is wrong with later ones.

    Writes nothing. Raises DescentError without a checkpoint.
    """
    # On the CPU, wherever it was trained: a machine without that GPU can draw it too, and one with it needs no
    # second copy of the data there.
    preset = load_preset(folder.preset)
    half = ['train.precision="fp32"'] if preset.train.precision == "fp16" else []
    preset = preset.changed(['train.device="cpu"', "train.compile=false", *half])
    state, complaints = checkpoint.latest(folder)
    if state is None:
        missing = _("{run} has no checkpoint to draw from", run=folder.id)
        raise DescentError("; ".join([missing, *complaints]))
    facts = folder.facts()
    torch.set_num_threads(int(facts["threads"]))
    run = build(preset, folder, data_root, torch.device("cpu"), fresh=False)
    fingerprint.check_same(run.dataset, run.preset.data, facts, folder.id)
    run.measured = {key: facts[key] for key in ("threads", "statistics_every")}
    run.statistics_every = facts["statistics_every"]
    live_edits.restore(run, state["edits"])
    run.restore(state)
    return run, [_("drawn from an older checkpoint, because {problem}", problem=problem) for problem in complaints]


def main(folder_path: str, data_root: str, *asked: str) -> int:
    """Draw the pictures, and print each answer as soon as it is ready."""
    folder = RunFolder(Path(folder_path))
    try:
        with user_code(str(folder.path / "code")):
            run, notes = last_state(folder, Path(data_root))
            for text in asked:
                _answer(_drawn(run, folder, **json.loads(text)) | ({"notes": notes} if notes else {}))
    except DescentError as error:
        _answer({"error": str(error)})
    return 0


def _drawn(run: TrainState, folder: RunFolder, kind: str, options: dict[str, Any]) -> dict[str, Any]:
    try:
        path = pictures.write(folder.path, kind, run.step, make(run, kind, options, folder))
    except DescentError as error:
        return {"kind": kind, "error": str(error)}
    except OSError as error:
        return {
            "kind": kind,
            "error": _("picture {kind}: can't be written: {error}", kind=kind, error=error.strerror),
        }
    return {"kind": kind, "step": run.step, "picture": str(path)}


def _answer(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
