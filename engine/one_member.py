"""What the past of a run with several members is to one of them alone: for a fork that goes on with that one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.errors import DescentError
from engine.live import SWITCHES, edits_of
from engine.members import roster
from engine.metrics import Layout
from engine.overrides import key_of
from engine.preset import Preset
from engine.run import RunFolder
from engine.texts import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check(parent: RunFolder, preset: Preset, member: int, step: int) -> None:
    """DescentError, with the reason, where this member can't go on alone from step `step`."""
    count, name = len(roster(preset)), clean(parent.id)
    if count == 1:
        raise DescentError(f"--member {member}: {name} has one model; fork it without --member")
    if not 0 <= member < count:
        raise DescentError(f"--member {member}: {name} has the members 0 to {count - 1}")
    if preset.members.folds is not None:
        raise DescentError(
            f"--member {member}: the members of {name} are folds, and no plain run trains and validates on the "
            "samples of a fold; fork it whole"
        )
    ended = [e for e in parent.events() if e["event"] == "member" and e["member"] == member and e["step"] < step]
    if ended:
        before = ", ".join(f"{saved:,}" for saved in parent.checkpoints() if saved <= ended[0]["step"])
        raise DescentError(
            f"--member {member} {ended[0]['state']} at step {ended[0]['step']:,} and has not trained since: "
            f"fork it at a checkpoint before, --at {before}"
        )


def settings(preset: Preset, member: int, edits: Sequence[str]) -> Preset:
    """Of a plain run that trains this member. edits: the live ones of the run so far."""
    latest = {key_of(text): text for text in edits_of(edits, member) if key_of(text) not in SWITCHES}
    alone = roster(preset)[member].preset
    return alone.changed(list(latest.values())) if latest else alone


def layout(whole: Layout, member: int) -> Layout:
    return replace(whole, members=({"member": 0, "seed": whole.members[member]["seed"], "values": {}},))


def events(shared: Sequence[dict[str, Any]], member: int, losses: "NDArray[np.float32]") -> list[dict[str, Any]]:
    """The events that are about this member, as a plain run has them. losses: (steps,), its own."""
    kept, since = [], 0
    for event in shared:
        match event:
            case {"event": "evaluation"}:
                if event["member"] == member:
                    kept.append({**event, "member": 0})
            case {"event": "command", "arguments": {"edits": [*edits]}}:
                if _is_for(edits, member):
                    kept.append(event)
            case {"event": "epoch"}:
                kept.append({**event, "train_loss": _mean(losses[since : event["step"]])})
                since = event["step"]
            case _:
                kept.append(event)
    return kept


def _is_for(edits: Sequence[str], member: int) -> bool:
    named = [text.partition("=")[2].strip() for text in edits if key_of(text) == "member"]
    return not named or named[-1] == str(member)


def _mean(losses: "NDArray[np.float32]") -> float | None:
    import numpy as np

    return float(np.mean(losses, dtype=np.float64)) if len(losses) else None
