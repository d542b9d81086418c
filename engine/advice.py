"""What helps with a run that has ended: to go on with it, or, where that would come to the same end, what else."""

import shlex
from itertools import takewhile

from engine.removing import is_empty
from engine.run import RunFolder
from engine.texts import clean, shorten

_LONGEST = 300  # characters of a reason


def ended(run: RunFolder) -> str:
    """How a run has ended, why if it failed, and what helps; without the full stop of a sentence."""
    state = run.state()
    reason = clean(str((run.last("state") or {}).get("reason") or "")) if state == "failed" else ""
    how = f"has failed: {shorten(reason, _LONGEST).removesuffix('.')}" if reason else f"is {state}"
    return "; ".join([f"{run.id} {how}", *([what] if (what := advice(run)) else [])])


def advice(run: RunFolder) -> str:
    """A clause that names the command; empty for a finished run, which needs none."""
    state, name = run.state(), shlex.quote(run.id)
    if state == "finished":
        return ""
    if state != "failed":
        return f"go on with: descent resume {name}"
    if is_empty(run):
        return f"put that right and start it anew; clear this one away with: descent rm {name}"
    if _ended_non_finite(run):
        return (
            "a resumed run would come to the same step; go on with a lower rate, in a run of its own: "
            f"descent fork {name} --set optimizer.lr=…"
        )
    return f"once that is put right, go on with: descent resume {name}"


def _ended_non_finite(run: RunFolder) -> bool:
    """Whether the last thing before the failure was a number that was not finite."""
    last_first = [event["event"] for event in reversed(run.events())]
    before = last_first[last_first.index("state") + 1 :]
    return "anomaly" in takewhile(lambda event: event != "state", before)
