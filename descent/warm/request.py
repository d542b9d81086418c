"""What is asked of the warm process, and who may ask: whoever would start the same process otherwise."""

import contextlib
import fcntl
import hashlib
import json
import os
import resource
import signal
import site
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from descent.common.i18n import _

# Beginnings of variables that are read once, when Python starts or a library is loaded.
_READ_ONCE = (
    *("PYTHON", "LD_", "LC_", "LANG", "MALLOC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "ATEN"),
    *("DNNL", "ONEDNN", "TORCH", "PYTORCH", "CUDA", "NVIDIA", "NCCL", "HIP", "ROCR", "HSA"),
)
# What scikit-learn sets when it is imported, as the warm process does.
_IMPORTED = {("KMP_DUPLICATE_LIB_OK", "True"), ("KMP_INIT_AT_FORK", "FALSE")}
_PLACES = ("PYTHONPATH", "LD_LIBRARY_PATH")
# Nothing has read them when a fork begins. PyTorch sets the last one when it imports its compiler.
_READ_LATER = ("CUDA_VISIBLE_DEVICES", "PYTHONUNBUFFERED", "TORCHINDUCTOR_CACHE_DIR")
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")  # a fork can set another number
_LIMITS = sorted(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))
_NAMESPACES = ("mnt", "net", "pid", "user")
_LARGEST = 1 << 22  # bytes of a request, most of which is the environment
_LENGTH = struct.Struct("!I")


class NotWarmError(Exception):
    """There is no process to fork from."""


class RefusedError(NotWarmError):
    """A fork would not be as good as a new process. The text is for a log."""


def key() -> str:
    """Return a word for what a fork can't change: it has this in common with the process that it is forked from.

    Another installation, or another environment, group of resources, set of CPUs or priority, gives another word.
    """
    package = Path(__file__).resolve().parents[2]
    newest = max(file.stat().st_mtime_ns for room in ("descent", "engine") for file in (package / room).rglob("*.py"))
    installed = [Path(folder).stat().st_mtime_ns for folder in site.getsitepackages() if Path(folder).is_dir()]
    variables = sorted(read_once(os.environ).items())
    process = [sorted(os.sched_getaffinity(0)), os.getpriority(os.PRIO_PROCESS, 0), os.getgroups(), os.getresuid()]
    process += [[resource.getrlimit(limit)[1] for limit in _LIMITS], _read("/proc/self/cgroup")]
    process += [[os.readlink(f"/proc/self/ns/{name}") for name in _NAMESPACES]]
    facts = [sys.executable, sys.version, package, newest, installed, variables, process]
    return hashlib.sha256(repr(facts).encode(errors="surrogateescape")).hexdigest()[:16]


def read_once(environment: Mapping[str, str], folder: Path = Path()) -> dict[str, str]:
    """Return the variables that Python and libraries read when they start, which a fork can't change.

    folder: where the process starts, which relative folders of modules and libraries are seen from.
    """

    def whole(name: str, value: str) -> str:
        places = value.split(os.pathsep)
        return os.pathsep.join(os.path.abspath(folder / place) for place in places) if name in _PLACES else value

    return {
        name: whole(name, value)
        for name, value in environment.items()
        if name.startswith(_READ_ONCE) and name not in _READ_LATER and (name, value) not in _IMPORTED
    }


def check(environment: Mapping[str, str], folder: Path) -> None:
    """Raise RefusedError if a process with that environment can't be forked from one with this process's.

    folder: where it is to start.
    """
    try:
        given, here = read_once(environment, folder), read_once(os.environ)
    except OSError as error:  # there is no current folder
        raise RefusedError(str(error)) from None
    changed = {name for name in given | here if given.get(name) != here.get(name)}
    numbers = {given.get(name, "none") for name in changed & {*_THREADS}}
    if not changed <= {*_THREADS} or len(numbers) > 1 or not all(number.isdigit() for number in numbers):
        raise RefusedError(_("its environment has another {names}", names=", ".join(sorted(changed))))


