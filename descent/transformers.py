"""A run of Transformers' Trainer: `Trainer(…, callbacks=[descent.transformers.DescentCallback()])`.

The loop is the Trainer's: it goes on from its own checkpoints (`train(resume_from_checkpoint=…)`). The same `id` then
goes on in the same run.
"""

import dataclasses
import math
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.led import Begun, evaluated, missing, track
from descent.loop.watched import Loop

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ImportError as error:
    raise missing("transformers", error) from error

_ALWAYS = ("learning_rate", "per_device_train_batch_size", "num_train_epochs", "seed")
# What the Trainer adds to the numbers of an evaluation.
_NO_METRICS = ("runtime", "samples_per_second", "steps_per_second", "preparation_time", "jit_compilation_time")


class DescentCallback(TrainerCallback):
    """Records every update of a training, and follows commands between two. A stop ends it as the Trainer does.

    Its arguments are those of descent.init; config is by default what the TrainingArguments set.
    """

    def __init__(self, name: str | None = None, **options: Any) -> None:
        self._begun = Begun(name, options)
        self.run: Loop | None = None  # from the beginning of the training

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kept: Any
    ) -> None:
        optimizer, scheduler, loader = (kept.get(key) for key in ("optimizer", "lr_scheduler", "train_dataloader"))
        if optimizer is None:
            raise DescentError(_("this Trainer has made no optimizer when the training begins; it can't be watched"))
        run = self.run = self._begun.begin(_settings(args))
        try:
            per_epoch = math.ceil(len(loader) / args.gradient_accumulation_steps) if loader is not None else None
        except TypeError:  # its length is not known
            per_epoch = None
        run.lead("Transformers", after=state.global_step, total_steps=state.max_steps, steps_per_epoch=per_epoch)
        run.watch(kept["model"], optimizer)
        track(run, {} if scheduler is None else {"scheduler": scheduler})

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kept: Any
    ) -> None:
        if self.run is not None and self.run.between_steps():
            control.should_training_stop = True

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kept: Any
    ) -> None:
        if self.run is not None and self.run.end_epoch(max(1, round(state.epoch or 0)), state.num_train_epochs):
            control.should_training_stop = True

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None, **_kept: Any
    ) -> None:
        if self.run is not None:
            evaluated(self.run, {k: v for k, v in metrics.items() if k != "epoch" and not k.endswith(_NO_METRICS)})

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_kept: Any
    ) -> None:
        if self.run is not None:
            self.run.end("finished")


def _settings(args: TrainingArguments) -> dict[str, Any]:
    """Return the arguments that are not what they are by default, and the most important ones."""
    values = args.to_sanitized_dict()
    given = {
        field.name
        for field in dataclasses.fields(args)
        if field.default is not dataclasses.MISSING and getattr(args, field.name) != field.default
    }
    return {name: value for name, value in values.items() if name in given or name in _ALWAYS}
