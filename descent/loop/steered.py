"""What a client can ask of a loop of one's own; `commands.CommandHandler` calls it between two steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _, ngettext
from descent.common.signals import Signals
from descent.loop import again, checkpoint
from descent.loop.actions import error_of_script, undone_by_an_error
from descent.loop.commands import CommandHandler
from descent.loop.folder import begins_anew, start_of
from descent.loop.loop_state import LoopState
from descent.loop.project import typed_in
from descent.loop.scalars import number
from descent.run.folder import Claim
from descent.run.result_metrics import is_free
from descent.run.scalars import check_name


class SteeredLoop(LoopState):
    """A loop that follows commands."""

    def __init__(
        self, claim: Claim, name: str, *, keep: int, statistics_every: int | None, signals: Signals | None
    ) -> None:
        super().__init__(claim, name, keep=keep, statistics_every=statistics_every, signals=signals)
        self._handler = CommandHandler(self, self._queue, self._events)

    @property
    def step(self) -> int:
        """The updates made so far.

        A script that asks for it before its first update, once it has called watch(), begins its loop there.
        """
        if self._model is not None and not self._began and not self._driver.library:
            self._asked = True
        return self._step

    @property
    def is_watching(self) -> bool:
        return self._model is not None

    @property
    def has_epochs(self) -> bool:
        return self._driver.has_epochs

    def accept_trouble(self) -> None:
        """Go on: a loop of one's own is not held up by numbers that are not finite."""

    def edit(self, texts: list[str]) -> dict[str, Any]:
        """Change live settings by "key=value" texts: all of them, or none. Returns the values now in force."""
        taken = self._edits.take(texts)
        self._of_main |= taken.keys() & {"optimizer.lr", "optimizer.weight_decay"}
        self._tell_of_others()
        return taken

    def _tell_of_others(self) -> None:
        """Tell which changes of the main optimizer have not reached those that nobody watches."""
        while self._others and self._of_main:
            key = self._of_main.pop()
            self.warn(
                _(
                    "{key}: only the {optimizer} that stepped first has the new value; lr_scale reaches all "
                    "optimizers, and run.watch(model, [first, second]) gives each a key of its own: {second}",
                    key=key,
                    optimizer=type(self._optimizers[0]).__name__,
                    second=key.replace("optimizer", "optimizer2"),
                )
            )

    def extend(self, **more: int) -> int:
        """Train for more epochs, or more steps. Returns the new last step."""
        before = self._driver.more
        self._driver.extend(**more)
        total = self._driver.total_steps()
        short = None if total is None else self._kept.shortest(self._step, total)
        if short is not None:
            self._driver.more = before
            raise DescentError(
                _(
                    "{name}: this scheduler ends with an error after {most:,} steps, and so would the run; begin one "
                    "that is longer",
                    name=short[0],
                    most=short[1],
                )
            )
        self._events.write("length", step=self._step, total_steps=total)
        self._foresight.forget()
        return self._step if total is None else total

    def look(self) -> dict[str, float]:
        """Evaluate for a client, by the script's own functions. The training goes on as if it had not been done."""
        if not self._evaluations:
            raise DescentError(_why_no_evaluation())
        assert self._model is not None
        modes = [(module, module.training) for module in self._model.modules()]
        found: dict[str, Any] = {}
        with self.clock.stopped(), checkpoint.undisturbed(self._device):
            try:
                for function in self._evaluations:
                    found |= function()
            except Exception as error:
                raise error_of_script(error) from None
            finally:
                for module, mode in modes:
                    module.training = mode
        return {f"val_{name}": value for name, value in self._write_evaluation("validation", found).items()}

    def _write_evaluation(self, split: str, values: Mapping[str, Any]) -> dict[str, float]:
        numbers = {}
        for name, value in values.items():
            if not is_free(check_name(name)):
                raise DescentError(_("{name}: this name can't be a metric's; take another one", name=name))
            numbers[name] = number(name, value)
        self.drain()
        self._events.write("evaluation", step=self._step, split=split, member=0, **numbers)
        return numbers

    def act(self, name: object) -> None:
        """Call a function that the script has declared for this."""
        function = self._actions.find(name)
        assert self._model is not None
        with self.clock.stopped(), undone_by_an_error(self._kept, self._model, self._device):
            function()

    def picture(self, kind: str, options: dict[str, Any]) -> Path:
        """Pictures are of Descent's own models and data."""
        raise DescentError(_("pictures are drawn of presets; this run is a loop of one's own"))

    def _why_no_rewind(self) -> str | None:
        if not self._driver.kind and (not self._asked or self._ranks is not None):
            return self._driver.why_no_rewind()
        if self._ranks is not None:
            return ngettext(
                "the other process of this training can't go back with it: its random numbers are in no "
                "checkpoint; start it again with this id",
                "the other {count} processes of this training can't go back with it: their random numbers are in "
                "no checkpoint; start it again with this id",
                self._ranks.size - 1,
            )
        return None

    def _refused(self) -> dict[str, str]:
        """Return the commands that can only be refused in this loop, each with the reason."""
        driver = self._driver
        reasons = {
            "evaluate": None if self._evaluations else _why_no_evaluation(),
            "rewind": self._why_no_rewind(),
            "extend": None if driver.kind else driver.why_no_more(),
            "fork": self._why_no_fork(),
        }
        return {command: why for command, why in reasons.items() if why is not None}

    def _why_no_fork(self) -> str | None:
        if (start_of(self.folder) or {}).get("is_typed_in"):
            return typed_in()
        if self._driver.kind or self._asked:
            return None
        return self._driver.why_not_resumed() if self._driver.library else begins_anew()

    def rewind(self, to: object) -> int:
        """Go back to the checkpoint of step `to`, or by default to the last one before this step."""
        why_not = self._why_no_rewind()
        if why_not is not None:
            raise DescentError(why_not)
        at, state = self._keeper.to_go_back_to(to, self._step)
        self._rows.flush()
        if self._driver.kind:
            self._restore(state)
        else:
            again.want(self.folder, is_paused=self._handler.paused)
            self._step = at
        self._keeper.forget_beyond(at)
        self._events.write("rewound", to=at, log=state["log"])
        if self._exact and self.folder.last("exact") is None:  # told after that checkpoint
            self._events.write("exact", step=at, **self._exact)
        self._went_back, self._attended = True, at
        return at


def _why_no_evaluation() -> str:
    return _("this script has no function to evaluate with: run.on_evaluate(function)")
