"""The kinds of pictures: what each shows, which runs can have it, and the options it takes.

Titles and captions are English here. Translate them where they are shown: `--json` prints them as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import did_you_mean, show
from descent.run.result_metrics import DECIDING
from engine.pictures import needs
from engine.pictures.run_traits import Traits


@dataclass(frozen=True)
class Option:
    """An option of a kind: a number from `lowest` to `highest`, or one of `words`."""

    name: str
    default: int | str
    means: str
    lowest: int = 1
    highest: int = 1
    words: tuple[str, ...] = ()

    def read(self, value: object) -> int | str:
        """Return `value`, from a shell or from JSON, in the option's type. Raises DescentError if it is wrong."""
        if self.words:
            if value in self.words:
                return str(value)
            text = _("must be one of {names}", names=", ".join(self.words))
            raise DescentError(f"{self.name} = {show(value)}: {text}{did_you_mean(value, self.words)}")
        try:
            number = value if isinstance(value, int) and not isinstance(value, bool) else int(str(value))
        except ValueError:
            number = None
        if number is None or not self.lowest <= number <= self.highest:
            raise DescentError(
                _(
                    "{key} = {given}: must be a whole number from {least} to {most:,}",
                    key=self.name,
                    given=show(value),
                    least=self.lowest,
                    most=self.highest,
                )
            )
        return number


@dataclass(frozen=True)
class Kind:
    """One kind of picture.

    shows, needs: captions. complaint: returns why a run can't have the picture, or None if it can or that is unknown.
    """

    name: str
    title: str
    shows: str
    needs: str
    options: tuple[Option, ...]
    complaint: Callable[[Traits], str | None]


def _samples(default: int, means: str) -> Option:
    return Option("samples", default, means, 1, 100_000)


_SPLIT = Option("split", "validation", N_("Which samples; training samples if there is no such split."),
                words=("validation", "train"))  # fmt: skip
_BINS = Option("bins", 48, N_("Bars of a histogram."), 4, 500)

