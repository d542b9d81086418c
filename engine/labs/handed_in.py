"""Finding hand-ins and reading them: folders, zips, trees of both, and what a learning management system gives.

Anybody may have written them. Links are not followed, a zip's names lead nowhere, and what is read is bounded in
number and in size before it takes memory.
"""

import hashlib
import io
import json
import os
import pwd
import re
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from descent.common.files import open_regular, read_regular
from descent.common.i18n import _
from descent.common.text import clean, names_in_zip, shorten, why_unreadable

FORMATS = (1, 2)  # of hand-ins: a folder, and a zip that says who handed it in
MANIFEST = "handin.json"
PAGE = "report.html"
LARGEST = 1 << 20  # bytes of one file of a hand-in
MOST_FILES = 64  # of one hand-in
LARGEST_ZIP = 32 << 20  # bytes of a zip within a zip
MOST_ENTRIES = 20_000  # of a zip of hand-ins
DEEPEST = 8  # levels of folders that are searched
_MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_(?:file|onlinetext)_?")
# A text that was typed in, or a link, has no number of its own.
_CANVAS = re.compile(
    r"(?P<name>[^_]+)(?P<late>_LATE)?_(?P<id>\d+)_(?:\d+_.+\.[^.]+|text\.html|link\.html)", re.IGNORECASE
)
_OF_THE_SYSTEM = ("__MACOSX", ".DS_Store")


class BrokenError(Exception):
    """A hand-in can't be read. The text says why."""


@dataclass(frozen=True)
class Uploaded:
    """Who uploaded a hand-in, as the names in a download of Moodle or Canvas say."""

    system: str  # "moodle" or "canvas"
    name: str
    id: str
    late: bool = False


@dataclass(frozen=True)
class HandedIn:
    """Where a hand-in is. inside: in a zip of several, the name of a zip, or of a folder with a "/" at its end.

    problem: why it can't be read; then it may also be a file or a folder of another kind.
    """

    path: Path
    inside: str = ""
    problem: str = ""

    @property
    def name(self) -> str:
        """The name for tables: of its folder, or of its zip without ".zip"."""
        named = PurePosixPath(self.inside).name or self.path.absolute().name
        if (who := self.uploaded) is not None and who.system == "moodle":
            rest = _MOODLE.sub("", named, count=1)
            if not rest or rest != named or named.endswith(".zip"):
                named = f"{who.name}: {rest}" if rest else who.name
        return clean(named.removesuffix(".zip"))

    @property
    def uploaded(self) -> Uploaded | None:
        """Who uploaded it, or None if it is not of a learning management system."""
        found = _upload((*self.path.absolute().parts, *PurePosixPath(self.inside).parts))
        return None if found is None else found[0]

    @property
    def owner(self) -> str:
        """The login of the user whose file it is on this machine, or "" if it says nothing: it is ours, or root's."""
        if self.inside or self.uploaded is not None:
            return ""
        try:
            user = self.path.lstat().st_uid
            return "" if user in (0, os.getuid()) else pwd.getpwuid(user).pw_name
        except (OSError, KeyError):
            return ""

    @contextmanager
    def opened(self) -> Iterator[Path]:
        """Yield a folder with its files, to be read only. Raises BrokenError."""
        if self.problem:
            raise BrokenError(self.problem)
        if self.path.is_dir():
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="descent-hand-in-") as folder:
            for name, content in self._files().items():
                (Path(folder) / name).write_bytes(content)
            yield Path(folder)

    def _files(self) -> dict[str, bytes]:
        with _zip(self.path) as outer:
            if not self.inside.endswith(".zip"):
                return _read_all(outer, self.inside)
            entry = {one.filename: one for one in outer.infolist()}[self.inside]
            with _opened(io.BytesIO(_content(outer, entry, LARGEST_ZIP))) as inner:
                if (top := _top(inner)) is None:
                    raise BrokenError(_no_hand_in(_names(inner)))
                return _read_all(inner, top)


