"""The grading of a lab on a screen, from its key to the verdict: started, told how it goes on, stopped."""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from textual.widget import Widget
from textual.worker import Worker

from descent.common.errors import DescentError
from descent.common.i18n import _
from tui.data.labs import LabStatus, grade
from tui.screens.dialogs import Ask


class Tell(Protocol):
    """Shows a sentence to the learner; LabPanel.tell."""

    def __call__(self, text: str, style: str = "", *, busy: bool = False, stays: bool = False) -> None: ...


class Grading:
    """Has a lab graded in a worker of `owner`, and calls `take` with the verdict."""

    def __init__(self, owner: Widget, tell: Tell, take: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        self._owner, self._tell, self._take = owner, tell, take
        self._since = 0.0
        self._under_way = ""  # in words
        self._question: Ask[bool] | None = None  # whether to stop it, while it is asked

    @property
    def worker(self) -> Worker[None] | None:
        """The grading under way."""
        return next((one for one in self._owner.workers if one.group == "grade" and not one.is_finished), None)

    def start(self, status: LabStatus) -> None:
        self._owner.run_worker(self._check(status), group="grade")

    def ask_to_stop(self) -> bool:
        """Ask whether to stop the grading under way; return whether there is one."""
        worker = self.worker
        if worker is not None and not worker.is_cancelled:  # else it is ending what it has started
            choices = [
                ("s", _("stop it; this does not count as an attempt"), True),
                ("escape", _("let it go on"), False),
            ]
            self._question = Ask(_("stop the check?"), _("Your files are being graded."), choices)
            self._owner.app.push_screen(self._question, self._answered)
        return worker is not None

    def _answered(self, stops: bool | None) -> None:
        worker = self.worker
        if stops and worker is not None:
            worker.cancel()
            seconds = int(time.monotonic() - self._since)
            self._tell(_("stopped after {seconds} s; this does not count as an attempt", seconds=seconds))

    def _take_question_back(self) -> None:
        if self._question is not None and self._question.is_current:
            self._question.dismiss(False)
        self._question = None

    async def _check(self, status: LabStatus) -> None:
        self._since, self._under_way = time.monotonic(), _("starting; this usually takes 10 to 30 s")
        timer = self._owner.set_interval(1, self._tell_under_way)
        self._tell_under_way()

        def hear(stage: str, name: str) -> None:
            self._under_way = _doing(status, stage, name) or self._under_way
            self._tell_under_way()

        try:
            verdict = await grade(status.lab.id, status.folder, hear)
        except (DescentError, OSError) as error:
            timer.stop()
            self._tell_failure(str(error))
        else:
            self._owner.call_later(self._take, verdict)  # from here on there is nothing to be stopped
        finally:
            timer.stop()
            self._take_question_back()

    def _tell_under_way(self) -> None:
        worker = self.worker
        if worker is not None and not worker.is_cancelled:
            seconds = int(time.monotonic() - self._since)
            self._tell(
                _("being graded, {seconds} s: {doing}", seconds=seconds, doing=self._under_way),
                busy=True,
            )

    def _tell_failure(self, why: str) -> None:
        self._tell(_("could not be graded: {why}", why=" ".join(why.split())), "trouble", stays=True)

    def tell_verdict(self, verdict: dict[str, Any]) -> None:
        if verdict.get("problem"):
            self._tell_failure(str(verdict["problem"]))
        elif verdict["passed"]:
            self._tell(_("all {of} criteria met", of=verdict["of"]), "good", stays=True)
        else:
            said = _("{met} of {of} criteria met", met=verdict["met"], of=verdict["of"])
            self._tell(said, "trouble" if verdict["met"] < verdict["of"] else "good", stays=True)


def _doing(status: LabStatus, stage: str, name: str) -> str:
    """What the grader does now, in words; "" where that is nothing to tell."""
    if stage == "waiting":
        return name
    checks = [check.id for check in status.lab.model.checks]
    if stage == "checking" and name in checks:
        return _("criterion {at} of {of}", at=checks.index(name) + 1, of=len(checks))
    if stage == "training":
        parts = [part for part in status.lab.model.parts if name == part or name.startswith(f"{part}-")]
        file = "-".join([status.lab.id, *parts[:1]]) + ".toml"
        return _("training {file} with the lab's seeds", file=file)
    return ""
