"""Where a run stands on its schedule, when steps are no longer what they were at the start."""

from dataclasses import asdict, dataclass
from typing import Any

from engine import schedules, schema

HAS_HORIZON = ("linear", "cosine", "one-cycle")  # kinds that end at the last step


@dataclass
class Pace:
    """Maps the steps of a run to positions on the schedule that was planned for `total` steps.

    At first both are the same. A longer run walks what is left of a schedule with an end more slowly, and a larger
    batch walks an epoch in fewer steps: the rate never jumps.
    """

    total: int
    per_epoch: int
    since_step: int = 0
    since_position: float = 0.0
    speed: float = 1.0  # positions a step

    def position(self, step: int) -> float:
        return self.since_position + (step - self.since_step) * self.speed

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
            self.change(step, (left_before - 1) / max(1, left_now - 1))  # last step to last step

    def state(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def restore(cls, state: dict[str, Any]) -> "Pace":
        return cls(**state)
