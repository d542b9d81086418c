"""Whether a run's model is broken: its numbers are not finite, or it has collapsed although they are."""

from typing import Any, Literal, NamedTuple

from descent.common.glyphs import STATES
from descent.common.i18n import N_, _
from descent.run.events import Event, Fold
from descent.run.state import ALIVE

SIGN = "✗"
_WORDS = {"broken": N_("diverged"), "collapsed": N_("collapsed")}


class Broken(NamedTuple):
    """How a model is broken, and the step at which that began."""

    kind: Literal["broken", "collapsed"]
    step: int

    @property
    def words(self) -> str:
        """Return "diverged" or "collapsed", in the current language."""
        return _(_WORDS[self.kind])

    def to_json(self) -> dict[str, Any]:
        return self._asdict()


class Health(Fold):
    """What the events say of a broken model.

    anomaly: the event of numbers that are not finite, while nobody has seen to them. collapse: the event of a
    collapse, while the model has not recovered.
    """

    def begin(self) -> None:
        self.anomaly: Event | None = None
        self.collapse: Event | None = None

    def add(self, event: Event) -> None:
        match event.get("event"):
            case "anomaly":
                self.anomaly = event
            case "collapse":
                self.collapse = event
            case "recovered":
                self.collapse = None
            case "rewound" | "resumed":
                self.anomaly = self.collapse = None
            case "state" if event.get("state") == "running":
                self.anomaly = None  # somebody has seen to it

    def broken(self, state: str, *, is_finite: bool) -> Broken | None:
        """Return how the model of a run in this state is broken. is_finite: whether its latest loss is a number.

        A run that goes on in spite of an anomaly may recover, and of several members one alone may be frozen: then
        the latest loss decides.
        """
        held_up = state in ("paused", "failed", "stopped") and self.anomaly is not None
        if self.anomaly is not None and "member" not in self.anomaly and (held_up or not is_finite):
            return Broken("broken", int(self.anomaly["step"]))
        if self.collapse is not None:
            return Broken("collapsed", int(self.collapse["since"]))
        return None


def state_sign(state: str, broken: Broken | None) -> str:
    """Return the sign of a run's state; that of one that has ended with a broken model is SIGN."""
    return SIGN if broken is not None and state not in ALIVE else STATES.get(state, "?")
