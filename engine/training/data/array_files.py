"""Arrays from .npz files and pickles, and what the user's files have in common."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from descent.common import text
from descent.common.errors import DataError, DataMissingError
from engine.preset import schema
from engine.training.data import arrays, safe_pickle
from engine.training.data.dataset import Samples


def read(section: schema.NpzData) -> Samples:
    """The two arrays that the section names."""
    path = existing(section.path)
    if section.name == "npz":
        inputs, targets = _from_npz(path, section)
    else:
        found = safe_pickle.read(path)
        if not isinstance(found, Mapping):
            raise DataError(
                f"{path} holds {_article(type(found).__name__)}; a dict with {section.inputs!r} and "
                f"{section.targets!r} is needed."
            )
        inputs = _pick(found, section.inputs, "data.inputs", path)
        targets = _pick(found, section.targets, "data.targets", path)
    return arrays.as_samples(str(path), inputs, targets, section.task, section.classes)


def existing(given: str) -> Path:
    """The path, if there is something; DataMissingError that names the likely meant one otherwise."""
    path = Path(given).expanduser()
    try:
        if path.exists():
            return path
        neighbours = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError as error:
        raise DataMissingError(f"data.path = {given!r} can't be looked at: {error.strerror}.") from error
    raise DataMissingError(f"data.path = {given!r}: there is no such file.{likely(path.name, neighbours)}")


def likely(given: str, there: Iterable[str]) -> str:
    """A sentence with the likely meant name, or nothing."""
    meant = text.likely(given, there)
    return f" Did you mean {meant!r}?" if meant else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """'a, b, c', cut short where there are many."""
    names = [repr(name) for name in names]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "nothing"


def _from_npz(path: Path, section: schema.NpzData) -> tuple[Any, Any]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is not an .npz file that can be read: {_reason(error)}.") from error
    if not isinstance(found, np.lib.npyio.NpzFile):
        raise DataError(f"{path} holds a single array; an .npz file with inputs and targets is needed.")
    with found:
        return (
            _pick(found, section.inputs, "data.inputs", path),
            _pick(found, section.targets, "data.targets", path),
        )


def _pick(found: Mapping[Any, Any], name: str, key: str, path: Path) -> Any:
    names = [str(there) for there in found]
    if name not in found:
        raise DataError(f"{path} holds no {name!r} ({key}); it holds {listed(names)}.{likely(name, names)}")
    try:
        return found[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise DataError(f"{path}: {name!r} ({key}) holds Python objects; numbers are needed.") from error
        raise DataError(f"{path}: {name!r} ({key}) can't be read: {_reason(error)}.") from error


def _reason(error: BaseException) -> str:
    if "allow_pickle" in str(error):  # NumPy takes anything unknown for a pickle
        return "it is of another kind"
    return str(error).rstrip(".") or type(error).__name__


def _article(word: str) -> str:
    return f"{'an' if word[0].lower() in 'aeiou' else 'a'} {word}"
