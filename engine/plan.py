"""The learning rate that a run has planned: the schedule, and what a person has changed about it since.

The worker trains by it, and a client draws the rest of the curve from the run's last `plan` event.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine import schedules, schema
from engine.preset import Preset

HAS_HORIZON = ("linear", "cosine", "one-cycle")  # kinds that end at the last step


@dataclass
class Pace:
    """Maps the steps of a run to positions on the schedule that was planned for `total` steps.

    At first both are the same. A schedule with an end is walked so that it ends with the run, however long that has
    become; one without goes by epochs, which a larger batch walks in fewer steps. The rate never jumps.
    """

    total: int
    per_epoch: int
    since_step: int = 0
    since_position: float = 0.0
    speed: float = 1.0  # positions a step

    def position(self, step: int) -> float:
        # A step before the last change of pace may be asked for, where a number turns out not to be finite.
        return max(0.0, self.since_position + (step - self.since_step) * self.speed)

    def scale(self, section: schema.AnySchedule, step: int) -> float:
        """What the base learning rate is multiplied by at `step`."""
        return schedules.scale(section, self.position(step), self.total, self.per_epoch)

    def change(self, step: int, factor: float) -> None:
        """From `step` on, walk `factor` times as fast."""
        self.since_position, self.since_step = self.position(step), step
        self.speed *= factor

    def extend(self, section: schema.AnySchedule, step: int, left_before: int, left_now: int) -> None:
        """The run has `left_now` steps to go from `step` on, instead of `left_before`."""
        if section.name in HAS_HORIZON:
            self.change(step, max(0, left_before - 1) / max(1, left_now - 1))  # last step to last step

    def resize(self, section: schema.AnySchedule, step: int, factor: float, left_before: int, left_now: int) -> None:
        """From `step` on an epoch has `factor` times fewer steps, and the run `left_now` to go."""
        if section.name in HAS_HORIZON:
            self.extend(section, step, left_before, left_now)
        else:
            self.change(step, factor)

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restore(cls, state: dict[str, Any]) -> "Pace":
        return cls(**state)


def learning_rate(
    section: schema.AnySchedule, pace: Pace, step: int, *, base: float, hand: float, plateau: float
) -> float:
    """The rate of update `step`: base_lr × schedule × lr_scale, and × what a plateau has come down to."""
    return base * (pace.scale(section, step) * hand * plateau)


@dataclass(frozen=True)
class Plan:
    """What a run intends from now on, unless somebody steers it.

    base: `optimizer.lr`. hand: `lr_scale`. plateau: the factor of reduce-on-plateau so far, 1.0 for other schedules.
    """

    section: schema.AnySchedule
    pace: Pace
    base: float
    hand: float
    plateau: float
    total_steps: int

    def rate(self, step: int) -> float:
        """The learning rate planned for update `step`."""
        return learning_rate(self.section, self.pace, step, base=self.base, hand=self.hand, plateau=self.plateau)

    def state(self) -> dict[str, Any]:
        """What a `plan` event holds, beside its step."""
        return {
            "lr": self.base,
            "lr_scale": self.hand,
            "plateau": self.plateau,
            "pace": self.pace.state(),
            "total_steps": self.total_steps,
        }


def planned(preset: Preset, events: Sequence[dict[str, Any]]) -> Plan | None:
    """The plan in force, from a run's valid events; None for a run that has not begun."""
    event = next((event for event in reversed(events) if event.get("event") == "plan"), None)
    if event is None:
        return None
    pace = Pace.restore(event["pace"])
    return Plan(preset.schedule, pace, event["lr"], event["lr_scale"], event["plateau"], event["total_steps"])
