"""What runs can't be trained by several processes, and how many threads each of those takes."""

from collections.abc import Iterator
from typing import Any

from torch import nn

from descent.common import job
from descent.common.errors import PresetError
from descent.common.i18n import _
from descent.common.machine import usable_cpus
from engine.training.members.train_state import MemberTrainState
from engine.training.models.layers import batch_norms
from engine.training.train_state import TrainState, dropouts


def refuse(run: TrainState) -> None:
    """Raise PresetError for a run that several processes would train to another result than one process."""
    reason = next(_reasons(run), None) if run.processes > 1 else None
    if reason is not None:
        raise PresetError(
            _(
                "train.ranks = {count}: {reason}. Train it in one process: leave --ranks out, start it without "
                "torchrun or srun, or set train.ranks = 1",
                count=run.processes,
                reason=reason,
            )
        )


def _reasons(run: TrainState) -> Iterator[str]:
    train, several = run.preset.train, isinstance(run, MemberTrainState)
    if run.device.type != "cpu":
        yield _("several processes train on CPUs only for now, and this run is on {device}", device=run.device)
    if train.code is not None:
        yield _("train.code is a training step of your own, which is written for one process")
    if train.compile:
        yield _("train.compile = true works in one process only")
    if train.precision == "fp16":
        yield _('train.precision = "fp16" works in one process only')
    if several and run.processes > len(run.members):
        yield _("the run has {count} members, and each process needs one at least", count=len(run.members))
    if isinstance(run, MemberTrainState) and run.stack.path != "loop":
        yield _(
            'its members are computed together (members.way = "{way}"), which rounds the numbers of one otherwise '
            'where others are computed beside it; members.way = "loop" does not',
            way=run.stack.path,
        )
    if several and run.augmentation is not None:
        yield _("members draw their augmentation (data.augment) from one stream of random numbers")
    if _draws(run.model):
        yield _("the model has dropout, whose random numbers each process would draw in another way")
    if several:
        return
    if batch_norms(run.model):
        yield _("the model has batch norm, which would see only a part of each batch")
    if run.preset.loss.name == "code":
        yield _("loss.code is a loss of your own, and only of the built-in ones the parts of a batch add up to it")


def _draws(model: nn.Module) -> bool:
    """Return whether a model has dropout, in use or to be switched on in the live run."""
    inside = [
        float(getattr(module, "dropout", 0.0)) for module in dropouts(model) if not isinstance(module, nn.Dropout)
    ]
    return any(inside) or any(isinstance(module, nn.modules.dropout._DropoutNd) for module in model.modules())


def with_threads(run: TrainState, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts with so few threads that all processes on this machine have cores of their own.

    facts: with the threads that were the fastest for one process alone.
    """
    if run.processes == 1 or run.preset.train.threads != "auto":
        return facts
    here = job.size_on_host() if job.size() > 1 else run.processes
    return facts | {"threads": max(1, min(facts["threads"], usable_cpus() // here))}
