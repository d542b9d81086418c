"""Pictures of a run: what kinds there are, which of them fit a run, and the files they come in.

A picture is a few small arrays, computed by the worker on request and kept as `pictures/KIND-step-N.npz`. What the
arrays of a kind are is said in `engine/training/pictures/`, where they are made.
"""

import io
import math
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import DescentError
from engine.files import write_atomically
from engine.picture_traits import Traits, traits
from engine.texts import did_you_mean, show

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "Kind", "Option", "Picture", "Traits", "fitting", "latest", "read", "refusal", "settings",
           "traits", "write"]  # fmt: skip

POINT = "point x, y"  # what metrics.json calls the layer of model.name = "point"
KEPT = 20  # pictures of a kind in a run's folder: a screen that asks every few seconds must not fill the disk


@dataclass(frozen=True)
class Option:
    """A number that may be chosen, `lowest` to `highest`, or a word out of `words`."""

    name: str
    default: int | str
    means: str
    lowest: int = 1
    highest: int = 1
    words: tuple[str, ...] = ()

    def read(self, value: object) -> int | str:
        """`value`, from a shell or from JSON, as this option takes it. DescentError with what is allowed."""
        if self.words:
            if value in self.words:
                return str(value)
            meant = did_you_mean(value, self.words)
            raise DescentError(f"{self.name} = {show(value)}: is one of {', '.join(self.words)}{meant}")
        try:
            number = value if isinstance(value, int) and not isinstance(value, bool) else int(str(value))
        except ValueError:
            number = None
        if number is None or not self.lowest <= number <= self.highest:
            raise DescentError(
                f"{self.name} = {show(value)}: must be a whole number from {self.lowest} to {self.highest:,}"
            )
        return number


@dataclass(frozen=True)
class Kind:
    """One kind of picture. `complaint` says why a run can't have it; None where it can, as far as is known."""

    name: str
    title: str
    shows: str
    needs: str
    options: tuple[Option, ...]
    complaint: Callable[[Traits], str | None]


@dataclass(frozen=True)
class Picture:
    """One that was made: its kind, the step it is of, and its arrays by name."""

    kind: str
    step: int
    arrays: "Mapping[str, NDArray[Any]]"

    def text(self, name: str) -> str:
        """An array of one word; empty where there is none."""
        return str(self.arrays[name]) if name in self.arrays else ""

    def texts(self, name: str) -> list[str]:
        return [str(word) for word in self.arrays[name]] if name in self.arrays else []


# --- what each kind needs --------------------------------------------------------------------------------


def _in_the_plane(run: Traits) -> str | None:
    if run.task not in (None, "classification"):
        return "the data have no classes"
    return _features(run, (2,))


def _one_or_two_inputs(run: Traits) -> str | None:
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


def _one_or_two_parameters(run: Traits) -> str | None:
    if run.trained is None or 1 <= run.trained <= 2:
        return None
    return f"the model has {run.trained:,} trained parameters, and a surface has room for 1 or 2"


def _two_parameters(run: Traits) -> str | None:
    if run.trained is None or run.trained == 2:
        return None
    return f"the model has {run.trained:,} trained parameter{'s' * (run.trained != 1)}, and a way on a map needs 2"


def _several_in_the_plane(run: Traits) -> str | None:
    return _several(run) or _in_the_plane(run)


def _several(run: Traits) -> str | None:
    if run.members is None or run.members > 1:
        return None
    return "one model trains in it; members.repeats = 10 would make ten"


def _classes(run: Traits) -> str | None:
    if run.task not in (None, "classification"):
        return "the data have no classes"
    return None


def _first_layer_sees_images(run: Traits) -> str | None:
    if run.input_shape is None or run.layers is None:
        return None
    if len(run.input_shape) != 3:
        return f"the inputs are {_described(run.input_shape)}, no images"
    first = next((kind for kind in run.layers if " norm " not in kind), "")
    if first.startswith(("conv ", f"linear {math.prod(run.input_shape)} ×")):
        return None
    return "its first layer is neither a convolution nor a linear layer over all pixels"


def _any(run: Traits) -> str | None:
    return None


# --- the catalogue ---------------------------------------------------------------------------------------


def _samples(default: int, means: str) -> Option:
    return Option("samples", default, means, 1, 100_000)


_SPLIT = Option("split", "validation", "Which samples; training samples where there is no such split.",
                words=("validation", "train"))  # fmt: skip
_BINS = Option("bins", 48, "Bars of a histogram.", 4, 500)

