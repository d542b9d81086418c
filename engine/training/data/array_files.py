"""Arrays from .npz files and pickles, and helpers for all of the user's data files."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from descent.common import text
from descent.common.errors import DataError, DataMissingError
from descent.common.i18n import _
from engine.preset import schema
from engine.training.data import arrays, safe_pickle
from engine.training.data.dataset import Samples


def read(section: schema.NpzData) -> Samples:
    """Read the two arrays that the section names."""
    path = existing(section.path)
    if section.name == "npz":
        inputs, targets = _from_npz(path, section)
    else:
        found = safe_pickle.read(path)
        if not isinstance(found, Mapping):
            raise DataError(
                _(
                    "{file} holds an object of type {type}; a dict with {inputs!r} and {targets!r} is needed.",
                    file=path,
                    type=type(found).__name__,
                    inputs=section.inputs,
                    targets=section.targets,
                )
            )
        inputs = _pick(found, section.inputs, "data.inputs", path)
        targets = _pick(found, section.targets, "data.targets", path)
    return arrays.as_samples(str(path), inputs, targets, section.task, section.classes)


def existing(given: str, key: str = "data.path") -> Path:
    """Return the path if it exists. key: of the preset, for errors.

    Raises DataMissingError, with the name that was probably meant, if it does not.
    """
    path = Path(given).expanduser()
    try:
        if path.is_file() or path.is_dir():
            return path
        if path.exists():
            raise DataError(not_regular(path))
        neighbours = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    except OSError as error:
        raise DataMissingError(
            _("{key} = {given!r} can't be read: {error}.", key=key, given=given, error=error.strerror)
        ) from error
    missing = _("{key} = {given!r}: there is no such file.", key=key, given=given)
    raise DataMissingError(f"{missing}{likely(path.name, neighbours)}")


def not_regular(path: Path) -> str:
    """Return the message for a pipe or a device, which could be read once only."""
    return _("{file} is a pipe or a device, not a file: save what it gives as a file, and name that.", file=path)


def likely(given: str, there: Iterable[str]) -> str:
    """Return a sentence with the name that was probably meant, or "" if none is close."""
    meant = text.likely(given, there)
    return f" {_('Did you mean {name!r}?', name=meant)}" if meant else ""


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return the names as 'a, b, c'. A long list is cut short."""
    names = [repr(name) for name in names]
    if not names:
        return _("nothing")
    first, more = ", ".join(names[:most]), len(names) - most
    return _("{names} and {count} more", names=first, count=more) if more > 0 else first


def _from_npz(path: Path, section: schema.NpzData) -> tuple[Any, Any]:
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            _("{file} can't be read as an .npz file: {reason}.", file=path, reason=_reason(error))
        ) from error
    if not isinstance(found, np.lib.npyio.NpzFile):
        raise DataError(_("{file} holds a single array; an .npz file with inputs and targets is needed.", file=path))
    with found:
        return (
            _pick(found, section.inputs, "data.inputs", path),
            _pick(found, section.targets, "data.targets", path),
        )


def _pick(found: Mapping[Any, Any], name: str, key: str, path: Path) -> Any:
    names = [str(there) for there in found]
    if name not in found:
        missing = _(
            "{file} has no {name!r} ({key}); it has {names}.", file=path, name=name, key=key, names=listed(names)
        )
        raise DataError(f"{missing}{likely(name, names)}")
    try:
        return found[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if "allow_pickle" in str(error):
            raise DataError(
                _(
                    "{file}: {name!r} ({key}) holds Python objects, which are not loaded. Save words with "
                    ".astype(str), and numbers with .astype(float).",
                    file=path,
                    name=name,
                    key=key,
                )
            ) from error
        raise DataError(
            _(
                "{file}: {name!r} ({key}) can't be read: {reason}.",
                file=path,
                name=name,
                key=key,
                reason=_reason(error),
            )
        ) from error


def _reason(error: BaseException) -> str:
    if "allow_pickle" in str(error):  # what NumPy says of any unknown format
        return _("it has another format")
    return str(error).rstrip(".") or type(error).__name__
