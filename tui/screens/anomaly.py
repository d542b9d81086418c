"""Training has broken: what happened, in words a student can read, and what can be done."""

from tui.numbers import number
from tui.reading.snapshot import Anomaly, Snapshot
from tui.screens.ask import Ask


def ask_about(anomaly: Anomaly, now: Snapshot) -> Ask[str]:
    """Dismissed with "back", "fork", "go on" or "stop", or None."""
    choices = []
    rate = f": {number(anomaly.rate_there * anomaly.factor)}" if anomaly.rate_there else ""
    tenth = f"at a tenth of the rate{rate}"  # of the lower one: that which failed, or that of the checkpoint
    if anomaly.checkpoint is not None:
        if now.state == "paused":
            choices.append(("r", f"go back to step {anomaly.checkpoint:,} and go on {tenth}", "back"))
        else:
            choices.append(("f", f"fork: a new run from step {anomaly.checkpoint:,} {tenth}", "fork"))
    if now.state == "paused":
        choices.append(("c", "continue as it is", "go on"))
        choices.append(("s", "stop here, keep the last good checkpoint", "stop"))
    choices.append(("escape", "look at the charts first", ""))
    return Ask(
        f"the {anomaly.what} became NaN or infinite at step {anomaly.step:,}",
        explanation(anomaly, now),
        choices,
        trouble=True,
    )


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
