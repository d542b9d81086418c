"""What a process with a learner's code may do: the paths, memory and time it has, and how it is kept to that.

Three levels, each with all that those below it have:

    namespaces  it sees a file system of its own, with only what it needs in it, and a network of nothing
    landlock    it opens only what it needs; it reaches no network and no other process, and starts none
    limits      memory, time and sizes of files are limited, which prevents accidents and stops nobody
"""

import json
import os
import shutil
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, get_args

from descent import child, warm
from descent.common.i18n import N_, _
from engine.labs.sandbox import kernel
from engine.preset.find import shipped_presets

Level = Literal["limits", "landlock", "namespaces"]
LEVELS: tuple[Level, ...] = get_args(Level)  # the weakest first
ENOUGH: Level = "landlock"  # for code of strangers, unless somebody says otherwise
FAILED = 125  # exit code of a process that could not be enclosed as it must be, and has run nothing
_PROGRAM = "engine.labs.sandbox.enclosed"

WORDS: dict[Level, str] = {
    "namespaces": N_("namespaces: it sees only its own files, and no network and no other process"),
    "landlock": N_("Landlock and seccomp: it opens only its own files, and no network and no other process"),
    "limits": N_("limits of time and memory only: it can read, change and send away your files"),
}
TODO: dict[Level, str] = {
    "namespaces": "",
    "landlock": N_("for a file system of its own: apt install bubblewrap; a container must allow namespaces"),
    "limits": N_(
        "apt install bubblewrap libseccomp2, on Linux 5.13 or newer; a container must allow namespaces or Landlock"
    ),
}
# Variables that Python, its libraries and Descent need. Others may hold what is nobody else's business.
_KEPT = ("DESCENT_LANG", "TZ")
_SYSTEM = (
    *("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache"),
    *("/etc/localtime", "/sys/devices/system", "/sys/fs/cgroup", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat"),
)
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_BINDS: dict[kernel.Kind, str] = {"readable": "--ro-bind", "writable": "--bind", "device": "--dev-bind"}
_OF_LIBRARIES = ("site-packages", "dist-packages")  # those of PYTHONPATH and of a .pth file count as well
_GPUS = ("nvidia*", "kfd", "dri")  # in /dev
_SYSTEM_OF_GPUS = ("/usr/local/cuda", "/usr/local/nvidia", "/proc/driver/nvidia", "/sys/module", "/sys/bus/pci")


@dataclass(frozen=True)
class Enclosure:
    """What a process may do.

    home: a folder for HOME and TMPDIR, its own. readable, writable: folders and files. private: folders that begin
    empty; where it has a file system of its own, they are kept in memory, and gone with it. level: what it must be
    kept by, None for the strongest that begins at once. file: bytes of one file. memory: bytes of all its data, 0
    for no limit. gpu: whether it may use one. bubblewrap: whether that has been started around it.
    """

    home: str
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    level: Level | None = None
    file: int = 1 << 30
    memory: int = 0
    gpu: bool = False
    bubblewrap: bool = False

    @classmethod
    def from_json(cls, text: str) -> "Enclosure":
        found: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(text).items()
        }
        return cls(**found)

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    def shown(self) -> list[tuple[Path, kernel.Kind]]:
        """Return what it sees, folders before what lies in them.

        That is Python, its libraries, Descent without the presets, devices that keep nothing, and its own paths.
        """
        system = [*_SYSTEM, *(_SYSTEM_OF_GPUS if self.gpu else ())]
        gpus = [path for pattern in _GPUS for path in Path("/dev").glob(pattern)] if self.gpu else []
        paths: dict[kernel.Kind, Iterable[Path]] = {
            "readable": [*map(Path, self.readable), *of_python(), *_without_presets(map(Path, system))],
            "writable": map(Path, self.writable),
            "device": [*map(Path, _DEVICES), *gpus],
            "private": map(Path, (self.home, *self.private)),
        }
        return sorted((path, kind) for kind, found in paths.items() for path in _outermost(found))


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the paths that exist, without those below others."""
    found: list[Path] = []
    for path in sorted({path.absolute() for path in paths if path.exists()}):
        if not any(path.is_relative_to(other) for other in found):
            found.append(path)
    return found


@cache
def of_python() -> tuple[Path, ...]:
    """Return the folders that modules and their libraries are loaded from."""
    package = Path(__file__).resolve().parents[3]
    folders = [Path(base, lib) for base in (sys.prefix, sys.base_prefix) for lib in ("lib", "lib64")]
    folders += [Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    folders += [Path(folder) for folder in site.getsitepackages()]
    folders += [Path(site.getusersitepackages())] if site.ENABLE_USER_SITE else []
    folders += [path for path in map(Path, sys.path) if path.name in _OF_LIBRARIES]
    program = [Path(sys.executable), Path(sys.prefix, "pyvenv.cfg")]
    return tuple(_without_presets([*folders, *program, package / "descent", package / "engine"]))


def _without_presets(paths: Iterable[Path]) -> list[Path]:
    """Return the paths, or in place of a folder with the presets all that it holds beside them.

    The presets are where the solutions of the labs are.
    """
    hidden = shipped_presets()
    found: list[Path] = []
    for path in paths:
        if hidden == path or not path.exists():
            continue
        inside = hidden.is_relative_to(path.resolve())
        found += _without_presets(sorted(path.resolve().iterdir())) if inside else [path]
    return found


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return the variables of an enclosed process."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    own = {"HOME": str(home), "TMPDIR": str(home), "USER": "learner", "PATH": "/usr/bin:/bin"}
    return {**warm.read_once(os.environ), **kept, **own, **more}


def start(
    enclosure: Enclosure,
    module: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path,
    stdout: int | IO[Any] | None,
    stderr: int | IO[Any] | None,
    pass_fds: Sequence[int] = (),
) -> warm.Process:
    """Start `module` enclosed. It ends with exit code FAILED, before it runs, where its level can't be had.

    env: variables in addition to `environment`. The other options are those of subprocess.Popen.
    """
    home = Path(enclosure.home)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = environment(home, **(env or {}))
    if enclosure.level == "namespaces" and protection().by == "bubblewrap":
        words = _in_bubblewrap(enclosure, cwd, module, *arguments)
        return child.start(words, env=given, cwd=cwd, stdout=stdout, stderr=stderr, pass_fds=pass_fds)
    words = [enclosure.as_json(), module, *arguments]
    return warm.start(_PROGRAM, *words, env=given, cwd=cwd, stdout=stdout, stderr=stderr, pass_fds=pass_fds)


def _in_bubblewrap(enclosure: Enclosure, cwd: Path, *arguments: str) -> list[str]:
    """Return the words that start a process in bubblewrap, which shows it what `enclosure` says."""
    words = ["bwrap", "--unshare-all", "--die-with-parent", "--proc", "/proc", "--dev", "/dev", "--chdir", str(cwd)]
    for path, kind in enclosure.shown():
        if kind == "private":
            words += ["--tmpfs", str(path)]
        elif not path.is_relative_to("/proc"):
            for place in dict.fromkeys((path, path.resolve())):
                words += [_BINDS[kind], str(path.resolve()), str(place)]
    inside = replace(enclosure, bubblewrap=True)
    return [*words, "--", *child.command(_PROGRAM, inside.as_json(), *arguments)]


# --- what this machine can do ---


@dataclass(frozen=True)
class Protection:
    """How code of strangers is kept here. by: "bubblewrap" where Descent itself may not do it."""

    level: Level
    by: Literal["Descent", "bubblewrap"] = "Descent"

    def is_at_least(self, level: Level) -> bool:
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def text(self) -> str:
        said = _(WORDS[self.level])
        return _("{protection} (by bubblewrap)", protection=said) if self.by == "bubblewrap" else said

    def todo(self) -> str:
        return _(TODO[self.level]) if TODO[self.level] else ""


@cache
def protection() -> Protection:
    """Return the strongest protection that this machine allows, by trying it in processes that run nothing."""
    with tempfile.TemporaryDirectory(prefix="descent-enclosed-") as folder:
        home = Path(folder)
        level = _reached([_PROGRAM, Enclosure(folder).as_json()], home)
    return (
        Protection("namespaces", "bubblewrap") if level != "namespaces" and bubblewrap_works() else Protection(level)
    )


def bubblewrap_works() -> bool:
    """Return whether bubblewrap is installed, and may do here what it is for."""
    if shutil.which("bwrap") is None:
        return False
    with tempfile.TemporaryDirectory(prefix="descent-enclosed-") as folder:
        home = Path(folder)
        words = _in_bubblewrap(Enclosure(folder, level="namespaces"), home)
        given = environment(home)
        done = subprocess.run(words, env=given, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return _level(done.stdout) == "namespaces"


def _reached(words: Sequence[str], home: Path) -> Level:
    """Return the level of a process that encloses itself."""
    process = warm.start(*words, env=environment(home), cwd=home, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    with process.stdout as stdout:
        found = _level(stdout.read())
    process.wait()
    return found


def _level(printed: bytes) -> Level:
    word = printed.decode(errors="replace").strip()
    return next((level for level in LEVELS if level == word), "limits")
