"""What every screen on a lab knows: which lab it is, and where the learner stands in it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from engine import library
from engine.errors import DescentError
from engine.labs.format import Language
from engine.labs.runs import any_of
from tui.labs import standing as standing_
from tui.labs.standing import Standing

if TYPE_CHECKING:
    from tui.app import DescentApp


class LearnerScreen(Screen[None]):
    """A screen on a lab. The subclass shows `standing` and what `tell_learner` is told."""

    lab_id: str
    language: Language
    standing: Standing

    @property
    def _descent(self) -> "DescentApp":
        return cast("DescentApp", self.app)

    # --- for the subclass ---

    def tell_learner(self, text: str, style: str = "", *, busy: bool = False) -> None:
        """style: "", "good" or "trouble". busy: it is still under way."""
        raise NotImplementedError

    async def show_standing(self) -> None:
        raise NotImplementedError

    def show_criteria(self) -> None:
        """They were looked at anew: bring them before the learner's eyes, what is not met first."""
        raise NotImplementedError

    def show_keys(self) -> None:
        """Other keys work now."""
        raise NotImplementedError

    # --- what is common ---

    def take(self, lab_id: str, language: Language) -> None:
        """Be about this lab. DescentError where there is none."""
        self.lab_id, self.language = lab_id, language
        self.standing = standing_.look(lab_id, language)

    async def look_again(self) -> None:
        """Read anew where the learner stands, and show it."""
        trained = self.standing.trained or await asyncio.to_thread(self._has_trained)
        try:
            self.standing = standing_.look(self.lab_id, self.language, trained=trained)
        except DescentError as error:
            self.refuse(error)
            return
        if self.is_attached:
            await self.show_standing()
            self.refresh_bindings()

    def _has_trained(self) -> bool:
        """Whether a run of this lab is known."""
        opened: list[Path] = [folder.path for folder in self._descent.opened]
        return any_of([*opened, *library.known_runs(library.runs_dir(self._descent.runs_dir))], self.lab_id)

    def refuse(self, error: Exception) -> None:
        self.tell_learner(" ".join(str(error).split()), "trouble")
