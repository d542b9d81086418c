"""The user's consent to run a file of their own code. A file is known by its SHA-256."""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path

from descent.common.errors import DescentError, PresetError
from descent.common.files import read_regular
from descent.common.i18n import _
from descent.common.paths import note, notes
from descent.common.project import LARGEST, Project, read_project
from descent.common.text import clean, show, why_unreadable

_NOTES = "agreed.jsonl"
_for_now: set[str] = set()  # contents that only this process may run


def agreed(sha256: str) -> bool:
    """Return whether the user has agreed to this content."""
    return sha256 in _for_now or any(entry.get("sha256") == sha256 for entry in notes(_NOTES))


def agree(path: Path, sha256: str) -> None:
    """Record that the user agrees to this content. Without a record it holds for this process alone."""
    try:
        note(_NOTES, {"time": time.time(), "path": str(path), "sha256": sha256})
    except OSError:  # the next run asks again, this one goes on
        _for_now.add(sha256)


def agree_for_now(*sha256: str) -> None:
    """Agree to contents for the lifetime of this process, without a record."""
    _for_now.update(sha256)


def agreed_for_now() -> list[str]:
    """Return what a process that this one starts can't find in the record. Hand it over as an argument."""
    return sorted(_for_now)


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
    return hashlib.sha256(agreed_project(spec, allow, key=key).content).hexdigest()


def agreed_project(spec: str, allow: bool, *, key: str = "model.code") -> Project:
    """Return the file in "folder/file.py:name" with those beside it that it imports, if all of them may run.

    With `allow`, agree to them. Raises the errors of `check_consent`.
    """
    path = Path(spec.rpartition(":")[0])
    try:
        project = read_project(path)
    except (OSError, ValueError) as error:
        raise _unreadable(key, spec, path, error) from None
    new = _new(project)
    if not allow and not all(map(_agreed_to_path, new)):
        raise _not_agreed(key, new)
    for file, sha256 in new.items():
        agree(file, sha256)
    return project


def to_agree_to(spec: str) -> list[Path]:
    """Return the files of "folder/file.py:name" that the user has to agree to before it runs.

    A learner's own copy of a lab's code is none of them. Raises OSError or PresetError if a file can't be read.
    """
    new = _new(read_project(Path(spec.rpartition(":")[0])))
    return [] if all(map(_agreed_to_path, new)) else [*new]


def _new(project: Project) -> dict[Path, str]:
    """Return the SHA-256 of each file whose content nobody has agreed to."""
    found = {project.root / file: hashlib.sha256(content).hexdigest() for file, content in project.files.items()}
    return {file: sha256 for file, sha256 in found.items() if not agreed(sha256)}


def agreed_content(spec: str, allow: bool, *, key: str = "model.code") -> bytes:
    """Like `check_consent`, but return the bytes that were agreed to. The file itself may change a moment later."""
    path = Path(spec.rpartition(":")[0])
    try:
        content = read_regular(path, LARGEST)
    except (OSError, ValueError) as error:
        raise _unreadable(key, spec, path, error) from None
    sha256 = hashlib.sha256(content).hexdigest()
    if not agreed(sha256):
        if not allow and not _agreed_to_path(path):
            raise _not_agreed(key, {path: sha256})
        agree(path, sha256)
    return content


def require(path: Path, content: bytes) -> None:
    """Raise DescentError unless the user has agreed to `content`. Whoever runs code asks this just before."""
    sha256 = hashlib.sha256(content).hexdigest()
    if not agreed(sha256):
        raise _not_agreed("code", {path: sha256})


def _unreadable(key: str, spec: str, path: Path, error: OSError | ValueError) -> PresetError:
    if isinstance(error, OSError) and error.filename is not None:
        path = Path(error.filename)  # which may be one that the file imports
    return PresetError(
        _(
            "{key} = {given}: can't read {file}: {reason}",
            key=key,
            given=show(spec),
            file=_shown(path),
            reason=why_unreadable(error),
        )
    )


def _not_agreed(key: str, new: Mapping[Path, str]) -> DescentError:
    """new: the SHA-256 of each file."""
    (path, sha256), *others = new.items()
    if others:
        return DescentError(
            _(
                "{key}: this preset runs code that you have not agreed to yet, in {count} files: {files}.\n"
                "Read them. Then add --allow-code to run it.",
                key=key,
                count=len(new),
                files=", ".join(_shown(file) for file in new),
            )
        )
    return DescentError(
        _(
            "{key}: this preset runs code that you have not agreed to yet: {file} (SHA-256 {hash}…).\n"
            "Read that file. Then add --allow-code to run it.",
            key=key,
            file=_shown(path),
            hash=sha256[:12],
        )
    )


def _shown(path: Path) -> str:
    return clean(str(path))
