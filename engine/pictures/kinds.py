"""The kinds of pictures: what each shows, which runs can have it, and the options it takes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from descent.common.errors import DescentError
from descent.common.text import did_you_mean, show
from descent.run.metrics import MetricName
from engine.pictures import needs
from engine.pictures.run_traits import Traits

# Of a spread of members, the one first that is shown where none is asked for.
SCORES: tuple[MetricName, ...] = ("val_accuracy", "val_loss", "test_accuracy", "test_loss", "train_loss")


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
         needs.in_the_plane),
    Kind("fit", "Fit",
         "what the model says for each input, over the points it learns from",
         "one or two numbers as inputs",
         (Option("resolution", 60, "Places along each axis; four times as many on a line.", 8, 400),
          _samples(600, "Points to draw.")),
         needs.one_or_two_inputs),
    Kind("surface", "Loss surface",
         "the training loss at other parameters, and the way the run took",
         "a model of one or two parameters",
         (Option("resolution", 48, "Places along each axis.", 8, 200), _samples(1000, "Samples of the loss.")),
         needs.one_or_two_parameters),
    Kind("paths", "Optimizers' paths",
         "the ways of seven optimizers from the run's start, with their rates, and the run's own",
         "a model of two parameters",
         (Option("resolution", 48, "Places along each axis.", 8, 200), _samples(1000, "Samples of the loss."),
          Option("steps", 100, "How far each goes.", 1, 2000),
          Option("rates", "best", "best: for each the one of eight with the lowest mean loss; run: the run's.",
                 words=("best", "run"))),
         needs.two_parameters),
    Kind("tally", "Tally of members",
         "what share of the members chooses which class where, and how many have solved it",
         "several members, two numbers as inputs, and classes",
         (Option("resolution", 40, "Places along each axis.", 8, 200), _samples(600, "Points to draw."), _SPLIT,
          Option("least", 95, "Accuracy, in percent, from which on it is solved.", 1, 100)),
         needs.several_in_the_plane),
    Kind("spread", "Spread of members",
         "the score of each member or fold, their mean, its standard deviation and standard error",
         "several members, and an evaluation",
         (Option("metric", "auto", "Which score; auto: validation before test, accuracy before loss.",
                 words=("auto", *SCORES)),),
         needs.several),
    Kind("confusion", "Confusion matrix",
         "which class is taken for which",
         "classes",
         (_SPLIT, _samples(1000, "Samples to look at.")),
         needs.classes),
    Kind("mistakes", "Worst mistakes",
         "the samples that the model is most sure about, and wrong",
         "classes",
         (Option("most", 24, "Mistakes to show.", 1, 200), _SPLIT, _samples(1000, "Samples to look at.")),
         needs.classes),
    Kind("filters", "First-layer filters",
         "the weights of the first layer, as the images that they look for",
         "images, and a convolution or a linear layer that sees them whole",
         (Option("most", 64, "Filters to show.", 1, 1024),),
         needs.first_layer_sees_images),
    Kind("activations", "Activations",
         "how the units of each layer respond",
         "nothing", (_BINS, _samples(256, "Samples to look at.")), needs.nothing),
    Kind("weights", "Weights",
         "how the weights of each layer are spread",
         "nothing", (_BINS,), needs.nothing),
    Kind("gradients", "Gradients",
         "how the gradients of each layer are spread, for a few samples",
         "nothing", (_BINS, _samples(256, "Training samples of the gradient.")), needs.nothing),
    Kind("gradients-by-layer", "Gradients by layer",
         "the norm of each layer's gradient, at the latest measured step and at the first",
         "nothing", (), needs.nothing),
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


# Shapes of a sample of the data sets that are always alike.
