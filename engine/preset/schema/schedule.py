"""[schedule]: how the learning rate changes in the course of a run, a class for each kind."""

from typing import Annotated, Literal

from pydantic import Field

from engine.preset.schema.section import Count, Fraction, Natural, Positive, Section


class Schedule(Section):
    warmup: Natural = Field(0, description="Steps in which the rate grows linearly from near 0 to its own.")


class ConstantSchedule(Schedule):
    name: Literal["constant"]


class StepSchedule(Schedule):
    """Multiply by `gamma` after every `every` epochs."""

    name: Literal["step"]
    every: Count = Field(10, description="Epochs.")
    gamma: Positive = 0.1


class ExponentialSchedule(Schedule):
    """Multiply by `gamma` an epoch, smoothly."""

    name: Literal["exponential"]
    gamma: Positive = 0.95


class FallingSchedule(Schedule):
    """From 1 to `final`, in a straight line or along half a cosine."""

    name: Literal["linear", "cosine"]
    final: Fraction = 0.0


class OneCycleSchedule(Schedule):
    """Up from `start` to 1, then down to `final`, both along half a cosine (Smith, 2018)."""

    name: Literal["one-cycle"]
    peak: Annotated[float, Field(strict=True, gt=0, lt=1)] = Field(0.3, description="Where the top lies.")
    start: Fraction = 0.04
    final: Fraction = 0.0001


class InverseTimeSchedule(Schedule):
    """1 / (1 + decay · step): the rates' sum diverges, their squares' converges (Robbins and Monro, 1951)."""

    name: Literal["inverse-time"]
    decay: Positive = 0.01


class PlateauSchedule(Schedule):
    """Multiply by `factor` when the validation loss has not fallen for `patience` evaluations, as Keras counts them:
    any fall begins the count again. torch's ReduceLROnPlateau waits for one evaluation more, and takes only a fall by
    0.01 % for one."""

    name: Literal["plateau"]
    factor: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.1
    patience: Count = 5
    floor: Fraction = Field(0.0, description="The scale never falls below this.")


AnySchedule = Annotated[
    ConstantSchedule
    | StepSchedule
    | ExponentialSchedule
    | FallingSchedule
    | OneCycleSchedule
    | InverseTimeSchedule
    | PlateauSchedule,
    Field(discriminator="name"),
]
