"""Commands to a live run, from a shell: given, awaited, and told."""

import json
from pathlib import Path
from typing import Any

from engine import control, library
from engine.overrides import key_of
from engine.run import RunFolder

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
    folder = RunFolder(library.find_run(word, library.runs_dir(runs_dir)))
    return follow(folder, command, arguments, as_json=as_json)


def follow(folder: RunFolder, command: str, arguments: dict[str, Any], *, as_json: bool) -> int:
    answer = control.send(folder.path, command, arguments, timeout=None)
    if as_json:
        print(json.dumps(answer))
        return 0
    if answer.get("at"):
        print(f"will stop at {answer['at']}")
        return 0
    changed = ", ".join(f"{key} = {value}" for key, value in answer.get("set", {}).items())
    changed += "".join(
        f", of {text.replace('=', ' ')} alone" for text in arguments.get("edits", ()) if key_of(text) == "member"
    )
    measured = ", ".join(f"{key} {value:.4g}" for key, value in answer.items() if key.startswith("val_"))
    receipt = f"; checkpoint {answer['checkpoint']}" if answer.get("checkpoint") else "; nothing was saved"
    print(_SAID[command].format(**answer, changed=changed, measured=measured, receipt=receipt))
    return 0
