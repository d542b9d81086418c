"""The user's consent to run a file of their own code. A file is known by its SHA-256."""

import contextlib
import hashlib
import time
from pathlib import Path

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _
from descent.common.paths import note, notes
from descent.common.text import clean, show

_NOTES = "agreed.jsonl"


def agreed(sha256: str) -> bool:
    """Return whether the user has agreed to this content before."""
    return any(entry.get("sha256") == sha256 for entry in notes(_NOTES))


def agree(path: Path, sha256: str) -> None:
    """Record that the user agrees to this content. Raises OSError if the record can't be written."""
    note(_NOTES, {"time": time.time(), "path": str(path), "sha256": sha256})


def agree_to_path(path: Path) -> None:
    """Record that this file may run whatever it holds. It is the user's own copy of a lab's code, which they edit.

    Raises OSError if the record can't be written.
    """
    if not _agreed_to_path(path):
        note(_NOTES, {"time": time.time(), "path": str(path), "always": True})


def _agreed_to_path(path: Path) -> bool:
    return any(entry.get("always") is True and entry.get("path") == str(path) for entry in notes(_NOTES))


def check_consent(spec: str, allow: bool, *, key: str = "model.code") -> str:
    """Return the SHA-256 of the file in "folder/file.py:name", if its code may run. With `allow`, agree to it.

    Raises PresetError if the file can't be read, DescentError if the user has not agreed to it.
    """
    return hashlib.sha256(agreed_content(spec, allow, key=key)).hexdigest()


def agreed_content(spec: str, allow: bool, *, key: str = "model.code") -> bytes:
    """Like `check_consent`, but return the bytes that were agreed to. The file itself may change a moment later."""
    path = Path(spec.rpartition(":")[0])
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise PresetError(
            _(
                "{key} = {given}: can't read {file}: {reason}",
                key=key,
                given=show(spec),
                file=_shown(path),
                reason=reason,
            )
        ) from None
    sha256 = hashlib.sha256(content).hexdigest()
    if agreed(sha256):
        return content
    if not allow and not _agreed_to_path(path):
        raise DescentError(
            _(
                "{key}: this preset runs code that you have not agreed to yet: {file} (SHA-256 {hash}…).\n"
                "Read that file. Then add --allow-code to run it.",
                key=key,
                file=_shown(path),
                hash=sha256[:12],
            )
        )
    with contextlib.suppress(OSError):  # the next run asks again, this one goes on
        agree(path, sha256)
    return content


def _shown(path: Path) -> str:
    return clean(str(path))
