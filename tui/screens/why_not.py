"""Why a key that steers does nothing now: what the user is told instead."""

import socket

from tui.reading.snapshot import Snapshot

STEERING = (
    "pause", "one_step", "dial", "edit", "save", "evaluate", "rewind", "stop", "more", "fork", "anomaly",
)  # fmt: skip
CAN_GO_ON = ("stopped", "failed", "lost")


def why_not(action: str, now: Snapshot | None, *, meant: str | None = None, read_only: bool = False) -> str | None:
    """The reason why one of STEERING can't work at this moment; None where it can.

    meant: the state that was asked for, where `now` does not show it yet.
    """
    if read_only:
        return "read-only: this console looks, and does not steer"
    if now is None:
        return "the run is still being read"
    if now.is_gone:
        return "the folder of this run is gone"
    match action:
        case "anomaly":
            return None if now.anomaly is not None else "nothing has gone wrong"
        case "fork":
            return None if now.checkpoints else "there is no checkpoint to fork from yet"
    return _not_trained(action, now) or _not_ready(action, now, meant or now.state)


def _not_trained(action: str, now: Snapshot) -> str | None:
    """Where no worker of this machine is training it."""
    if now.state == "finished":
        return "the run has finished" + (": fork it to train on" if now.checkpoints else "")
    if now.state in CAN_GO_ON:
        return None if action == "pause" else "the run has ended: resume it first"
    if now.state == "starting":
        return None if action == "stop" else "the run is still starting"
    elsewhere = now.host not in (None, socket.gethostname())
    return f"the run trains on {now.host}: steer it there" if elsewhere else None


def _not_ready(action: str, now: Snapshot, state: str) -> str | None:
    """Where the worker would answer that it can't."""
    match action:
        case "one_step" if state != "paused":
            return "one step is for a paused run: pause it first"
        case "evaluate" if not now.has_validation:
            return "there is no validation split to evaluate on"
        case "rewind" if not now.checkpoints:
            return "there is no checkpoint to go back to yet"
    return None
