"""Which screen a run or a lab is opened on."""

import contextlib
import tomllib
from typing import TYPE_CHECKING

from engine.errors import DescentError
from engine.run import RunFolder

if TYPE_CHECKING:
    from tui.screens.console import Console
    from tui.screens.lab import LabScreen


def console(folder: RunFolder, language: str | None) -> "Console":
    """The console of a run: with the lab's text beside it, where its preset belongs to a lab that is known here."""
    from tui.screens.console import Console

    lab_id = _lab_of(folder)
    if lab_id is not None:
        from engine.labs.language import chosen
        from tui.screens.lab_console import LabConsole

        with contextlib.suppress(DescentError):  # the lab is broken or gone; the run is there all the same
            return LabConsole(folder, lab_id, chosen(language))
    return Console(folder)


def lab_screen(lab_id: str, language: str | None) -> "LabScreen":
    """DescentError where there is no such lab, or its files are broken."""
    from engine.labs.language import chosen
    from tui.screens.lab import LabScreen

    return LabScreen(lab_id, chosen(language))


def _lab_of(folder: RunFolder) -> str | None:
    try:
        lab = tomllib.loads(folder.preset.read_text(encoding="utf-8")).get("lab")
    except (OSError, ValueError):
        return None
    return lab if isinstance(lab, str) else None