def _upload(parts: Sequence[str]) -> tuple[Uploaded, int] | None:
    """Return who uploaded what has this path, and the index of the part that says it."""
    last = len(parts) - 1
    for at in range(last, -1, -1):
        if found := _MOODLE.match(parts[at]):
            return Uploaded("moodle", clean(found["name"]), found["id"]), at
        # Canvas gives files alone: a folder of such a name is somebody's own.
        is_file = at == last or parts[at].lower().endswith(".zip")
        if is_file and (found := _CANVAS.fullmatch(parts[at])):
            return Uploaded("canvas", clean(found["name"]), found["id"], found["late"] is not None), at
    return None


def _no_hand_in(found: Iterable[str] = ()) -> str:
    """Return that there is no hand-in, and which files there are instead."""
    text, files = _("there is no hand-in in it: no {file} and no zip", file=MANIFEST), sorted(found)
    if not files:
        return text
    shown = ", ".join(shorten(clean(name), 60) for name in files[:5]) + (", …" if files[5:] else "")
    return _("{missing}; it has: {files}", missing=text, files=shown)


def digest(folder: Path) -> str:
    """Return a hash of the files that an opened hand-in has. A file that can't be read counts as empty."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir())[: 2 * MOST_FILES]:
        try:
            content = read_regular(path, LARGEST, follow=False)
        except OSError:
            content = b""
        found.update(f"{path.name}\0{len(content)}\0".encode(errors="surrogateescape") + content)
    return found.hexdigest()


def find(paths: Iterable[Path]) -> list[HandedIn]:
    """Return the hand-ins in these folders and zips, in their order. A path without any is a broken one."""
    found: dict[HandedIn, None] = {}
    for path in paths:
        found |= dict.fromkeys(_in_folder(path) if path.is_dir() and not path.is_symlink() else _in_zip(path))
    return list(found)


def _in_folder(path: Path) -> list[HandedIn]:
    if os.path.lexists(path / MANIFEST):
        return [HandedIn(path)]
    found: list[HandedIn] = []
    others: list[tuple[str, ...]] = []
    for place, folders, files in os.walk(path):
        folders.sort()
        here = Path(place)
        if os.path.lexists(here / MANIFEST):
            found.append(HandedIn(here))
            folders.clear()
            continue
        found += [one for name in sorted(files) if name.lower().endswith(".zip") for one in _in_zip(here / name)]
        others += [(here / name).absolute().parts for name in files if not name.lower().endswith(".zip")]
        others += [] if files or folders else [(*here.absolute().parts, "")]
        deep = len(here.relative_to(path).parts) >= DEEPEST
        folders[:] = [] if deep else [name for name in folders if not name.startswith(".")]
    found += [HandedIn(Path(*at), problem=why) for at, why in _without(found, others)]
    return found or [HandedIn(path, problem=_no_hand_in())]


def _in_zip(path: Path) -> list[HandedIn]:
    try:
        with _zip(path) as outer:
            if (top := _top(outer)) is not None:
                return [HandedIn(path, top)]
            names = _names(outer)
            inner = {name for name in names if name.lower().endswith(".zip")}
            inner |= {name.removesuffix(MANIFEST) for name in names if PurePosixPath(name).name == MANIFEST}
            _refuse_escapes(inner)
    except BrokenError as error:
        return [HandedIn(path, problem=str(error))]
    found = [HandedIn(path, name) for name in sorted(inner)]
    others = [tuple(name.split("/")) for name in names if name not in inner]
    found += [HandedIn(path, "/".join(at), why) for at, why in _without(found, others)]
    return found or [HandedIn(path, problem=_no_hand_in(names))]


def _without(found: Sequence[HandedIn], others: Iterable[Sequence[str]]) -> list[tuple[Sequence[str], str]]:
    """Return where students are whom a download names, but who have no hand-in in it, and what they have instead.

    others: the paths of files that are no hand-in, and of empty folders, with "" for their last part.
    """
    known = {(who.system, who.id) for one in found if (who := one.uploaded) is not None}
    places: dict[tuple[str, str], Sequence[str]] = {}
    files: dict[tuple[str, str], list[str]] = {}
    for parts in others:
        if (upload := _upload(parts)) is None or (key := (upload[0].system, upload[0].id)) in known:
            continue
        places.setdefault(key, parts[: upload[1] + 1])
        files.setdefault(key, []).extend(filter(None, parts[-1:]))
    return [(places[key], _no_hand_in(files[key])) for key in sorted(places)]


def _top(archive: zipfile.ZipFile) -> str | None:
    """Return where the manifest of a zip's only hand-in is, "" or "FOLDER/", or None if it is not of one hand-in."""
    names = _names(archive)
    if MANIFEST in names:
        return ""
    tops = {name.partition("/")[0] for name in names}
    top = f"{tops.pop()}/" if len(tops) == 1 else ""
    return top if top and f"{top}{MANIFEST}" in names else None


