"""Training has broken: what happened, in words a student can read, and what can be done."""

from tui.numbers import number
from tui.reading.snapshot import Anomaly, Snapshot
from tui.screens.ask import Ask


def ask_about(anomaly: Anomaly, now: Snapshot) -> Ask[str]:
    """Dismissed with "back", "fork", "go on" or "stop", or None."""
    if anomaly.collapse:
        return _about_collapse(anomaly, now)
    choices = []
    rate = f": {number(anomaly.rate_there * anomaly.factor)}" if anomaly.rate_there else ""
    tenth = f"at a tenth of the rate{rate}"  # of the lower one: that which failed, or that of the checkpoint
    member = anomaly.member
    if anomaly.checkpoint is not None and (member is None or now.state == "paused"):
        if member is not None:
            back = f"go back to step {anomaly.checkpoint:,}, all of them, member {member} {tenth}"
            choices.append(("r", back, "back"))
        elif now.state == "paused":
            choices.append(("r", f"go back to step {anomaly.checkpoint:,} and go on {tenth}", "back"))
        else:
            choices.append(("f", f"fork: a new run from step {anomaly.checkpoint:,} {tenth}", "fork"))
    if now.state == "paused":
        without = "as it is" if member is None else f"without member {member}, which stays as it is, and marked"
        choices.append(("c", f"continue {without}", "go on"))
        choices.append(("s", "stop here, keep the last good checkpoint", "stop"))
    choices.append(("escape", "look at the charts first", ""))
    return Ask(
        f"the {anomaly.what} became NaN or infinite at step {anomaly.step:,}",
        explanation(anomaly, now),
        choices,
        trouble=True,
    )


def _about_collapse(anomaly: Anomaly, now: Snapshot) -> Ask[str]:
    choices = []
    rate = f": {number(anomaly.rate_there * anomaly.factor)}" if anomaly.rate_there else ""
    if anomaly.checkpoint is not None:
        where = f"step {anomaly.checkpoint:,} and go on at a tenth of the rate{rate}"
        choices.append(("r", f"go back to {where}", "back") if now.is_alive else ("f", f"fork from {where}", "fork"))
    if now.is_alive:
        choices.append(("s", "stop here, unsaved", "stop"))
    choices.append(("escape", "leave it as it is", ""))
    lines = [f"{anomaly.collapse[0].upper()}{anomaly.collapse[1:]}."]
    if anomaly.lr is not None:
        lines.append(f"The learning rate was {number(anomaly.lr)}; too large a rate is the usual reason.")
    lines.append("The numbers are finite, but such a model seldom recovers by itself.")
    if anomaly.checkpoint is not None:
        lines.append(f"The checkpoint of step {anomaly.checkpoint:,} is from before.")
    title = f"the model has collapsed, since step {anomaly.step:,}"
    return Ask(title, "\n".join(lines), choices, trouble=True)


def explanation(anomaly: Anomaly, now: Snapshot) -> str:
    """What happened and why, a sentence a line."""
    lines = []
    where = f"layer {anomaly.layer}{f' ({anomaly.kind})' if anomaly.kind else ''}"
    if anomaly.layer is not None:
        lines.append(f"It began in {where}: its {anomaly.began or 'output'} overflowed.")
    elif anomaly.began == "loss":
        lines.append("It began in the loss itself; what the model put out was finite.")
    if anomaly.lr is not None:
        lines.append(f"The learning rate was {number(anomaly.lr)}.")
    if anomaly.update_ratio is not None:
        lines.append(f"The update was {number(anomaly.update_ratio)} of the weights in one step; 0.001 is usual.")
    if anomaly.update_ratio is None or anomaly.update_ratio > 0.01:
        lines.append("Too large a rate is the usual reason: each update overshoots by more than the one before.")
    if anomaly.checkpoint is not None:
        lines.append(f"The checkpoint of step {anomaly.checkpoint:,} is from before.")
    elif now.state == "failed":
        lines.append("There is no checkpoint from before; start again with a lower rate.")
    return "\n".join(lines)
