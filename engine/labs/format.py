"""What `lab.toml` can say: a preset and, in its [lab] table, the texts, predictions, hints and checks.

A lab is a folder with lab.toml, solution.toml and reference.json, the curve of the reference solution. If the learner
writes code, it has start.py and solution.py. Each further part has a preset of its own.
"""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from descent.common.i18n import N_, _, language
from engine.pictures import KINDS
from engine.preset.schema import Count, Float, Natural, Section

Topic = Literal["lines", "classification", "networks", "optimizers", "generalisation", "data"]
TOPICS: dict[Topic, str] = {
    "lines": N_("Lines"),
    "classification": N_("Classification"),
    "networks": N_("Networks"),
    "optimizers": N_("Optimizers"),
    "generalisation": N_("Generalisation"),
    "data": N_("Data"),
}
HOMEWORK = N_("homework")
Chart = Literal["loss", "accuracy", "grad_norm", "lr"]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]*$")]
Deed = Annotated[str, Field(pattern=r"^(ran|changed|saved|checked|(ran|changed|saved|opened|met) [a-z][a-z0-9_-]*)$")]
OWN_CODE = "code"  # in "saved code": the learner's file of code
OPENED = (*KINDS, "layers")  # what "opened" can name
Source = Annotated[str, Field(min_length=1, max_length=1000)]  # an expression of engine.labs.checks.evaluator
MOST_KNOBS = 4  # a panel of more is a form


def _three_or_none(given: "tuple[Text, ...]") -> "tuple[Text, ...]":
    if len(given) not in (0, 3):
        raise ValueError(_("must be a list of 3 texts, not {count}", count=len(given)))
    return given


class Text(Section):
    """A text in both languages. It is Markdown if it has more than one line."""

    en: str
    ko: str

    def __str__(self) -> str:
        """Return the text in the current language."""
        return self.ko if language() == "ko" else self.en


ThreeTexts = Annotated[tuple[Text, ...], AfterValidator(_three_or_none)]


class Choice(Section):
    id: Name
    text: Text
    why: Text | None = Field(None, description="Of a wrong choice: why it is wrong. One sentence or two.")


class Prediction(Section):
    """A question that the learner answers before anything runs."""

    id: Name
    kind: Literal["number", "choice", "order"]
    text: Text = Field(description="The question.")
    choices: tuple[Choice, ...] = Field((), description="Of a choice: one is picked. Of an order: all are ranked.")
    unit: str = ""
    near: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Of a number: how far from the result an answer is still right. [default: a tenth of it]"
    )
    why: Text | None = Field(
        None, description="Of a number or an order: why it comes out so, for who missed it. One sentence or two."
    )
    least: Float | None = Field(None, description="Of a number: what is less is impossible, and is refused.")
    most: Float | None = Field(None, description="Of a number: what is more is impossible, and is refused.")
    result: Source | None = Field(
        None, description="What came out, to stand beside the prediction: a number, a choice's id, a list of ids."
    )

    @model_validator(mode="after")
    def _choices_where_there_is_a_choice(self) -> "Prediction":
        if (self.kind == "number") != (not self.choices):
            if self.kind == "number":
                raise ValueError(_('prediction {id}: kind = "number" takes no choices', id=self.id))
            raise ValueError(_('prediction {id}: kind = "{kind}" needs choices', id=self.id, kind=self.kind))
        return self

    @model_validator(mode="after")
    def _near_and_why_fit_the_kind(self) -> "Prediction":
        if self.near is not None and self.kind != "number":
            raise ValueError(_('prediction {id}: only kind = "number" has near', id=self.id))
        if self.why is not None and self.kind == "choice":
            raise ValueError(_('prediction {id}: kind = "choice" has a why in each wrong choice', id=self.id))
        return self

    @model_validator(mode="after")
    def _limits_of_a_number(self) -> "Prediction":
        limits = [limit for limit in (self.least, self.most) if limit is not None]
        if limits and (self.kind != "number" or limits != sorted(limits)):
            raise ValueError(
                _(
                    'prediction {id}: only kind = "number" has least and most, and least can\'t be greater than most',
                    id=self.id,
                )
            )
        return self


