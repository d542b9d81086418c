"""Having a lab graded from its screens: asking for it, what is under way and for how long, and stopping it."""

import time
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.worker import Worker

from engine.errors import DescentError
from tui.labs.grader import grade
from tui.labs.learner_screen import LearnerScreen
from tui.labs.reached import reached
from tui.labs.words import word
from tui.screens.ask import Ask


class CheckKeys(LearnerScreen):
    """One key has the lab graded; escape, which the subclass binds, stops that."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("k", "check", "have it graded", show=False, id="lab.check")]

    _check_since = 0.0
    _under_way = ""  # in words

    # --- for the subclass ---

    def is_ready(self) -> bool:
        """Whether it can be graded; says what is missing."""
        raise NotImplementedError

    async def edit_files(self) -> None:
        raise NotImplementedError

    def show_pass(self) -> None:
        raise NotImplementedError

    # --- what is under way ---

    @property
    def check_worker(self) -> Worker[None] | None:
        """The grading under way."""
        return next((one for one in self.workers if one.group == "grade" and not one.is_finished), None)

    def stop_check(self) -> bool:
        """Stop the grading under way; whether there was one."""
        worker = self.check_worker
        if worker is None:
            return False
        if worker.is_cancelled:
            return True  # it is ending what it has started
        worker.cancel()
        seconds = int(time.monotonic() - self._check_since)
        self.tell_learner(word("check stopped", self.language, seconds=seconds))
        return True

    def may_leave_check(self) -> bool:
        """Whether no grading is under way that leaving would stop; says how to stop it."""
        if self.check_worker is not None:
            self.tell_learner(word("wait", self.language), busy=True)
        return self.check_worker is None

    # --- from the key to the verdict ---

    def action_check(self) -> None:
        if self.may_leave_check():
            self.run_worker(self._ask_for_check(), group="dialog", exclusive=True)

    async def _ask_for_check(self) -> None:
        """Check, unless nothing has changed and the learner thinks better of it."""
        await self.look_again()
        if not self.is_ready():
            return
        wanted: str | None = "check"
        if self.standing.unchanged:
            wanted = await self.app.push_screen_wait(self._ask_what_else())
        if wanted == "write":
            await self.edit_files()
        elif wanted == "check":
            self.start_check()

    def _ask_what_else(self) -> Ask[str]:
        said = self.standing.problem or reached(self.standing.record, self.language)
        choices = [("w", "write", "write"), ("k", "check anyway", "check"), ("escape", "not now", "")]
        return Ask(
            word("unchanged", self.language),
            word("unchanged since", self.language, said=said),
            [(key, word(label, self.language), value) for key, label, value in choices],
        )

    def start_check(self) -> None:
        """Have it graded as it is."""
        self.run_worker(self._check(), group="grade")

    async def _check(self) -> None:
        self._check_since, self._under_way = time.monotonic(), word("grading begins", self.language)
        timer = self.set_interval(1, self._tell_under_way)
        self._tell_under_way()
        try:
            verdict = await grade(self.lab_id, self.standing.folder, self.language, self._hear)
        except (DescentError, OSError) as error:
            timer.stop()
            self._tell_failure(str(error))
        else:
            self.call_later(self._take_verdict, verdict)  # from here on there is nothing to be stopped
        finally:
            timer.stop()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.worker.group == "grade" and self.is_attached:
            self.show_keys()

    async def _take_verdict(self, verdict: dict[str, Any]) -> None:
        await self.look_again()
        self._tell_verdict(verdict)
        self.show_criteria()
        if verdict["passed"]:
            self.show_pass()

    def _hear(self, stage: str, name: str) -> None:
        """What the grader does now, in words."""
        checks = [check.id for check in self.standing.lab.model.checks]
        if stage == "checking" and name in checks:
            self._under_way = word("grading checks", self.language, at=checks.index(name) + 1, of=len(checks))
        elif stage == "training":
            parts = [part for part in self.standing.lab.model.parts if name == part or name.startswith(f"{part}-")]
            file = "-".join([self.lab_id, *parts[:1]]) + ".toml"
            self._under_way = word("grading trains", self.language, file=file)
        self._tell_under_way()

    def _tell_under_way(self) -> None:
        worker = self.check_worker
        if worker is not None and not worker.is_cancelled:
            seconds = int(time.monotonic() - self._check_since)
            self.tell_learner(word("grading", self.language, seconds=seconds, doing=self._under_way), busy=True)

    def _tell_failure(self, why: str) -> None:
        self.tell_learner(word("not gradable", self.language, why=" ".join(why.split())), "trouble")

    def _tell_verdict(self, verdict: dict[str, Any]) -> None:
        if verdict.get("problem"):
            self._tell_failure(str(verdict["problem"]))
        elif verdict["passed"]:
            self.tell_learner(word("graded all", self.language, of=verdict["of"]), "good")
        else:
            said = word("graded", self.language, met=verdict["met"], of=verdict["of"])
            self.tell_learner(said, "trouble" if verdict["met"] < verdict["of"] else "good")