_ALL = (
    Kind("boundary", "Decision boundary",
         "which class the model chooses where, how surely, and its samples",
         "two numbers as inputs, and classes",
         (Option("resolution", 60, "Places along each axis.", 8, 400), _samples(600, "Points to draw.")),
         _in_the_plane),
    Kind("fit", "Fit",
         "what the model says for each input, over the points it learns from",
         "one or two numbers as inputs",
         (Option("resolution", 60, "Places along each axis; four times as many on a line.", 8, 400),
          _samples(600, "Points to draw.")),
         _one_or_two_inputs),
    Kind("surface", "Loss surface",
         "the training loss at other parameters, and the way the run took",
         "a model of one or two parameters",
         (Option("resolution", 48, "Places along each axis.", 8, 200), _samples(1000, "Samples of the loss.")),
         _one_or_two_parameters),
    Kind("paths", "Optimizers' paths",
         "the ways that seven optimizers take from the run's start, each at its best rate, and the run's",
         "a model of two parameters",
         (Option("resolution", 48, "Places along each axis.", 8, 200), _samples(1000, "Samples of the loss."),
          Option("steps", 100, "How far each goes.", 1, 2000),
          Option("rates", "best", "best: for each the one of eight with the lowest mean loss; run: the run's.",
                 words=("best", "run"))),
         _two_parameters),
    Kind("tally", "Tally of members",
         "what share of the members chooses which class where, and how many have solved it",
         "several members, two numbers as inputs, and classes",
         (Option("resolution", 40, "Places along each axis.", 8, 200), _samples(600, "Points to draw."), _SPLIT,
          Option("least", 95, "Accuracy, in percent, from which on it is solved.", 1, 100)),
         _several_in_the_plane),
    Kind("spread", "Spread of members",
         "the score of each member or fold, their mean, its standard deviation and standard error",
         "several members, and an evaluation",
         (Option("metric", "auto", "Which score; auto: validation before test, accuracy before loss.",
                 words=("auto", "val_accuracy", "val_loss", "test_accuracy", "test_loss", "train_loss")),),
         _several),
    Kind("confusion", "Confusion matrix",
         "which class is taken for which",
         "classes",
         (_SPLIT, _samples(1000, "Samples to look at.")),
         _classes),
    Kind("mistakes", "Worst mistakes",
         "the samples that the model is most sure about, and wrong",
         "classes",
         (Option("most", 24, "Mistakes to show.", 1, 200), _SPLIT, _samples(1000, "Samples to look at.")),
         _classes),
    Kind("filters", "First-layer filters",
         "the weights of the first layer, as the images that they look for",
         "images, and a convolution or a linear layer that sees them whole",
         (Option("most", 64, "Filters to show.", 1, 1024),),
         _first_layer_sees_images),
    Kind("activations", "Activations",
         "how the units of each layer respond",
         "nothing", (_BINS, _samples(256, "Samples to look at.")), _any),
    Kind("weights", "Weights",
         "how the weights of each layer are spread",
         "nothing", (_BINS,), _any),
    Kind("gradients", "Gradients",
         "how the gradients of each layer are spread, for a few samples",
         "nothing", (_BINS, _samples(256, "Training samples of the gradient.")), _any),
    Kind("gradients-by-layer", "Gradients by layer",
         "the norm of each layer's gradient, at the latest measured step and at the first",
         "nothing", (), _any),
)  # fmt: skip
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def fitting(run: Traits) -> list[Kind]:
    """The kinds that this run can have."""
    return [kind for kind in KINDS.values() if kind.complaint(run) is None]


def refusal(kind: str, why: str, run: Traits) -> DescentError:
    """The error for a picture that this run can't have: why, and which it can."""
    return DescentError(f"no picture {kind} of this run: {why}. It can have {_listed(k.name for k in fitting(run))}")


def settings(kind: str, given: Mapping[str, object]) -> dict[str, int | str]:
    """All options of the kind, the given ones read and checked. DescentError for an unknown kind or option."""
    if kind not in KINDS:
        raise DescentError(
            f"no picture is called {show(kind)}; there are {_listed(KINDS)}{did_you_mean(kind, KINDS)}"
        )
    options = {option.name: option for option in KINDS[kind].options}
    for name in given:
        if name not in options:
            raise DescentError(f"{name}: unknown option of {kind}; allowed: {_listed(options)}"
                               f"{did_you_mean(name, options)}")  # fmt: skip
    return {name: option.read(given.get(name, option.default)) for name, option in options.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


# --- the files -------------------------------------------------------------------------------------------


def write(run: Path, kind: str, step: int, arrays: "Mapping[str, NDArray[Any]]") -> Path:
    """Keep a picture in the run's folder; of each kind the latest ones stay. OSError where the disk is full."""
    import numpy as np

    folder = run / "pictures"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{kind}-step-{step}.npz"
    content = io.BytesIO()
    np.savez_compressed(content, **dict(arrays))  # type: ignore[arg-type]  # its other argument is a bool
    write_atomically(path, content.getvalue())
    for old in _of_kind(run, kind)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def read(path: Path) -> Picture:
    """The picture in a file. DescentError where it is none, or damaged."""
    import numpy as np

    kind, _, step = path.stem.partition("-step-")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        return Picture(kind, int(step), arrays)
    except FileNotFoundError:
        raise DescentError(f"there is no picture {path}") from None
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile) as error:
        raise DescentError(
            f"{path} is no picture: {str(error).splitlines()[0] if str(error) else 'damaged'}"
        ) from None


def latest(run: Path, kind: str) -> Picture | None:
    """The picture of that kind that was made last; None where there is none yet."""
    files = _of_kind(run, kind)
    return read(files[-1]) if files else None


def _of_kind(run: Path, kind: str) -> list[Path]:
    """The files, in the order in which they were made: after a rewind the last one is not of the highest step."""
    made = []
    for path in (run / "pictures").glob(f"{kind}-step-*.npz"):
        try:
            made.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:
            continue  # the worker has just removed it
    return [path for _, path in sorted(made)]