def address() -> Path:
    """Return the socket of the warm process that fits this one. Raises NotWarmError where there can be none."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(base) / f"descent-warm-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o077:
            raise RefusedError(_("{folder} is not a folder of this user alone", folder=folder))
        return folder / key()
    except OSError as error:
        raise NotWarmError(str(error)) from None


def _read(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text(errors="replace")
    return ""


@dataclass(frozen=True)
class Request:
    """A process that is wanted, with what it would inherit from the one that asks.

    places: the number that each sent descriptor gets there; FOLDER for that of the current folder, GO for the end of
    a pipe from which one byte is read before the module runs. Nobody writes it if the answer came too late.
    """

    module: str
    arguments: list[str]
    environment: dict[str, str]
    places: list[int]
    umask: int
    limits: list[int]
    ignored: list[int]

    FOLDER, GO = -1, -2

    @classmethod
    def from_here(
        cls, module: str, arguments: Sequence[str], environment: Mapping[str, str], places: Sequence[int]
    ) -> "Request":
        """Return a request with this process's umask, limits and ignored signals."""
        umask = next(line.split()[1] for line in _read("/proc/self/status").splitlines() if line.startswith("Umask"))
        limits = [resource.getrlimit(limit)[0] for limit in _LIMITS]
        ignored = [int(number) for number in signal.valid_signals() if signal.getsignal(number) is signal.SIG_IGN]
        return cls(module, list(arguments), dict(environment), list(places), int(umask, 8), limits, ignored)

    def become(self, descriptors: Sequence[int], keep: int) -> tuple[int, int]:
        """Turn this process into the one that is wanted, all but its module. Return the new numbers of `keep` and GO.

        Every other descriptor of this process is closed.
        """
        os.setsid()
        highest = max([*self.places, keep, *descriptors]) + 1
        moved = [_moved(one, highest) for one in (keep, *descriptors)]
        for place, descriptor in zip(self.places, moved[1:], strict=True):
            if place == self.FOLDER:
                os.fchdir(descriptor)
            elif place != self.GO:
                os.dup2(descriptor, place)  # inheritable, as pass_fds has it
        go = moved[1 + self.places.index(self.GO)]
        kept = {*self.places, moved[0], go}
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in kept:
                with contextlib.suppress(OSError):
                    os.close(int(name))
        os.umask(self.umask)
        for limit, soft in zip(_LIMITS, self.limits, strict=True):
            resource.setrlimit(limit, (soft, resource.getrlimit(limit)[1]))
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            is_default = number not in (*self.ignored, signal.SIGPIPE, signal.SIGXFSZ)  # as Python starts
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL if is_default else signal.SIG_IGN)
        if signal.SIGINT not in self.ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(self.environment)
        return moved[0], go


def _moved(descriptor: int, at_least: int) -> int:
    """Return a copy of a descriptor above all others, which is not inherited by programs that are started."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, at_least)


def send(connection: socket.socket, request: Request, descriptors: Sequence[int]) -> None:
    """Send a request with its descriptors."""
    text = json.dumps(vars(request)).encode()
    socket.send_fds(connection, [_LENGTH.pack(len(text))], list(descriptors))
    connection.sendall(text)


def receive(connection: socket.socket) -> tuple[Request, list[int]] | None:
    """Return a request and its descriptors, or None if the other end is closed.

    Raises OSError or ValueError if anything else comes.
    """
    head, descriptors, _flags, _address = socket.recv_fds(connection, _LENGTH.size, 32)
    if not head:
        return None
    try:
        left = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else _LARGEST + 1
        if left > _LARGEST:
            raise ValueError(head)
        text = bytearray()
        while len(text) < left:
            piece = connection.recv(left - len(text))
            if not piece:
                raise ValueError(text)  # it ends too early
            text += piece
        return Request(**json.loads(text)), descriptors
    except BaseException:
        for descriptor in descriptors:
            os.close(descriptor)
        raise
