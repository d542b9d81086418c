"""[optimizer]: how a gradient becomes an update, a class for each kind."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from descent.common.i18n import N_, _
from engine.preset.schema.section import Flag, NonNegative, Positive, Section, Share


class Optimizer(Section):
    lr: Positive = Field(description=N_("Base learning rate."))
    weight_decay: NonNegative = Field(0.0, description="As torch.optim has it.")


class Sgd(Optimizer):
    name: Literal["sgd"]
    momentum: Share = 0.0
    nesterov: Flag = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "Sgd":
        if self.nesterov and not self.momentum:
            raise ValueError(_("optimizer.nesterov = true needs optimizer.momentum > 0"))
        return self


class Adagrad(Optimizer):
    name: Literal["adagrad"]
    eps: Positive = 1e-10


class RmsProp(Optimizer):
    name: Literal["rmsprop"]
    alpha: Share = Field(0.99, description="Decay of the mean square.")
    momentum: Share = 0.0
    eps: Positive = 1e-8


class _Moments(Optimizer):
    beta1: Share = 0.9
    beta2: Share = 0.999
    eps: Positive = 1e-8


class Adam(_Moments):
    name: Literal["adam"]


class AdamW(_Moments):
    """Adam with a weight decay that the gradient's scale does not change (Loshchilov and Hutter, 2019)."""

    name: Literal["adamw"]
    weight_decay: NonNegative = Field(0.01, description="As torch.optim has it.")


AnyOptimizer = Annotated[Sgd | Adagrad | RmsProp | Adam | AdamW, Field(discriminator="name")]