class Task(Section):
    """One thing to do. It is ticked off once all of `done_when` was done."""

    text: Text
    done_when: tuple[Deed, ...] = Field(
        (),
        description='What was done then: "ran", "ran PART", "changed", "changed PART", "saved", "saved PART", '
        '"saved code", "opened PICTURE", "checked", "met CHECK". Without any, the text of the next one '
        "stands below it.",
    )


class Goal(Section):
    """The chart in which the console draws a check's threshold, and the curve whose latest value stands beside it."""

    chart: Chart
    series: Literal["train", "validation", "test"] = "validation"


class Check(Section):
    """One criterion. Without a threshold its value must be true."""

    id: Name
    text: Text
    value: Source = Field(description="An expression over metrics, members, files and the learner's functions.")
    prepare: tuple[Source, ...] = Field((), description="Expressions evaluated before, in order, for what they do.")
    spread: Source | None = Field(None, description="An expression for the spread over the members.")
    least: Float | Source | None = Field(None, description="The value must be this or more.")
    most: Float | Source | None = Field(None, description="The value must be this or less.")
    show: Literal["number", "percent"] = "number"
    goal: Goal | None = None
    part: Name | None = Field(None, description="The part whose run is looked at; else the lab's own preset.")
    timed: bool = Field(False, description="Looks at a run of its own: one member, nothing beside it.")
    bonus: bool = Field(False, description="Not needed to pass.")
    hints: ThreeTexts = Field(
        (), description="Of this criterion alone: what to look at; which knob; the worked answer. Else the lab's."
    )


Point = tuple[Float, Float]


class Walk(Section):
    """The learner's descent on a loss of two parameters, beside gradient descent by finite differences."""

    names: tuple[str, str] = Field(description="Of the parameters, for the axes and tables.")
    loss: Source = Field(description="The loss at the point `p`: p[0] and p[1] are the parameters.")
    start: Point = Field(description="Where it begins.")
    lr: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=1, le=200)]
    path: Source = Field(description="Where the learner's code is after `n` steps, two numbers.")
    gradient: Source | None = Field(
        None, description="The learner's gradient at `p`, two numbers; else what their first step went by."
    )
    at: tuple[Point, ...] = Field((), description="Where the gradient is compared; else at the start.")


class Graph(Section):
    """The learner's computational graph: each number with its value, going forward, and its gradient, going back."""

    nodes: Source = Field(description="The learner's numbers, inputs first: [[name, value, [names of inputs]], …].")
    gradients: Source = Field(description="The learner's gradients, [[name, gradient], …].")
    right: Source = Field(description="What they should be, [[name, value, gradient], …].")


class DrawRow(Section):
    text: Text
    prepare: tuple[Source, ...] = Field((), description="Expressions evaluated before, in order, for what they do.")
    yours: Source = Field(description="What the learner's code gives.")
    right: Source = Field(description="What it should give.")


class Draw(Section):
    """The learner's code drawn: a walk on a loss, a graph, or a table of what it gives beside what is right."""

    id: Name
    title: Text
    part: Name | None = Field(None, description="The part whose preset the data and models are of.")
    walk: Walk | None = None
    graph: Graph | None = None
    rows: tuple[DrawRow, ...] = ()

    @model_validator(mode="after")
    def _one_of_them(self) -> "Draw":
        if [self.walk is None, self.graph is None, not self.rows].count(False) != 1:
            raise ValueError(_("draw {id}: needs one of walk, graph and rows", id=self.id))
        return self


class Grade(Section):
    """How the learner's preset is run for grading: with these overrides and without live edits."""

    set: tuple[str, ...] = Field(
        (), description='Overrides that fix the graded seeds: "train.seed=100", "members.repeats=10".'
    )
    limit: Annotated[float, Field(gt=0, le=600)] = Field(120.0, description="Seconds a graded run may take.")


class Knob(Section):
    """A setting that the lab is about, to be turned beside the charts."""

    key: str = Field(pattern=r"^[a-z_]+\.[a-z0-9_]+$", description='"optimizer.lr"')
    choices: tuple[Any, ...] = Field((), description="Its values in order; without them, the steps fit its kind.")


Knobs = Annotated[tuple[Knob, ...], Field(max_length=MOST_KNOBS)]