def _names(archive: zipfile.ZipFile) -> list[str]:
    return [entry.filename for entry in archive.infolist() if not _is_of_the_system(entry.filename)]


def _is_of_the_system(name: str) -> bool:
    return any(part in _OF_THE_SYSTEM for part in PurePosixPath(name).parts)


# --- reading a zip within bounds ---


@contextmanager
def _zip(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        file = open_regular(path, follow=False)
    except OSError as error:
        raise BrokenError(why_unreadable(error)) from None
    with file, _opened(file) as archive:
        yield archive


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                raise BrokenError(_("has more than {most:,} files", most=MOST_ENTRIES))
            for entry, name in zip(entries, names_in_zip(entries), strict=True):
                entry.filename = name
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, NotImplementedError, OSError) as error:
        raise BrokenError(_("is no whole zip: {error}", error=shorten(clean(str(error)), 100))) from None


def _read_all(archive: zipfile.ZipFile, top: str) -> dict[str, bytes]:
    """Return the files below `top`, those of folders in it left out."""
    inside = [one for one in archive.infolist() if one.filename.startswith(top) and not one.is_dir()]
    inside = [one for one in inside if not _is_of_the_system(one.filename)]
    _refuse_escapes(one.filename for one in inside)
    flat = [one for one in inside if "/" not in one.filename.removeprefix(top)]
    if len(flat) > MOST_FILES:
        raise BrokenError(_("has more than {most:,} files", most=MOST_FILES))
    found: dict[str, bytes] = {}
    for entry in flat:
        name = entry.filename.removeprefix(top)
        if name in found:
            raise BrokenError(_("has two files of the name {name}", name=clean(name)))
        found[name] = _content(archive, entry, LARGEST)
    return found


def _refuse_escapes(names: Iterable[str]) -> None:
    for name in names:
        parts = name.rstrip("/").split("/")
        if name.startswith("/") or "\\" in name or "\0" in name or any(part in ("", ".", "..") for part in parts):
            raise BrokenError(_("{name}: a name that leads out of the zip", name=shorten(clean(name), 100)))


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    shown = shorten(clean(entry.filename), 100)
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise BrokenError(_("{name}: is a link or a device, not a file", name=shown))
    if entry.flag_bits & 1:
        raise BrokenError(_("{name}: is encrypted", name=shown))
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise BrokenError(_("{name}: is packed in a way that is not read here; use deflate", name=shown))
    if entry.file_size > most:
        raise BrokenError(_("{name}: is larger than {most:,} bytes", name=shown, most=most))
    with archive.open(entry) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise BrokenError(_("{name}: is larger than {most:,} bytes", name=shown, most=most))
    return content


def read_object(folder: Path, name: str) -> dict[str, Any]:
    """Return the object in a file of an opened hand-in. Raises BrokenError."""
    try:
        found = json.loads(read_regular(folder / name, LARGEST, follow=False))
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenError(_("{file}: can't be read: {reason}", file=name, reason=why_unreadable(error))) from None
    except (ValueError, RecursionError):
        raise BrokenError(_("{file} is not JSON", file=name)) from None
    if not isinstance(found, dict):
        raise BrokenError(_("{file} was not written by `descent lab report`", file=name))
    return found


def manifest_of(path: Path) -> dict[str, Any]:
    """Return what a zip says of itself, nothing if it is not one hand-in."""
    found = _in_zip(path)
    if len(found) != 1:
        return {}
    try:
        with found[0].opened() as folder:
            return read_object(folder, MANIFEST)
    except BrokenError:
        return {}
