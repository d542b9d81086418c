"""One command to a live run: sent, awaited, and its answer printed on a line."""

import json
from typing import Any

from descent import control
from descent.common.i18n import N_, _
from descent.common.numbers import metric
from descent.common.settings import key_of
from descent.run.folder import RunFolder

_SAID = {
    "pause": N_("paused at step {step:,}; resume with: descent resume {run}"),
    "resume": N_("resumed at step {step:,}"),
    "step": N_("now at step {step:,}"),
    "set": N_("set from step {step:,} on: {changed}"),
    "checkpoint": N_("saved at step {step:,}: {checkpoint}"),
    "evaluate": N_("at step {step:,}: {measured}"),
    "extend": N_("will train to step {total_steps:,}"),
    "rewind": N_("back at step {step:,}"),
    "stop": N_("stopped at step {step:,}; {receipt}"),
}


def follow(folder: RunFolder, command: str, arguments: dict[str, Any], *, as_json: bool) -> int:
    """Send a command to a live run, print its answer, and return the exit code."""
    answer = control.send(folder.path, command, arguments, timeout=None)
    if as_json:
        print(json.dumps(answer))
        return 0
    if answer.get("at"):
        print(_("will stop at the end of the epoch"))
        return 0
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
    return 0