# TOML has no null.
Graded = Annotated[Grade | None, BeforeValidator(lambda given: None if given is False else given)]


class Part(Section):
    """A further preset of the lab, besides its own."""

    preset: str = Field(pattern=r"^[a-z0-9_-]+\.toml$", description="A file in the lab's folder.")
    title: Text
    changes: tuple[str, ...] = ()
    knobs: Knobs = ()
    grade: Graded = Field(Grade(), description="false: this part is for looking, not for grading.")


class LabModel(Section):
    """The [lab] table."""

    title: Text
    about: Text = Field(description="One line for the list.")
    topic: Topic
    order: Natural = Field(description="Where in the course it comes.")
    builds_on: tuple[Name, ...] = Field((), description="The labs whose subject a learner should know, by their ids.")
    minutes: Count = Field(description="What a learner takes, about.")
    homework: bool = Field(False, description="Whether the course gives it as homework.")
    text: Text = Field(description="What it is about; Markdown, shown first.")
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    predictions: tuple[Prediction, ...] = ()
    hints: ThreeTexts = Field(
        (), description="What to look at; which knob; the worked answer. For checks that have none of their own."
    )
    explanation: Text = Field(description="Shown after a pass; Markdown.")
    changes: tuple[str, ...] = Field(
        description='What of the preset the learner may change: keys ("optimizer.lr") or sections ("optimizer").'
    )
    knobs: Knobs = Field(
        (), description="The one to four settings that the lab is about; without them, the first keys of `changes`."
    )
    watch: tuple[str, ...] = Field((), description="Charts and pictures that the lab is about, the first ones first.")
    grade: Graded = Field(Grade(), description="false: nothing is trained for the grade.")
    checks: Annotated[tuple[Check, ...], Field(min_length=1)]
    parts: dict[Name, Part] = Field({})
    draw: tuple[Draw, ...] = Field((), description="What is drawn of the learner's code.")

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "LabModel":
        for what, ids in (
            ("predictions", [prediction.id for prediction in self.predictions]),
            ("checks", [check.id for check in self.checks]),
            ("draw", [drawing.id for drawing in self.draw]),
        ):
            twice = [name for name, count in Counter(ids).items() if count > 1]
            if twice:
                raise ValueError(_("{table}: the id {id} is used twice", table=what, id=twice[0]))
        return self

    @model_validator(mode="after")
    def _parts_are_there(self) -> "LabModel":
        for check in self.checks:
            if check.part is not None and check.part not in self.parts:
                raise ValueError(_("check {id}: there is no part {part}", id=check.id, part=check.part))
        for drawing in self.draw:
            if drawing.part is not None and drawing.part not in self.parts:
                raise ValueError(_("draw {id}: there is no part {part}", id=drawing.id, part=drawing.part))
        return self

    @model_validator(mode="after")
    def _hints_are_there(self) -> "LabModel":
        for check in self.checks:
            if not check.hints and not self.hints:
                raise ValueError(
                    _("check {id}: hints: missing, and the lab has none for all its checks", id=check.id)
                )
        return self

    @model_validator(mode="after")
    def _deeds_are_possible(self) -> "LabModel":
        checks = [check.id for check in self.checks]
        changeable = [name for name, part in self.parts.items() if part.changes]
        named = {"ran": [*self.parts], "changed": changeable, "saved": [*self.parts, OWN_CODE]}
        named |= {"opened": [*OPENED], "met": checks}
        for at, task in enumerate(self.tasks, 1):
            for deed in task.done_when:
                verb, _space, name = deed.partition(" ")
                if name and name not in named[verb]:
                    there = ", ".join(named[verb]) or "–"
                    raise ValueError(
                        _('task {at}: "{deed}": must name one of {there}', at=at, deed=deed, there=there)
                    )
        return self


class PartSolution(Section):
    set: tuple[str, ...] = ()


class Solution(Section):
    """solution.toml: what to change in the start, and what to predict, so that the lab is passed."""

    set: tuple[str, ...] = Field((), description="Overrides of the lab's own preset.")
    parts: dict[Name, PartSolution] = Field({})
    predictions: dict[Name, Any] = Field({})
    text: Text = Field(description="Why this works; Markdown.")
