"""A run of Lightning's Trainer: `Trainer(callbacks=[descent.lightning.DescentCallback()])`.

The loop is Lightning's: it goes on from its own checkpoints (`fit(ckpt_path=…)`). The same `id` then goes on in the
same run.
"""

import math
import sys
from typing import Any

from descent.loop import start
from descent.loop.led import Begun, evaluated, missing, track
from descent.loop.watched import Loop

try:
    if "pytorch_lightning" in sys.modules and "lightning" not in sys.modules:
        from pytorch_lightning import Callback  # the same, under its older name; the two don't mix
    else:
        from lightning.pytorch import Callback
except ImportError as error:
    raise missing("lightning", error) from error


class DescentCallback(Callback):
    """Records every step of a fit, and follows commands between two batches. A stop ends the fit as Lightning does.

    Its arguments are those of descent.init; config is by default the module's hyperparameters.
    """

    def __init__(self, name: str | None = None, **options: Any) -> None:
        self._begun = Begun(name, options)
        self.run: Loop | None = None  # from the beginning of the training
        self._before: dict[str, Any] = {}

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        run = self.run = self._begun.begin(dict(pl_module.hparams))
        batches, total = trainer.num_training_batches, trainer.estimated_stepping_batches
        run.lead(
            "Lightning",
            after=trainer.global_step // max(1, len(trainer.optimizers)),  # which counts those of every optimizer
            total_steps=int(total) if 0 < total < math.inf else None,
            steps_per_epoch=math.ceil(batches / trainer.accumulate_grad_batches) if batches < math.inf else None,
        )
        run.watch(pl_module, trainer.optimizers)
        schedulers = [config.scheduler for config in trainer.lr_scheduler_configs]
        kept = {f"scheduler{n}" if n > 1 else "scheduler": one for n, one in enumerate(schedulers, 1)}
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        track(run, kept if scaler is None else kept | {"scaler": scaler})

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if self.run is not None and self.run.between_steps():
            _stop(trainer)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        epochs = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
        if self.run is not None and self.run.end_epoch(trainer.current_epoch + 1, epochs):
            _stop(trainer)

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self._before = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if self.run is not None and not trainer.sanity_checking:
            found = trainer.callback_metrics  # also those of training, which are what they were
            evaluated(self.run, {k: v for k, v in found.items() if v is not self._before.get(k)})

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if self.run is not None:
            self.run.end("finished")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        if self.run is not None and isinstance(exception, SystemExit):  # a signal that Lightning handles
            self.run.end("stopped")
        elif self.run is not None:
            start.fail(exception)


def _stop(trainer: Any) -> None:
    """End the fit after this batch, whatever it was to reach at the least."""
    trainer.fit_loop.min_epochs = trainer.fit_loop.epoch_loop.min_steps = None
    trainer.should_stop = True
