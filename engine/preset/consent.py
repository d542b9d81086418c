"""Whether the user has agreed to run a file of their own code, known by its SHA-256."""

import contextlib
import hashlib
import time
from pathlib import Path

from descent.common.errors import DescentError, PresetError
from descent.common.paths import note, notes
from descent.common.text import clean, show

_NOTES = "agreed.jsonl"


def agreed(sha256: str) -> bool:
    """Whether a file of this content was agreed to before."""
    return any(entry.get("sha256") == sha256 for entry in notes(_NOTES))


def agree(path: Path, sha256: str) -> None:
    """Keep for later that this content was agreed to. Raises OSError where it can't be written."""
    note(_NOTES, {"time": time.time(), "path": str(path), "sha256": sha256})


def agree_to_path(path: Path) -> None:
    """Keep for later that whatever this file holds may run: the user's own copy of a lab's code, which they edit.

    Raises OSError where it can't be written.
    """
    if not _agreed_to_path(path):
        note(_NOTES, {"time": time.time(), "path": str(path), "always": True})


def _agreed_to_path(path: Path) -> bool:
    return any(entry.get("always") is True and entry.get("path") == str(path) for entry in notes(_NOTES))


def check_consent(spec: str, allow: bool, *, key: str = "model.code") -> str:
    """The SHA-256 of the file in "folder/file.py:name", if its code may run; with `allow`, agree to it.

    Raises PresetError where there is no such file, DescentError where nobody has agreed to it.
    """
    return hashlib.sha256(agreed_content(spec, allow, key=key)).hexdigest()


def agreed_content(spec: str, allow: bool, *, key: str = "model.code") -> bytes:
    """As `check_consent`, but the very bytes that were agreed to: the file may change a moment later."""
    path = Path(spec.rpartition(":")[0])
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PresetError(f"{key} = {show(spec)}: {clean(str(path))} can't be read: {reason}") from None
    sha256 = hashlib.sha256(content).hexdigest()
    if agreed(sha256):
        return content
    if not allow and not _agreed_to_path(path):
        raise DescentError(
            f"{key}: this preset runs your own code, {clean(str(path))} (SHA-256 {sha256[:12]}…), "
            "which you have not agreed to yet.\nRead that file, then give --allow-code to run it."
        )
    with contextlib.suppress(OSError):  # the next run asks again, this one goes on
        agree(path, sha256)
    return content