_ALL = (
    Kind("boundary", N_("Decision boundary"),
         N_("predicted class and confidence over the plane, and the samples"),
         N_("two numbers as inputs, and classes"),
         (Option("resolution", 60, N_("Points along each axis."), 8, 400), _samples(600, N_("Points to draw."))),
         needs.in_the_plane),
    Kind("fit", N_("Fit"),
         N_("the model's output for each input, and the training points"),
         N_("one or two numbers as inputs"),
         (Option("resolution", 60, N_("Points along each axis; four times as many for one input."), 8, 400),
          _samples(600, N_("Points to draw."))),
         needs.one_or_two_inputs),
    Kind("surface", N_("Loss surface"),
         N_("the training loss over the parameters, and the path of the run"),
         N_("a model of one or two parameters"),
         (Option("resolution", 48, N_("Points along each axis."), 8, 200),
          _samples(1000, N_("Samples of the loss."))),
         needs.one_or_two_parameters),
    Kind("paths", N_("Optimizers' paths"),
         N_("the paths of seven optimizers from the run's start, their learning rates, and the run's own path"),
         N_("a model of two parameters"),
         (Option("resolution", 48, N_("Points along each axis."), 8, 200),
          _samples(1000, N_("Samples of the loss.")),
          Option("steps", 100, N_("Steps of each optimizer."), 1, 2000),
          Option("rates", "best", N_("best: the learning rate of eight with the lowest mean loss; run: the run's."),
                 words=("best", "run"))),
         needs.two_parameters),
    Kind("tally", N_("Tally of members"),
         N_("the share of members that predicts each class over the plane, and how many have solved it"),
         N_("several members, two numbers as inputs, and classes"),
         (Option("resolution", 40, N_("Points along each axis."), 8, 200),
          _samples(600, N_("Points to draw.")), _SPLIT,
          Option("least", 95, N_("Accuracy in percent from which a member has solved it."), 1, 100)),
         needs.several_in_the_plane),
    Kind("spread", N_("Spread of members"),
         N_("the score of each member or fold, their mean, standard deviation and standard error"),
         N_("several members, and an evaluation"),
         (Option("metric", "auto", N_("Which score; auto: accuracy before loss, validation before test; of repeats "
                                           "whose ensemble was tested, the test."),
                 words=("auto", *DECIDING)),),
         needs.several),
    Kind("trials", N_("Results by setting"),
         N_("the score of this run and of the other runs of its preset beside it, by the settings that differ"),
         N_("an evaluation"),
         (Option("metric", "auto", N_("Which score; auto: validation before test, accuracy before loss."),
                 words=("auto", *DECIDING)),),
         needs.nothing),
    Kind("confusion", N_("Confusion matrix"),
         N_("true class by predicted class"),
         N_("classes"),
         (_SPLIT, _samples(1000, N_("Samples to use.")),
          Option("examples", 6, N_("Samples of each cell that are added, the most confident first."), 0, 100)),
         needs.classes),
    Kind("mistakes", N_("Worst mistakes"),
         N_("most confident mistakes"),
         N_("classes"),
         (Option("most", 24, N_("Mistakes to show."), 1, 200), _SPLIT, _samples(1000, N_("Samples to use.")),
          Option("follow", 0, N_("Samples, mistakes first, whose class probabilities are added."), 0, 100_000)),
         needs.classes),
    Kind("filters", N_("First-layer filters"),
         N_("the weights of the first layer, drawn as images"),
         N_("images, and a first layer that is a convolution or sees all pixels"),
         (Option("most", 64, N_("Filters to show."), 1, 1024),),
         needs.first_layer_sees_images),
    Kind("activations", N_("Activations"),
         N_("distribution of each layer's activations"),
         N_("nothing"), (_BINS, _samples(256, N_("Samples to use."))), needs.nothing),
    Kind("weights", N_("Weights"),
         N_("distribution of each layer's weights"),
         N_("nothing"), (_BINS,), needs.nothing),
    Kind("gradients", N_("Gradients"),
         N_("distribution of each layer's gradients for a few samples"),
         N_("nothing"), (_BINS, _samples(256, N_("Training samples of the gradient."))), needs.nothing),
    Kind("gradients-by-layer", N_("Gradients by layer"),
         N_("each layer's gradient norm at the latest measured step and at the first"),
         N_("nothing"), (), needs.nothing),
)  # fmt: skip
FROM_ROWS = ("spread", "trials", "gradients-by-layer")  # the others are drawn of a preset's model and data
KINDS: dict[str, Kind] = {
    kind.name: kind if kind.name in FROM_ROWS else replace(kind, complaint=needs.of_a_preset(kind.complaint))
    for kind in _ALL
}


def fitting(run: Traits) -> list[Kind]:
    """Return the kinds that this run can have."""
    return [kind for kind in KINDS.values() if kind.complaint(run) is None]


def refusal(kind: str, why: str, run: Traits) -> DescentError:
    """Return the error for a picture that this run can't have. It says why, and which pictures the run can have."""
    names = _listed(k.name for k in fitting(run))
    return DescentError(
        _("picture {kind} is not available for this run: {why}. Available: {names}", kind=kind, why=why, names=names)
    )


def settings(kind: str, given: Mapping[str, object]) -> dict[str, int | str]:
    """Return all options of the kind, with the given values. Raises DescentError if a name or value is wrong."""
    if kind not in KINDS:
        text = _("{kind}: no such picture; there are: {names}", kind=show(kind), names=_listed(KINDS))
        raise DescentError(f"{text}{did_you_mean(kind, KINDS)}")
    options = {option.name: option for option in KINDS[kind].options}
    for name in given:
        if name not in options:
            text = _("{key}: unknown option of {kind}; allowed: {names}", key=name, kind=kind, names=_listed(options))
            raise DescentError(f"{text}{did_you_mean(name, options)}")
    return {name: option.read(given.get(name, option.default)) for name, option in options.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "–"
