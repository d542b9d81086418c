"""[members]: models that train together, and the keys in which they may differ."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from descent.common.i18n import _
from engine.preset.schema.section import Count, Flag, Float, Section

LOCKSTEP = (  # the keys that may differ between models that train together
    "optimizer.lr",
    "optimizer.momentum",
    "optimizer.alpha",
    "optimizer.beta1",
    "optimizer.beta2",
    "optimizer.eps",
    "optimizer.weight_decay",
    *(
        f"schedule.{key}"
        for key in ("warmup", "every", "gamma", "peak", "start", "final", "decay", "factor", "patience", "floor")
    ),
    "model.dropout",
    "model.init",
    "model.init_std",
    "loss.l1",
    "loss.l2",
)


class Range(Section):
    """What a random search draws from, evenly; whole numbers where the key takes no others."""

    low: Float
    high: Float
    log: Flag = Field(False, description="Draw evenly in the logarithm.")


class Members(Section):
    """Models that train together in one run, one step at a time; without this section it is one."""

    repeats: Count = Field(1, description="Models that differ in their seed: train.seed, train.seed + 1, …")
    folds: Annotated[int, Field(strict=True, ge=2)] | None = Field(
        None, description="K-fold cross-validation: each model validates on another K-th of the samples."
    )
    samples: Count | None = Field(
        None,
        description="Each model trains on so many of the training samples, drawn for its seed: the same experiment, "
        "done again with other samples.",
    )
    sweep: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)] | Range] = Field(
        {},
        description='Candidates to compare: "optimizer.lr" = [0.1, 0.01], or { low = 1e-4, high = 1.0, log = true }.',
        json_schema_extra={"propertyNames": {"enum": list(LOCKSTEP)}},
    )
    draws: Count | None = Field(None, description="Random search: so many candidates; without it, every combination.")
    way: Literal["auto", "batched", "vmap", "loop"] = Field(
        "auto", description="Batched products (MLPs), torch.func.vmap, a loop over them, or the fastest of these."
    )

    @model_validator(mode="after")
    def _fit_together(self) -> "Members":
        if self.folds is not None and self.repeats > 1:
            raise ValueError(_("members.repeats and members.folds can't be combined: give one of them"))
        if self.folds is not None and self.samples is not None:
            raise ValueError(_("members.samples and members.folds can't be combined: give one of them"))
        if self.draws is not None and not self.sweep:
            raise ValueError(_("members.draws = {draws}: there is no members.sweep to draw from", draws=self.draws))
        for key, values in self.sweep.items():
            if isinstance(values, Range) and self.draws is None:
                raise ValueError(
                    _("members.draws is missing: how many candidates to draw from the range of {key}", key=key)
                )
        return self
