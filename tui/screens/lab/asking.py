"""What a lab asks or shows in a dialog: its hints, which preset to train, what to do where nothing has changed."""

from collections.abc import Sequence
from pathlib import Path

from rich.cells import cell_len

from descent.common.i18n import _
from descent.common.text import clean
from engine.labs import flow
from engine.labs.library import Lab
from tui.base import ConsoleApp
from tui.data.labs import LabStatus, reached
from tui.screens.dialogs import Ask
from tui.screens.reading import Reading
from tui.widgets.lines import fitted

LONGEST_CHOICE = 58  # cells that a preset's name and title may take in a dialog


async def read_hints(app: ConsoleApp, lab: Lab) -> None:
    """Show the next hint, and those after it as long as the learner asks for them."""
    more = True
    while more:
        hint = flow.hint(lab)
        title = _("Hint {level} of {of}", level=hint.level, of=flow.LEVELS)
        further = _("next hint") if hint.level < flow.LEVELS else ""
        of_check = f"*{hint.check.text}*\n\n" if hint.check is not None else ""
        reading = Reading(title, f"{of_check}{hint.text}", _("close"), further=further)
        said: bool | None = await app.push_screen_wait(reading)
        more = bool(said)


def which(presets: Sequence[tuple[Path, str]]) -> Ask[str]:
    """Ask which preset to train, by its path; "" for none."""
    width = max(cell_len(path.name) for path, __ in presets)
    choices = [
        (str(at), f"{fitted(path.name, width)}  {fitted(clean(title), LONGEST_CHOICE - width).rstrip()}", str(path))
        for at, (path, title) in enumerate(presets, 1)
    ]
    choices.append(("escape", _("not now"), ""))
    return Ask(_("train"), _("Which preset?"), choices)


def what_else(status: LabStatus) -> Ask[str]:
    """Ask whether to edit ("write") or to check all the same ("check"); "" for neither."""
    said = status.problem or reached(status.record)
    choices = [
        ("w", _("edit files"), "write"),
        ("k", _("check anyway"), "check"),
        ("escape", _("not now"), ""),
    ]
    return Ask(
        _("nothing has changed"),
        _("Your files have not changed since the last check, which said:\n{said}", said=said),
        choices,
    )
