"""The scored model of a run, ready for raw data: what `descent.load`, `descent predict` and `descent export` use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from descent.common.arrays import Singles
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean, show
from descent.loop import device as devices
from descent.loop.checkpoint import State
from descent.run.best_by import BestBy, best_by
from descent.run.folder import RunFolder
from descent.run.results import MemberResult, RunResult, result_of
from engine.preset import consent, datasets, schema
from engine.preset.loading import Preset, load_preset
from engine.preset.members import Member, roster
from engine.training import losses, models
from engine.training.at_once import AtOnce
from engine.training.data import load as load_data
from engine.training.data import preparation
from engine.training.data.preparation import Preparation, Prepared
from engine.training.scored import scored
from engine.training.user_code import load_object, user_code


@dataclass(frozen=True)
class Predictions:
    """What a model says of N samples.

    rows, called: as in Prepared. values: (N,) names of classes, or (N, T) numbers. probabilities: (N, K) of the
    classes; None for a regression.
    """

    rows: tuple[str, ...]
    called: str
    values: NDArray[Any]
    probabilities: Singles | None


@dataclass(frozen=True)
class LearnedModel:
    """The scored model of a run, and how raw data become its inputs.

    module: the network, in evaluation mode; it takes (N, *input_shape) float32 as `prepare` returns them.
    step: of the model. member: which of several, else 0. notes: what else is worth knowing.
    """

    run: str
    module: nn.Module
    preparation: Preparation
    loss: schema.AnyLoss
    step: int
    member: int
    device: torch.device
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> Literal["classification", "regression"]:
        return self.preparation.task

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of the probabilities; () for a regression."""
        return self.preparation.classes

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that a table must have; () for other data."""
        encoding = self.preparation.encoding
        return () if encoding is None else tuple(column.name for column in encoding.inputs)

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of what is predicted; () where the data have none."""
        return self.preparation.targets

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one sample: (channels, height, width) for images."""
        return self.preparation.input_shape

    def prepare(self, data: object) -> Prepared:
        """Return raw data as the module takes them. Raises DescentError, as `Preparation.apply` says."""
        return self.preparation.apply(data)

    def predict(self, data: object) -> NDArray[Any]:
        """Return the names of the predicted classes, (N,), or the predicted numbers, (N,) or (N, T).

        data: a CSV file, columns by name, rows as mappings, a data frame; image files, a folder or zip file of them;
        arrays, tensors or lists of one sample or many. Raises DescentError, which says what is missing or wrong.
        """
        values = self.predictions(data).values
        return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values

    def probabilities(self, data: object) -> Singles:
        """Return the probabilities of `classes`, (N, K). Raises DescentError for a regression."""
        found = self.predictions(data).probabilities
        if found is None:
            raise DescentError(_("{run} predicts numbers, which have no probabilities", run=self.run))
        return found

    def outputs(self, data: object) -> Singles:
        """Return what the module says of raw data, (N, K): logits, or numbers as they were trained on."""
        outputs: Singles = self._outputs(self.prepare(data).inputs).numpy()
        return outputs

    def predictions(self, data: object) -> Predictions:
        """Return predictions with the names of the rows."""
        prepared = self.prepare(data)
        outputs = self._outputs(prepared.inputs)
        if self.task == "regression":
            values = outputs.double().numpy()
            encoding = self.preparation.encoding
            values = values if encoding is None else encoding.unscaled(values)
            return Predictions(prepared.rows, prepared.called, values, None)
        labels = losses.predictions(outputs).numpy()
        names = np.array(self.classes)[labels]
        return Predictions(prepared.rows, prepared.called, names, losses.probabilities(outputs, self.loss).numpy())

    @torch.no_grad()
    def _outputs(self, inputs: Tensor) -> Tensor:
        with user_code(self.run):
            return AtOnce("auto", trained=1).outputs(
                lambda some: self.module(some.to(self.device)).float().cpu(), inputs
            )


def load(
    folder: RunFolder,
    *,
    member: int | None = None,
    device: str = "cpu",
    data_root: Path | None = None,
    allow_code: bool = False,
) -> LearnedModel:
    """Return the scored model of a run: with early stopping the best one, else the last one.

    member: of several; by default the best by the validation loss. data_root: the folder of downloaded data, only for
    runs of an older Descent. allow_code: agree to the run's copy of the user's code.
    Raises DescentError if there is no checkpoint, if it is damaged, and without such a member or consent.
    """
    placed = _device(device)
    preset = load_preset(folder.preset)
    if "model" in preset.code:
        consent.check_consent(preset.code["model"], allow_code, key="model.code")
    if isinstance(preset.loss, schema.SurfaceLoss):
        raise DescentError(_("{run} has trained a point on a surface, which predicts nothing", run=folder.id))
    state, complaints = scored(folder)
    if state is None:
        if complaints:
            problems = "; ".join(complaints)
            raise DescentError(
                _("{run} has no checkpoint that can be read: {problems}", run=folder.id, problems=problems)
            )
        raise DescentError(_("{run} has no checkpoint yet, so there is no model", run=folder.id))
    if complaints:  # an earlier model is not the one whose scores are told
        raise DescentError(
            _(
                "{run}: the model that was scored can't be read: {problems}; restore that file, or train it again "
                "from an earlier checkpoint: descent fork {run} --at STEP",
                run=folder.id,
                problems="; ".join(complaints),
            )
        )
    if not state.get("task", {}).get("is_presets_model", True):
        raise DescentError(
            _(
                "{run} trains networks that the class of train.code has made, and not the model of its preset, so "
                "that nothing is known of how to predict with them; their weights are in {file}, under "
                '"model"',
                run=folder.id,
                file=folder.checkpoint(state["step"]),
            )
        )
    members = roster(preset)
    chosen = _choose(folder, members, member)
    own = members[chosen].preset
    found = preparation.read(folder.path) or _derived(folder, preset, data_root, allow_code=allow_code)
    prepared = found[chosen if len(found) > 1 else 0]
    module = _module(own, prepared, _weights(state, chosen, len(members)), folder)
    notes = (_("member {member} of {count}", member=chosen, count=len(members)),) if len(members) > 1 else ()
    return LearnedModel(
        run=folder.id,
        module=module.to(placed).eval(),
        preparation=prepared,
        loss=own.loss,
        step=_step(state, chosen),
        member=chosen,
        device=placed,
        notes=notes,
    )


def _device(name: str) -> torch.device:
    if re.fullmatch(r"cpu|cuda(:\d+)?", name) is None:
        raise DescentError(_("--device {device}: must be cpu, cuda or cuda:N", device=show(name)))
    return devices.choose(name)[0]


def _choose(folder: RunFolder, members: Sequence[Member], wanted: int | None) -> int:
    """Return the wanted member, or the best one: of a sweep's winner, if there is one."""
    if wanted is not None:
        if not 0 <= wanted < len(members):
            raise DescentError(
                _(
                    "--member {member}: {run} has the members 0 to {last}",
                    member=wanted,
                    run=folder.id,
                    last=len(members) - 1,
                )
            )
        return wanted
    if len(members) == 1:
        return 0
    result = result_of(folder)
    among, by = _eligible(result), best_by(folder)
    if not any(by.metric in entry.metrics for entry in among):
        by = BestBy("train_loss")
    return min(among, key=lambda entry: by.rank(entry.metrics)).member


