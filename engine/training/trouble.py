"""What a run does when a number is not finite: it says where that began, and ends, or waits for a person."""

from collections.abc import Callable
from typing import Any

from engine.errors import NonFiniteError
from engine.progress import number
from engine.run import Events, RunFolder
from engine.training import culprit
from engine.training.culprit import Culprit
from engine.training.monitor import NonFinite
from engine.training.training import Training

_USUAL_RATIO = 1e-3  # of an update to its weights, in a training that goes well


class Trouble:
    """Follows `train.on_nan`: stop, pause (a person decides), or continue."""

    def __init__(self, run: Training, folder: RunFolder, events: Events, interrupted: Callable[[], bool]) -> None:
        self._run, self._folder, self._events, self._interrupted = run, folder, events, interrupted
        self._told: str | None = None
        self._accepted = False
        self._lost: list[str] = []  # of members, what a person has not answered yet

    @property
    def reason(self) -> str | None:
        """What a person is asked about; None while nothing is."""
        if self._told is not None and not self._accepted:
            return self._told
        return " ".join(self._lost) or None

    def holds(self, found: NonFinite | None) -> bool:
        """Whether the run waits for a person because of `found`. NonFiniteError where nobody is to be asked."""
        policy = self._run.preset.train.on_nan
        if found is None or self._accepted or policy == "continue":
            return False
        if self._told is None:
            self._told = self._tell(found)
        if policy == "stop":
            raise NonFiniteError(
                f"{self._told} A lower optimizer.lr, or train.clip_norm = 1.0, often helps; "
                'train.on_nan = "continue" trains on regardless'
            )
        return True

    def lose(self, member: int, step: int) -> None:
        """A member of several went non-finite at `step` and is frozen: ask a person, where one is to be asked."""
        if self._run.preset.train.on_nan != "pause":
            return
        lr = self._run.plan(member).rate(step)
        saved = self._last_before(step)
        what = f"loss of member {member}"
        words = [f"the {what} became NaN or infinite at step {step:,} (lr {number(lr)})."]
        words.append("It trains no more; resume, and the others go on without it.")
        if saved is not None:
            words.append(f"The checkpoint of step {saved:,} is from before.")
        self._events.write("anomaly", step=step, what=what, member=member, lr=lr, checkpoint=saved)
        self._lost.append(" ".join(words))

    def has_lost(self) -> bool:
        """Whether a person is to be asked about members that are frozen."""
        return bool(self._lost)

    def accept(self) -> None:
        """The person wants to go on as it is."""
        self._accepted = self._accepted or self._told is not None
        self._lost = []

    def _tell(self, found: NonFinite) -> str:
        """Find the culprit, and note the anomaly in the run's log; the words for it."""
        first = culprit.find(self._run, self._folder, found.step, self._interrupted)
        step = first.step if first is not None else found.step
        saved = self._last_before(step)
        lr = first.lr if first is not None else self._run.plan().rate(step)
        what = "gradient" if found.what.startswith("gradient") else found.what
        values: dict[str, Any] = {"step": step, "what": what, "lr": lr, "checkpoint": saved}
        words = [f"the {found.what} became NaN or infinite at step {found.step:,} (lr {number(lr)})."]
        if first is not None:
            values |= {"began": first.what, "layer": first.layer, "kind": first.kind, "update_ratio": first.ratio}
            words += _words(first)
        if saved is not None:
            words.append(f"The checkpoint of step {saved:,} is from before.")
        self._events.write("anomaly", **values)
        return " ".join(words)

    def _last_before(self, step: int) -> int | None:
        """The last checkpoint that knows nothing of what went wrong at `step`."""
        return max((saved for saved in self._folder.checkpoints() if saved <= step), default=None)


def _words(first: Culprit) -> list[str]:
    where = f"layer {first.layer} ({first.kind})"
    began = {
        "output": f"It began in {where}: at step {first.step:,} its output was not finite.",
        "gradient": f"It began in {where}: at step {first.step:,} its gradient was not finite.",
        "loss": f"It began at step {first.step:,} in the loss itself; what the model put out was finite.",
    }
    words = [began[first.what]]
    if first.ratio is not None and first.ratio > 10 * _USUAL_RATIO:
        words.append(f"The update before was {number(first.ratio)} of the weights (about {_USUAL_RATIO:g} is usual).")
    return words
