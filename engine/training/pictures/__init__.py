"""Pictures of the live model: small arrays that show what numbers hide, made without changing the run.

Every kind looks at a copy of the model, with the random generators put back afterwards, so that a run that was looked
at ends bit-equal to one that was not. Samples, places and bars are capped by the options of the kind.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from descent.common.errors import DescentError
from descent.run.folder import RunFolder
from engine import pictures
from engine.pictures import Traits, from_rows
from engine.training import models
from engine.training.pictures import confusion, paths, plane, surface, weights
from engine.training.pictures.probe import Arrays, Probe
from engine.training.train_state import TrainState

__all__ = ["make", "traits"]

# Each: (look, options) -> arrays by name. DescentError where the run does not allow it after all.
MAKERS: dict[str, Callable[[Probe, dict[str, Any]], Arrays]] = {
    "boundary": plane.boundary,
    "fit": plane.fit,
    "surface": surface.surface,
    "confusion": confusion.confusion,
    "mistakes": confusion.mistakes,
    "filters": weights.filters,
    "activations": weights.activations,
    "weights": weights.weights,
    "gradients": weights.gradients,
    "paths": paths.paths,
    "tally": plane.tally,
}


def make(
    run: TrainState, kind: str, options: Mapping[str, object] | None = None, folder: RunFolder | None = None
) -> dict[str, NDArray[Any]]:
    """A picture of the model as it is now: arrays of numbers and words, all on the host.

    options: those of `engine.pictures.KINDS[kind]`; what is left out has its default; and `member`, of several the
    one to look at, else the first. folder: where the past of the run is, for the path on a loss surface. `seconds`
    among the arrays is what making it took.
    DescentError where the kind does not fit the run, with why and which do; where memory is short; and, since no
    picture is worth a run, where a bug of ours is in the way, with the traceback on stderr.
    """
    given = dict(options or {})
    member = given.pop("member", 0)
    chosen = pictures.settings(kind, given)
    known = traits(run)
    complaint = pictures.KINDS[kind].complaint(known)
    if complaint is not None:
        raise pictures.refusal(kind, complaint, known)
    if kind in from_rows.KINDS:
        if folder is None:
            raise DescentError(f"the picture {kind} is drawn from the folder of a run")
        return from_rows.make(folder, kind, chosen)
    if kind != "tally":
        run = run.alone(_whole(kind, member))
    began = time.perf_counter()
    try:
        with Probe.at(run, folder) as look:
            arrays = MAKERS[kind](look, chosen)
    except DescentError as error:
        raise pictures.refusal(kind, str(error), known) from None
    except (torch.OutOfMemoryError, MemoryError):
        raise DescentError(
            f"no memory is left for the picture {kind}; fewer samples may do: --set samples=100"
        ) from None
    except Exception as error:
        traceback.print_exc()
        raise DescentError(
            f"the picture {kind} failed, and the run goes on: {type(error).__name__}: {error}; "
            "the run's output.log has the details"
        ) from error
    return arrays | {"seconds": np.array(time.perf_counter() - began)}


def _whole(kind: str, member: object) -> int:
    """The number of a member, from a shell or from JSON."""
    if isinstance(member, str) and member.isdigit():
        return int(member)
    if isinstance(member, bool) or not isinstance(member, int):
        raise DescentError(f"picture {kind}: member = {member!r}: must be a whole number")
    return member


def traits(run: TrainState) -> Traits:
    """What decides which pictures fit, from the live run."""
    return Traits(
        task=run.dataset.task,
        input_shape=run.dataset.input_shape,
        trained=sum(p.numel() for p in run.model.parameters() if p.requires_grad),
        layers=tuple(models.describe(module) for _, module in models.layers(run.model)),
        members=len(run.members),
    )
