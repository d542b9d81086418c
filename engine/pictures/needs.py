"""What the kinds of pictures need of a run.

Each function returns why a run can't have a picture, or None if it can or that is not known yet.
"""

import math
from collections.abc import Callable

from descent.common.i18n import N_, _, ngettext
from engine.pictures.run_traits import Traits

POINT = "point x, y"  # the layer of model.name = "point" in metrics.json
_NO_CLASSES = N_("the data have no classes")


def of_a_preset(need: Callable[[Traits], str | None]) -> Callable[[Traits], str | None]:
    """Return the need of a picture of the model or the data, which a training loop of one's own keeps to itself."""

    def found(run: Traits) -> str | None:
        if run.task == "loop":
            return _("it is a loop of one's own, whose pictures are what it gives with run.sample")
        return need(run)

    return found


def in_the_plane(run: Traits) -> str | None:
    if run.task not in (None, "classification"):
        return _(_NO_CLASSES)
    return _features(run, (2,))


def one_or_two_inputs(run: Traits) -> str | None:
    if run.task == "classification" and run.input_shape is not None and run.input_shape != (1,):
        return _("the targets are classes, not numbers")
    if run.layers == (POINT,):
        return _("a point on a surface has no inputs")
    return _features(run, (1,) if run.task == "classification" else (1, 2))


def _features(run: Traits, counts: tuple[int, ...]) -> str | None:
    if run.input_shape is None or (len(run.input_shape) == 1 and run.input_shape[0] in counts):
        return None
    wanted = _("1 or 2 numbers") if len(counts) == 2 else _numbers(counts[0])
    return _(
        "each input is {given}, and this picture needs {wanted}", given=_described(run.input_shape), wanted=wanted
    )


def _described(shape: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return _("an image of {height} × {width}", height=shape[1], width=shape[2])
    return _numbers(shape[0]) if len(shape) == 1 else _("an array of shape {shape}", shape=shape)


def _numbers(count: int) -> str:
    return ngettext("{count} number", "{count} numbers", count)


def one_or_two_parameters(run: Traits) -> str | None:
    if run.trained is None or 1 <= run.trained <= 2:
        return None
    return _("the model has {parameters}, and a surface needs 1 or 2", parameters=_trained(run.trained))


def two_parameters(run: Traits) -> str | None:
    if run.trained is None or run.trained == 2:
        return None
    return _("the model has {parameters}, and paths on a map need 2", parameters=_trained(run.trained))


def _trained(count: int) -> str:
    return ngettext("{count:,} trained parameter", "{count:,} trained parameters", count)


def several_in_the_plane(run: Traits) -> str | None:
    return several(run) or in_the_plane(run)


def several(run: Traits) -> str | None:
    if run.members is None or run.members > 1:
        return None
    return _("only one model trains in this run; members.repeats = 10 would train ten")


def classes(run: Traits) -> str | None:
    if run.task not in (None, "classification"):
        return _(_NO_CLASSES)
    return None


def first_layer_sees_images(run: Traits) -> str | None:
    if run.input_shape is None or run.layers is None:
        return None
    if len(run.input_shape) != 3:
        return _("each input is {given}, not an image", given=_described(run.input_shape))
    first = next((kind for kind in run.layers if " norm " not in kind), "")
    if first.startswith(("conv ", f"linear {math.prod(run.input_shape)} ×")):
        return None
    return _("the first layer is neither a convolution nor a linear layer over all pixels")


def nothing(run: Traits) -> str | None:
    return None
