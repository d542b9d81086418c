"""One command to a live run: sent, awaited, and its answer told in a line."""

import json
from typing import Any

from descent import control
from descent.common.numbers import metric
from descent.common.settings import key_of
from descent.run.folder import RunFolder

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
    measured = ", ".join(f"{key} {metric(key, value)}" for key, value in answer.items() if key.startswith("val_"))
    receipt = f"; checkpoint {answer['checkpoint']}" if answer.get("checkpoint") else "; nothing was saved"
    print(_SAID[command].format(**answer, changed=changed, measured=measured, receipt=receipt))
    return 0