def _eligible(result: RunResult) -> list[MemberResult]:
    among = [entry for entry in result.members if entry.state != "diverged"]
    if result.winner is not None:
        among = [entry for entry in among if entry.member in result.winner.members]
    return among or list(result.members)


def _weights(state: State, member: int, count: int) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = state["model"]
    return weights if count == 1 else {name: tensor[member] for name, tensor in weights.items()}


def _step(state: State, member: int) -> int:
    """Return the step that the model is of."""
    best = state["standings"][member]["best"]["step"] if state.get("best_weights") is not None else None
    return int(state["step"] if best is None else best)


def _module(preset: Preset, prepared: Preparation, weights: dict[str, Tensor], folder: RunFolder) -> nn.Module:
    section = preset.model
    if isinstance(section, schema.TorchvisionModel):
        section = section.model_copy(update={"weights": None})  # the checkpoint has them
    outputs = losses.outputs(preset.loss, task=prepared.task, target_size=prepared.target_size)
    state = torch.get_rng_state()
    try:
        model = models.build(section, input_shape=prepared.input_shape, outputs=outputs, code=load_object)
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise DescentError(
            _(
                "{run}: the checkpoint does not fit the model of its preset: {error}",
                run=folder.id,
                error=clean(str(error).splitlines()[-1].strip()),
            )
        ) from None
    finally:
        torch.set_rng_state(state)  # the caller's own draws go on as if nothing had been loaded
    return model


def _derived(folder: RunFolder, preset: Preset, root: Path | None, *, allow_code: bool) -> list[Preparation]:
    """Return how the data of a run of Descent 0.1, which kept nothing of it, became inputs: read the data again."""
    if "data" in preset.code:
        consent.check_consent(preset.code["data"], allow_code, key="data.code")
    stored = folder.facts().get("data_root")
    where = datasets.data_root(root or (Path(stored) if stored else None))
    device = torch.device("cpu")
    try:
        if preset.members.folds:
            from engine.training.members.folds import load_pool

            pool, folds = load_pool(preset.data, preset.members.folds, root=where, device=device, code=load_object)
            whole = Preparation.of(pool, preset.data)
            return [whole.scaled_by(folds.scale_of(member.fold or 0)) for member in roster(preset)]
        return [Preparation.of(load_data(preset.data, root=where, device=device, code=load_object), preset.data)]
    except DescentError as error:
        raise DescentError(
            _(
                "{run} was trained by an older Descent, which kept no class names and no scaling beside the model, "
                "and its data can't be read again: {error}",
                run=folder.id,
                error=error,
            )
        ) from None
