"""What a user notes on a run: a text, of which words such as #demo are tags, and whether it is pinned.

It lies in the run's folder, so it is copied and moved with it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.common.files import write_atomically
from descent.common.i18n import _
from descent.common.text import clean, unwritable

FILE = "note.json"
LONGEST = 500  # characters of a text
_LARGEST = 64 * 1024  # bytes of a file


@dataclass(frozen=True)
class Note:
    """text: what was noted, on one line. pinned: whether Home lists the run first."""

    text: str = ""
    pinned: bool = False

    @property
    def tags(self) -> tuple[str, ...]:
        """Return the words of the text that begin with #, without it, each once."""
        words = (word.strip(",.;:!?)(") for word in self.text.split())
        return tuple(dict.fromkeys(word[1:] for word in words if word.startswith("#") and len(word) > 1))

    def to_json(self) -> dict[str, Any]:
        """Return what `descent runs --json` adds to a run; nothing if nothing was noted."""
        if self == Note():
            return {}
        return {"note": self.text, "tags": list(self.tags), "pinned": self.pinned}


def read_note(run: Path) -> Note:
    """Return what was noted on the run; nothing if the file can't be understood."""
    try:
        with (run / FILE).open("rb") as file:
            stored = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return Note()
    if not isinstance(stored, dict):
        return Note()
    text, pinned = stored.get("text"), stored.get("pinned")
    return Note(clean(text)[:LONGEST] if isinstance(text, str) else "", pinned is True)


def write_note(run: Path, note: Note) -> None:
    """Keep a note in the run's folder. Raises DescentError if it is too long, or can't be written."""
    if len(note.text) > LONGEST:
        raise DescentError(_("a note may have {most} characters, not {given}", most=LONGEST, given=len(note.text)))
    kept = Note(clean(note.text).strip(), note.pinned)
    path = run / FILE
    try:
        if kept == Note():
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, json.dumps(asdict(kept), ensure_ascii=False).encode())
    except OSError as error:
        raise unwritable(path, error) from None
