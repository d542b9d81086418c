"""Pictures of the live model: small arrays for the console to draw, made without changing the run.

Every kind uses a copy of the model, and the random generators are restored afterwards. So a run ends bit-equal with
or without pictures. The options of a kind limit its samples, places and bars.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.run.folder import RunFolder
from engine import pictures
from engine.pictures import Traits, from_rows
from engine.training import models
from engine.training.pictures import confusion, paths, plane, surface, weights
from engine.training.pictures.probe import Arrays, Probe
from engine.training.train_state import TrainState
from engine.training.user_code import is_out_of_memory

__all__ = ["draw", "make", "traits"]

# Each: (look, options) -> arrays by name. Raises DescentError if the run turns out not to allow it.
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
    """Make a picture of the model as it is now: arrays of numbers and words, all on the host.

    options: those of `engine.pictures.KINDS[kind]`, each with a default, and `member`, by default the first. folder:
    of the run, for the path on a loss surface. The array `seconds` is the time that it took.
    Raises DescentError if the kind does not fit the run (with the reason, and the kinds that do) or memory is short.
    A bug of Descent is a DescentError too, with the traceback on stderr, so that a picture never ends a run.
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
            raise DescentError(_("the picture {kind} is drawn from the folder of a run", kind=kind))
        return from_rows.make(folder, kind, chosen)
    if not run.has_preset_model:
        raise DescentError(
            _(
                "the picture {kind} is drawn of the preset's model, and this run trains networks that the class of "
                "train.code has made",
                kind=kind,
            )
        )
    alone = run if kind == "tally" else run.alone(_whole(kind, member))
    return draw(alone, {kind: chosen}, folder, everyone=run)[kind]


def draw(
    run: TrainState, wanted: Mapping[str, dict[str, Any]], folder: RunFolder | None, everyone: TrainState
) -> dict[str, Arrays]:
    """Draw pictures of the model as it is now that are known to fit it, all of one copy. Returns arrays by kind.

    wanted: all options by kind. everyone: the run with all of its members, where `run` is one of them alone. Raises
    DescentError if the data turn out not to allow a picture, memory is short, or Descent has a bug.
    """
    drawn: dict[str, Arrays] = {}
    kind = ""
    began = time.perf_counter()
    try:
        with Probe.at(run, folder) as look:
            for kind, options in wanted.items():
                arrays = MAKERS[kind](look, options)
                if kind == "fit":
                    arrays |= plane.curves(everyone, look, arrays)
                ended = time.perf_counter()
                drawn[kind] = arrays | {"seconds": np.array(ended - began)}
                began = ended
    except DescentError as error:
        raise pictures.refusal(kind, str(error), traits(everyone)) from None
    except Exception as error:
        if is_out_of_memory(error):
            raise DescentError(
                _("no memory is left for the picture {kind}; try fewer samples: --set samples=100", kind=kind)
            ) from None
        traceback.print_exc()
        raise DescentError(
            _(
                "the picture {kind} failed, but the run goes on: {error}; the run's output.log has the details",
                kind=kind,
                error=f"{type(error).__name__}: {error}",
            )
        ) from error
    return drawn


def _whole(kind: str, member: object) -> int:
    """Return the number of a member, given in a shell or in JSON."""
    if isinstance(member, str) and member.isdigit():
        return int(member)
    if isinstance(member, bool) or not isinstance(member, int):
        raise DescentError(_("picture {kind}: member = {given!r}: must be a whole number", kind=kind, given=member))
    return member


def traits(run: TrainState) -> Traits:
    """Return the traits of the live run that decide which pictures fit."""
    return Traits(
        task=run.dataset.task,
        input_shape=run.dataset.input_shape,
        trained=sum(p.numel() for p in run.model.parameters() if p.requires_grad),
        layers=tuple(models.describe(module) for _, module in models.layers(run.model)),
        members=len(run.members),
    )
