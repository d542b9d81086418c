"""What two processes on two cores train in the time of one on one: the whole worker of `descent run --ranks`."""

from pathlib import Path

from tests.tools.benchmarks.harness import Figure, Result, interleave, ratio, spread
from tests.tools.benchmarks.members import seconds

ROUNDS = 5
BAR = 1.5
# A step of this model takes many times as long as the exchange of its gradients. Of eight members each has four.
ARMS = {
    "one model, widths 1024, batch 512": ["model.widths=[1024, 1024]", "train.batch_size=512", "train.steps=60"],
    "eight repeats": ["members.repeats=8", "members.way=loop", "train.epochs=10"],
}


def ranks(folder: Path) -> Result:
    """Seconds of training, as the run's own clock has them, with one thread for each process."""
    figures, raw = [], {}
    for what, settings in ARMS.items():
        arms = {
            f"{what}, {count}": lambda settings=settings, count=count: seconds(
                folder, "digits-mlp", [*settings, f"train.ranks={count}"]
            )
            for count in (1, 2)
        }
        times = interleave(arms, ROUNDS)
        one, two = arms
        found = ratio(times, one, two)
        low, high = spread(times, one, two)
        value = f"{found:.2f} ({low:.2f} to {high:.2f})"
        figures.append(Figure(f"2 ranks' throughput / one process's, {what}", value, f"≥ {BAR:g}", found >= BAR))
        raw |= times
    return Result(figures, raw)
