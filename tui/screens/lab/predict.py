"""A dialog that asks for a prediction: a number, one of several, or an order."""

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import unmarked
from engine.labs import flow
from engine.labs.format import Prediction


class Predict(ModalScreen[Any]):
    """Dismissed with the answer as engine.labs.flow.answer gives it, or with None."""

    CSS = """
    Predict {
        .dialog { width: 84; max-width: 96%; }
        .question { height: auto; margin-bottom: 1; }
        Input, Input:focus { height: 1; border: none; padding: 0 1; background: $background; }
        OptionList, OptionList:focus {
            height: auto; max-height: 14; border: none; padding: 0; background: transparent;
        }
        .order { height: auto; margin-top: 1; }
        .problem { color: $trouble; height: auto; }
        .keys { color: $quiet; height: auto; margin-top: 1; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", N_("not now"), show=False),
        Binding("backspace", "take_back", N_("take the last one back"), show=False),
    ]

    def __init__(self, question: Prediction, title: str) -> None:
        """title: of the dialog: which question this is."""
        super().__init__()
        self._question, self._title = question, title
        self._ranked: list[str] = []

    def compose(self) -> ComposeResult:
        question = self._question
        with Vertical(classes="dialog") as box:
            box.border_title = self._title
            yield Static(Text(unmarked(str(question.text))), classes="question")
            if question.kind == "number":
                yield Input(placeholder=flow.expected(question))
            else:
                yield OptionList(*self._options())
                yield Static("", classes="order")
            yield Static("", classes="problem", markup=False)
            keys = _("enter submit (final)   esc not now")
            if question.kind == "order":
                keys = f"{_('enter picks the next in order, backspace takes one back')}\n{keys}"
            yield Static(keys, classes="keys", markup=False)

    def on_mount(self) -> None:
        for options in self.query(OptionList):
            options.highlighted = None  # a second enter on the question would be an answer, and final

    def _options(self) -> Sequence[Option]:
        texts = [(choice.id, unmarked(str(choice.text))) for choice in self._question.choices]
        return [Option(Text(f"{at}  {text}"), id=name) for at, (name, text) in enumerate(texts, 1)]

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        if not event.value.strip():
            self.query_one(".problem", Static).update(_("type {what} first", what=flow.expected(self._question)))
            return
        try:
            self.dismiss(flow.answer(self._question, event.value))
        except DescentError as error:
            self.query_one(".problem", Static).update(str(error))

    @on(OptionList.OptionSelected)
    def _picked(self, event: OptionList.OptionSelected) -> None:
        assert event.option_id is not None
        if self._question.kind == "choice":
            self.dismiss(event.option_id)
            return
        if event.option_id not in self._ranked:
            self._ranked.append(event.option_id)
            self._show_order()
        if len(self._ranked) == len(self._question.choices):
            self.dismiss(list(self._ranked))

    @on(Input.Changed)
    def _being_mended(self) -> None:
        self.query_one(".problem", Static).update("")

    def on_key(self, event: events.Key) -> None:
        """Go to the choice whose number is typed. Say what enter needs."""
        problem = ""
        for options in self.query(OptionList):
            if event.character and event.character.isdigit():
                at = int(event.character) - 1
                if 0 <= at < len(self._question.choices):
                    options.highlighted = at
            elif event.key == "enter" and options.highlighted is None:
                problem = _("choose first: ↑ ↓, or the number of a choice")
            self.query_one(".problem", Static).update(problem)

    def action_take_back(self) -> None:
        if self._ranked:
            self._ranked.pop()
            self._show_order()

    def _show_order(self) -> None:
        texts = {choice.id: unmarked(str(choice.text)) for choice in self._question.choices}
        shown = "   ".join(f"{at}. {texts[one]}" for at, one in enumerate(self._ranked, 1))
        self.query_one(".order", Static).update(Text(shown))
        options = self.query_one(OptionList)
        for choice in self._question.choices:
            (options.disable_option if choice.id in self._ranked else options.enable_option)(choice.id)
