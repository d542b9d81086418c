"""Everything that the training loop works on, built from a preset."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from descent.common.errors import PresetError
from descent.common.i18n import _, ngettext
from descent.common.text import shorten
from descent.loop import checkpoint
from descent.loop.checkpoint import undisturbed
from descent.loop.layer_statistics import LayerStatistics
from descent.run.find import find_weights
from descent.run.folder import RunFolder
from engine.preset import schedule, schema
from engine.preset.loading import Preset
from engine.preset.members import Member, roster
from engine.preset.schedule import SchedulePosition
from engine.training import (
    hidden_state,
    losses,
    models,
    optimizers,
    own_metrics,
    parameters,
    task,
    task_state,
    trial,
    user_step,
)
from engine.training.at_once import AtOnce
from engine.training.data import Dataset, load
from engine.training.data.augment import augment, is_on
from engine.training.data.batches import Batches
from engine.training.data.randomness import seed_all
from engine.training.evaluation import Best
from engine.training.members import MemberBatches, Members, MemberStatistics, MemberUpdate, choose
from engine.training.members import losses as member_losses
from engine.training.members.folds import Folds, drawn, load_pool
from engine.training.members.stacked import Way
from engine.training.members.train_state import MemberTrainState, standings
from engine.training.members.train_state import check as check_members
from engine.training.members.user_step import OwnMemberUpdate
from engine.training.models import transfer
from engine.training.models.layers import batch_norms, fewest_samples
from engine.training.protocols import AnyBatches
from engine.training.scored import scored
from engine.training.train_state import TrainState
from engine.training.update import Update
from engine.training.user_code import load_object


def build(
    preset: Preset,
    run: RunFolder,
    data_root: Path,
    device: torch.device,
    *,
    fresh: bool,
    way: Way | None = None,
    processes: int = 1,
) -> TrainState:
    """Load the data onto `device` and make models, loss, optimizer and batches, at step 0.

    fresh: whether the run begins. False if a checkpoint will be restored, so that `model.from` is not needed again.
    way: how members are computed, if that was chosen before. None to choose it here. processes: that train the run.
    Draws initial weights from the global generators, which are seeded here with `train.seed`.
    """
    if preset.train.code is not None:
        hidden_state.watch_optimizers()
    trial.load_code(preset)
    members = roster(preset)
    is_task = preset.train.code is not None and task.is_class(load_object(preset.train.code))
    if is_task:
        user_step.refuse_penalties(preset)
    if is_task and (len(members) > 1 or members[0].fold is not None):
        raise PresetError(
            _(
                'train.code = "{code}" is a class, which trains in a run of its own: leave [members] out. '
                "`descent study` trains several seeds, or several values of train.arguments, one run after another",
                code=preset.train.code,
            )
        )
    folds: Folds | None = None
    if members[0].fold is None:
        dataset = load(preset.data, root=data_root, device=device, code=load_object)
        if preset.members.samples is not None:
            folds = drawn(dataset, preset.members.samples, [member.seed for member in members])
            if len(members) == 1:
                dataset, folds = folds.dataset_of(0, dataset), None
    else:
        count = preset.members.folds or 0
        dataset, folds = load_pool(preset.data, count, root=data_root, device=device, code=load_object)
        folds = folds.for_members([member.fold or 0 for member in members])
    smallest = len(dataset.train.inputs) if folds is None else min(len(rows) for rows in folds.train)
    _check(preset, dataset)
    notes = list(dataset.notes)
    transferred: dict[str, Any] = {}
    made = [
        _model(member.preset, dataset, run, device, notes if member.member == 0 else None, transferred, fresh=fresh)
        for member in members
    ]
    unfit = frozenset(checkpoint.not_finite(made[0].state_dict()))
    if fresh:
        _refuse_unfit(preset, made[0], unfit)
    criterion = partial(
        losses.build,
        task=dataset.task,
        num_classes=dataset.num_classes,
        code=load_object,
        has_task=hasattr(preset.data, "task"),
    )
    common: dict[str, Any] = {
        "criterion": criterion(preset.loss),
        "eval_criterion": criterion(losses.for_evaluation(preset.loss)),
        "precision": _precision(preset.train.precision, device),
    }
    outputs = losses.outputs(preset.loss, task=dataset.task, target_size=dataset.target_size)
    with undisturbed(device):
        trial.check(preset, made[0], common["criterion"], dataset.train, outputs, common["precision"])
    augmentation = partial(augment, settings=preset.data.augment) if is_on(preset.data.augment) else None
    with undisturbed(device):
        fewest = fewest_samples(made[0], dataset.train.inputs[:2])
    size = batch_size(preset, smallest, fewest)
    common |= {
        "preset": preset,
        "device": device,
        "dataset": dataset,
        "augmentation": augmentation,
        "best": Best(preset.train.early_stopping, preset.train.best),
        "metrics": own_metrics.build(preset, load_object),
        "processes": processes,
        "at_once": AtOnce(
            preset.train.evaluate_batch_size, (size or smallest) // preset.train.accumulate, len(members)
        ),
        "plateau": schedule.Plateau(preset.schedule) if preset.schedule.name == "plateau" else None,
        "notes": notes,
        "transferred": transferred,
        "members": members,
        "never_finite": unfit - {name for name, parameter in made[0].named_parameters() if parameter.requires_grad},
        "fewest": fewest,
        "own_step": None if is_task else user_step.build(preset, len(members) > 1, load_object),
        "penalised": losses.penalised(made[0]) if _penalties(members) else [],
    }
    order: dict[str, Any] = {"augment": augmentation, "leave_out_single": bool(batch_norms(made[0]))}
    if is_task:
        batches = Batches(dataset.train, size, preset.train.seed, **order)
        training: TrainState = _of_task(
            made[0],
            batches,
            outputs,
            common,
            partial(_model, preset, dataset, run, device, None, {}, fresh=fresh),
            fresh=fresh,
        )
    elif len(members) == 1:
        models.lay_out(made[0], preset.model, device)
        training = _of_one(made[0], Batches(dataset.train, size, preset.train.seed, **order), common)
    else:
        seed_all(preset.train.seed)
        training = _of_many(made, members, folds, size, order, common, way)
    training.notes += [*_larger_batch(preset, smallest), *left_out(training.batches)]
    return training


def _of_one(model: nn.Module, batches: Batches, common: dict[str, Any]) -> TrainState:
    preset, device = common["preset"], common["device"]
    train = preset.train
    fp16 = train.precision == "fp16"
    if fp16 and device.type != "cuda":
        raise PresetError(_('train.precision = "fp16" needs a CUDA GPU; on the CPU use "fp32" or "bf16"'))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizers.build(preset.optimizer, trained, device)
    if train.code is not None:
        optimizers.lighten(optimizer)
    total_steps = _total_steps(preset, batches.per_epoch)
    return TrainState(
        model=model,
        numbers=parameters.together(trained),
        forward=torch.compile(model) if train.compile else model,
        update=Update(
            optimizer,
            trained,
            clip_norm=train.clip_norm,
            fp16=fp16,
            own_step=train.code is not None,
            device=device,
        ),
        batches=batches,
        statistics=LayerStatistics(model, models.layers(model), compiled=train.compile),
        total_steps=total_steps,
        pace=SchedulePosition(total_steps, batches.per_epoch),
        **common,
    )


def _of_task(
    model: nn.Module,
    batches: Batches,
    outputs: int,
    common: dict[str, Any],
    make_model: Callable[[], nn.Module],
    *,
    fresh: bool,
) -> TrainState:
    """Return a run of the user's own class. model, make_model: the preset's model, once and anew."""
    preset, device, dataset = common["preset"], common["device"], common["dataset"]
    total_steps = _total_steps(preset, batches.per_epoch)
    first = [model]

    def given() -> dict[str, Any]:
        mine = models.lay_out(first.pop() if first else make_model(), preset.model, device)
        return {
            "device": device,
            "model": mine,
            "loss_function": common["criterion"],
            "input_shape": dataset.input_shape,
            "outputs": outputs,
            "classes": dataset.classes,
            "seed": preset.train.seed,
            "batch_size": batches.size or batches.samples,
            "total_steps": total_steps,
            "steps_per_epoch": batches.per_epoch,
        }

    return task_state.build(
        preset,
        common,
        given,
        fresh=fresh,
        batches=batches,
        total_steps=total_steps,
        pace=SchedulePosition(total_steps, batches.per_epoch),
    )


def _of_many(
    made: list[nn.Module],
    members: list[Member],
    folds: Folds | None,
    size: int | None,
    order: dict[str, Any],
    common: dict[str, Any],
    way: Way | None,
) -> MemberTrainState:
    preset, dataset = common["preset"], common["dataset"]
    check_members(preset)
    own = preset.train.code is not None
    if own:
        way = "loop"  # the user's step is written for one model
    elif way is None:
        sample = dataset.train.inputs[: max(8, size or 256)]
        way, reason = choose(made, sample, common["precision"], preset.members.way, alike=common["processes"] > 1)
        common["notes"].append(_("{count} members: {reason}", count=len(made), reason=reason))
    stack = Members(made, dataset.input_shape, way)
    stack.train()
    sections = [member.preset.optimizer for member in members]
    update = (
        OwnMemberUpdate(stack, sections) if own else MemberUpdate(stack, sections, clip_norm=preset.train.clip_norm)
    )
    batches = MemberBatches(
        dataset.train,
        size,
        [member.preset.train.seed for member in members],
        rows=None if folds is None else folds.train,
        scaling=None if folds is None else folds.scaling,
        exact=member_losses.takes_weights(preset.loss) and not own and not batch_norms(made[0]),
        **order,
    )
    keeps_best = preset.train.early_stopping is not None or preset.train.best is not None
    total_steps = _total_steps(preset, batches.per_epoch)
    return MemberTrainState(
        model=stack.template,
        forward=stack,
        stack=stack,
        numbers=stack.weights if parameters.names(stack.template) else None,
        update=update,
        batches=batches,
        statistics=MemberStatistics(stack, update),
        members_criterion=member_losses.build(preset.loss, common["criterion"]),
        eval_members_criterion=member_losses.build(losses.for_evaluation(preset.loss), common["eval_criterion"]),
        standings=standings(members),
        folds=folds,
        best_weights={name: t.clone() for name, t in stack.state_dict().items()} if keeps_best else None,
        total_steps=total_steps,
        pace=SchedulePosition(total_steps, batches.per_epoch),
        **common,
    )


def _check(preset: Preset, dataset: Dataset) -> None:
    for key, wanted in (
        ("train.early_stopping", preset.train.early_stopping is not None),
        ("train.best", preset.train.best is not None),
        ('schedule.name = "plateau"', preset.schedule.name == "plateau"),
        ("members.sweep", bool(preset.members.sweep)),
    ):
        if wanted and dataset.validation is None:
            raise PresetError(
                _("{key} needs the validation loss, but data.validation = 0 leaves no validation split", key=key)
            )


def _refuse_unfit(preset: Preset, model: nn.Module, unfit: frozenset[str]) -> None:
    """Raise PresetError if a weight is not finite before the first step: no learning rate could train it.

    unfit: the names of all weights and buffers that are not finite. Buffers may be so, such as a mask.
    """
    name = next((n for n, parameter in model.named_parameters() if parameter.requires_grad and n in unfit), None)
    if name is None:
        return
    key = "model.from" if preset.model.from_run else trial.keys(preset)[0]
    raise PresetError(
        _(
            "{key}: the parameter {name} holds NaN or infinite numbers before the first step, so that nothing can be "
            "trained, whatever the learning rate. Look at how it is initialised, or at what it was loaded from",
            key=key,
            name=name,
        )
    )


def _model(
    preset: Preset,
    dataset: Dataset,
    run: RunFolder,
    device: torch.device,
    notes: list[str] | None,
    transferred: dict[str, Any],
    *,
    fresh: bool,
) -> nn.Module:
    """Build the model of one member, with its initial weights.

    transferred: takes what `model.from` has given, for run.json.
    """
    seed_all(preset.train.seed)
    outputs = losses.outputs(preset.loss, task=dataset.task, target_size=dataset.target_size)
    model = models.build(preset.model, input_shape=dataset.input_shape, outputs=outputs, code=load_object)
    if preset.model.from_run and fresh:
        note = _start_from(model, preset.model, run.path.parent, transferred)
        if notes is not None:
            notes.append(note)
    model = model.to(device).train()
    with undisturbed(device):
        grown = trial.grow(preset, model, dataset.train)
    if grown and notes is not None:
        notes.append(
            _(
                "the model makes {names} in its first forward pass in training mode: made before step 0 by a pass "
                "over the first {count:,} training samples",
                names=shorten(", ".join(grown), 80),
                count=trial.samples_to_grow(preset, dataset.train),
            )
        )
    frozen = transfer.freeze(model, preset.model.freeze)
    if transferred:
        transferred["frozen"] = frozen
    optimizers.trainable(model.parameters())
    return model


def _penalties(members: list[Member]) -> bool:
    return any(member.preset.loss.l1 or member.preset.loss.l2 for member in members)


def _total_steps(preset: Preset, per_epoch: int) -> int:
    return preset.train.steps if preset.train.steps is not None else (preset.train.epochs or 0) * per_epoch


def batch_size(preset: Preset, samples: int, fewest: int) -> int | None:
    """Return the samples in a batch, or None for the whole split, which a larger batch is too.

    samples: in the split. fewest: the smallest batch that the model can train on. Raises PresetError if the batch is
    too small for the model.
    """
    given, parts = preset.train.batch_size, preset.train.accumulate
    if given == "full" or given > samples >= fewest * parts:
        return None
    size = min(given, samples)
    if parts <= size < fewest * parts:
        if parts == 1:
            text = _(
                "train.batch_size = {size} gives the model's batch norm one sample at a time, which has no variance; "
                'allowed: {least} to {samples}, or "full"',
                size=size,
                least=fewest,
                samples=samples,
            )
        else:
            text = _(
                "train.batch_size = {size} in {parts} parts (train.accumulate) gives the model's batch norm one "
                'sample at a time, which has no variance; allowed: {least} to {samples}, or "full"',
                size=size,
                parts=parts,
                least=fewest * parts,
                samples=samples,
            )
        raise PresetError(text)
    if parts > size:
        raise PresetError(_("train.accumulate = {parts} can't split a batch of {size}", parts=parts, size=size))
    return size


def _larger_batch(preset: Preset, samples: int) -> list[str]:
    """Return a note on a batch that is larger than the training split, or nothing."""
    size = preset.train.batch_size
    if size == "full" or size <= samples:
        return []
    return [
        _(
            "train.batch_size = {size} is larger than the training split: a step takes all of its {samples} samples",
            size=size,
            samples=samples,
        )
    ]


def left_out(batches: AnyBatches) -> list[str]:
    """Return a note on the samples that no batch of an epoch holds, or nothing."""
    if batches.size is None or batches.per_epoch * batches.size >= batches.samples:
        return []
    return [
        ngettext(
            "{count} sample leaves a last batch of one, which batch norm can't take: it is left out",
            "{count} samples leave a last batch of one, which batch norm can't take: it is left out",
            batches.samples,
        )
    ]


def _precision(name: str, device: torch.device) -> AbstractContextManager[None]:
    if name == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if name == "bf16" else torch.float16)


def _start_from(model: nn.Module, section: schema.AnyModel, runs: Path, transferred: dict[str, Any]) -> str:
    """Load the weights of another run's scored model, or of a checkpoint file.

    Returns a note of what was loaded, and writes it into `transferred`.
    """
    source = section.from_run
    assert source is not None
    path, complaints = Path(source), list[str]()
    if path.is_file():
        try:
            state: dict[str, Any] | None = checkpoint.read(path)
        except ValueError as error:
            raise PresetError(f"model.from = {source}: {error}") from None
    else:
        path = find_weights(source, runs)
        state, complaints = scored(RunFolder(path))
        if state is None:
            missing = _("model.from = {run}: that run has no checkpoint", run=source)
            raise PresetError("; ".join([missing, *complaints]))
    assert state is not None
    report = transfer.start_from(model, state["model"], section.fresh)
    transferred |= {"from": str(path), "step": state["step"], **{name: list(of) for name, of in vars(report).items()}}
    source = path.name if path.name.startswith(f"{source}-") else source  # of a preset: which of its runs
    if not complaints:
        return _("weights from {source} at step {step:,}: {report}", source=source, step=state["step"], report=report)
    return _(
        "weights from {source} at step {step:,}, in place of a checkpoint that can't be read ({problems}): {report}",
        source=source,
        step=state["step"],
        problems="; ".join(complaints),
        report=report,
    )
