"""The learner's own editor, $VISUAL or $EDITOR, in place of Descent's."""

import os
import shlex
import shutil
from pathlib import Path

from descent.common.i18n import _
from descent.common.text import clean
from tui.base import ConsoleApp

# Editors that take the line to begin with as +LINE before the file.
_TAKE_A_LINE = {
    "vi",
    "vim",
    "nvim",
    "view",
    "nano",
    "pico",
    "emacs",
    "emacsclient",
    "micro",
    "joe",
    "kak",
    "ne",
    "mg",
}


def words() -> tuple[list[str], str]:
    """Return the words of the user's own editor, or why there is none."""
    name = next((name for name in ("VISUAL", "EDITOR") if os.environ.get(name, "").strip()), None)
    if name is None:
        return [], _("set $VISUAL or $EDITOR to the editor that is to open here: export EDITOR=nano")
    given = os.environ[name]
    try:
        found = shlex.split(given)
    except ValueError:
        found = []
    if not found or shutil.which(found[0]) is None:
        text = _("${name} = {given}: there is no such program; set it to an editor: export EDITOR=nano",
                 name=name, given=clean(given))  # fmt: skip
        return [], text
    return found, ""


def edit(app: ConsoleApp, words: list[str], file: Path, line: int) -> tuple[bool, str]:
    """Leave the terminal to the editor. Return whether it was there, and what went wrong, or ""."""
    at = [f"+{line}"] if Path(words[0]).name in _TAKE_A_LINE else []
    return app.leave_to([*words, *at, str(file)])
