"""The training loss and accuracy "now", as one number that every part of a screen shows alike."""

import numpy as np

from descent.common.arrays import Singles
from descent.run.epochs import RECENT, epochs_since
from descent.run.follower import Follower, Member
from descent.run.means import mean_over_samples, samples_of_batches
from descent.run.state import ALIVE
from tui.data.evaluations import history_of


def mean_now(follower: Follower, column: str, who: Member) -> float | None:
    """Return the mean of a column over the samples of the last epoch, of a live run over RECENT steps at most.

    Of an ended run it is the number that its results have. None where there is none, or none that is finite. For
    whoever may read the follower now.
    """
    return mean_before(
        follower, column, who, last_step(follower, who), most=RECENT if follower.state in ALIVE else None
    )


def mean_before(follower: Follower, column: str, who: Member, end: int, most: int | None = None) -> float | None:
    """Return the mean over the samples of an epoch's steps up to `end`, of `most` at most."""
    changes = [event for event in history_of(follower).resized if int(event["step"]) < end]
    epochs = epochs_since(changes[-1] if changes else None, follower.facts)
    length = epochs.per_epoch if epochs is not None else RECENT
    first = max(0, end - (length if most is None else min(length, most)))
    values = follower.series(column, who).values(first, end)
    if not isinstance(who, int):
        values = np.where(np.isfinite(values), values, np.float32(np.nan))
    return _mean(values, follower, first, changes, several=not isinstance(who, int))


def _mean(
    values: Singles, follower: Follower, first: int, changes: list[dict[str, object]], *, several: bool
) -> float | None:
    samples = samples_of_batches(first, first + len(values), changes, follower.facts)
    if several:  # those that are frozen have left NaN
        kept = np.isfinite(values)
        values, samples = values[kept], None if samples is None else samples[kept]
    return mean_over_samples(values[:, None], samples)[0] if len(values) else None


def last_step(follower: Follower, who: Member) -> int:
    """Return the step up to which the members that are shown were trained. Not each is trained to the end."""
    ended = [follower.ended.get(member) for member in shown(follower, who)]
    if ended and all(how is not None and how.state == "stopped early" for how in ended):
        return max(how.step for how in ended if how is not None)  # nothing is measured after it
    return follower.step


def shown(follower: Follower, who: Member) -> list[int]:
    """Return the members whose numbers are shown."""
    match who:
        case int(member):
            return [member]
        case tuple(members):
            together = list(members)
        case _:
            together = list(range(len(follower.layout.members) if follower.layout is not None else 1))
    return [member for member in together if member not in follower.diverged]
