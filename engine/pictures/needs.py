"""What a kind of picture needs of a run. Each says why the run can't have it; None where it can, as far as known."""

import math

from engine.pictures.run_traits import Traits

POINT = "point x, y"  # what metrics.json calls the layer of model.name = "point"


def in_the_plane(run: Traits) -> str | None:
    if run.task not in (None, "classification"):
        return "the data have no classes"
    return _features(run, (2,))


def one_or_two_inputs(run: Traits) -> str | None:
    if run.task == "classification" and run.input_shape is not None and run.input_shape != (1,):
        return "its targets are classes, not numbers"
    if run.layers == (POINT,):
        return "a point on a surface has no inputs"
    return _features(run, (1,) if run.task == "classification" else (1, 2))


def _features(run: Traits, counts: tuple[int, ...]) -> str | None:
    if run.input_shape is None or (len(run.input_shape) == 1 and run.input_shape[0] in counts):
        return None
    wanted = " or ".join(str(count) for count in counts)
    return f"the inputs are {_described(run.input_shape)}, and it takes {wanted} number{'s' * (counts != (1,))}"


def _described(shape: tuple[int, ...]) -> str:
    if len(shape) == 3:
        return f"images of {shape[1]} × {shape[2]}"
    if len(shape) == 1:
        return "one number" if shape == (1,) else f"{shape[0]} numbers"
    return f"of shape {shape}"


def one_or_two_parameters(run: Traits) -> str | None:
    if run.trained is None or 1 <= run.trained <= 2:
        return None
    return f"the model has {run.trained:,} trained parameters, and a surface has room for 1 or 2"


def two_parameters(run: Traits) -> str | None:
    if run.trained is None or run.trained == 2:
        return None
    return f"the model has {run.trained:,} trained parameter{'s' * (run.trained != 1)}, and a way on a map needs 2"


def several_in_the_plane(run: Traits) -> str | None:
    return several(run) or in_the_plane(run)


def several(run: Traits) -> str | None:
    if run.members is None or run.members > 1:
        return None
    return "one model trains in it; members.repeats = 10 would make ten"


def classes(run: Traits) -> str | None:
    if run.task not in (None, "classification"):
        return "the data have no classes"
    return None


def first_layer_sees_images(run: Traits) -> str | None:
    if run.input_shape is None or run.layers is None:
        return None
    if len(run.input_shape) != 3:
        return f"the inputs are {_described(run.input_shape)}, no images"
    first = next((kind for kind in run.layers if " norm " not in kind), "")
    if first.startswith(("conv ", f"linear {math.prod(run.input_shape)} ×")):
        return None
    return "its first layer is neither a convolution nor a linear layer over all pixels"


def nothing(run: Traits) -> str | None:
    return None
