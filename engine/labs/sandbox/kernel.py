"""What Linux can keep a process from: system calls that this process makes about itself.

Each function raises OSError where the kernel, or whoever has set up this machine, does not allow it. Nothing of it
can be undone. Call them while the process has one thread, because threads that are there already stay outside.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBSECCOMP = "libseccomp.so.2"
# Numbers of system calls that glibc has no function for. Since 2019 they are the same on every architecture.
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446

# <linux/sched.h>: the network, the file systems, shared memory, the host's name, and the user who may change these.
_NAMESPACES = 0x40000000 | 0x00020000 | 0x08000000 | 0x04000000 | 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 0x1000, 0x4000, 1 << 18, 2, 4
_MNT_DETACH = 2
# How a path is seen. A private folder begins empty, is kept in memory, and ends with the process.
Kind = Literal["readable", "writable", "device", "private"]
_ATTRIBUTES: dict[Kind, int] = {
    "readable": 1 | 2 | 4,
    "writable": 2 | 4,
    "device": 2,
}  # read-only, no setuid, no devices
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_OLD_ROOT = "/.outside"

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_CAPABILITIES = struct.pack("=II", 0x20080522, 0)  # version 3, this process

# <linux/landlock.h>
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE = (1 << 1) | (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8)  # write, remove and make files and folders; no links
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_FILES = (1 << 1) | _READ_FILE | _TRUNCATE
_HANDLED = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1}  # rights by version; later ones add no paths
_TCP, _SIGNALS_AND_SOCKETS = 0b11, 0b11


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)
    return result


def end_with_parent(signal: int) -> None:
    """Have this process sent a signal when its parent ends."""
    _check(_LIBC.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl")


def give_up_privileges() -> None:
    """Give up every capability, for good: root is then a user like others."""
    _check(_LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    header, none = ctypes.create_string_buffer(_CAPABILITIES), ctypes.create_string_buffer(24)
    _check(_LIBC.capset(header, none), "capset")


# --- namespaces ---


def leave_namespaces(base: Path) -> None:
    """Be alone: no network, no shared memory of others, and mounts that nobody else sees.

    base: a folder, on which an empty root is mounted for `change_root`.
    """
    user, group = os.getuid(), os.getgid()
    _check(_LIBC.unshare(_NAMESPACES), "unshare")
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", name).write_text(line)
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", str(base), "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=755")


def change_root(base: Path, shown: Iterable[tuple[Path, Kind]], *, room: int) -> None:
    """See only these paths from now on, where they were, and nothing of other processes.

    base: as in `leave_namespaces`. shown: folders before what lies in them. room: bytes of each private folder. After
    an OSError this process can't be used.
    """
    folder, own = os.getcwd(), Path("/proc", str(os.getpid()))
    found = [(path, path.resolve(), kind) for path, kind in (*shown, (own, "readable"))]
    outside = f"{base}{_OLD_ROOT}"
    os.mkdir(outside)
    _check(_LIBC.pivot_root(str(base).encode(), outside.encode()), "pivot_root")
    os.chdir("/")
    for path, real, kind in found:
        if kind == "private":
            path.mkdir(parents=True, exist_ok=True)
            _mount("tmpfs", str(path), "tmpfs", _MS_NOSUID | _MS_NODEV, f"size={room},mode=700")
            continue
        for place in dict.fromkeys((path, real)):
            _bind(real, place, _ATTRIBUTES[kind])
    Path("/proc/self").symlink_to(own.name)
    _check(_LIBC.umount2(_OLD_ROOT.encode(), _MNT_DETACH), "umount")
    os.rmdir(_OLD_ROOT)
    _set_attributes(Path("/"), _ATTRIBUTES["readable"], recursive=False)
    os.chdir(folder)


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind, data)]
    _check(_LIBC.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]), f"mount {target}")


def _bind(real: Path, place: Path, attributes: int) -> None:
    """Show a path of the old root in this one."""
    source = f"{_OLD_ROOT}{real}"
    if os.path.isdir(source):
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(source, str(place), None, _MS_BIND | _MS_REC)
    _set_attributes(place, attributes)


def _set_attributes(path: Path, attributes: int, *, recursive: bool = True) -> None:
    wanted = ctypes.create_string_buffer(struct.pack("=QQQQ", attributes, 0, 0, 0))
    flags = _AT_RECURSIVE if recursive else 0
    done = _LIBC.syscall(_MOUNT_SETATTR, _AT_FDCWD, str(path).encode(), flags, wanted, ctypes.c_size_t(32))
    _check(done, f"mount_setattr {path}")


# --- Landlock ---


def landlock_version() -> int:
    """Return the version of Landlock that this kernel has. Raises OSError where it has none."""
    return _check(_LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1), "landlock")


def restrict_paths(readable: Iterable[Path], writable: Iterable[Path]) -> None:
    """Open, make and remove files below these paths only; connect to no port, and send nobody a signal.

    A path that is missing is left out. Call it after `give_up_privileges`.
    """
    version = landlock_version()
    handled = _HANDLED[min(version, 3)]
    attributes = struct.pack(
        "=QQQ", handled, _TCP if version >= 4 else 0, _SIGNALS_AND_SOCKETS if version >= 6 else 0
    )
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    rules = _check(_LIBC.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(len(attributes)), 0), "landlock")
    try:
        for path in readable:
            _allow(rules, path, (_READ_FILE | _READ_DIR) & handled)
        for path in writable:
            _allow(rules, path, (_READ_FILE | _READ_DIR | _WRITE | _REFER | _TRUNCATE) & handled)
        _check(_LIBC.syscall(_LANDLOCK_RESTRICT, rules, 0), "landlock")
    finally:
        os.close(rules)


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        granted = rights if path.is_dir() else rights & _OF_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", granted, place))
        _check(_LIBC.syscall(_LANDLOCK_ADD, rules, 1, rule, 0), f"landlock {path}")
    finally:
        os.close(place)


# --- seccomp ---

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NOT_EQUAL, _MASKED_EQUAL = 1, 7
_CLONE_THREAD = 0x00010000
_SHARED_AND_NAMELESS = 0x21  # MAP_SHARED | MAP_ANONYMOUS
# Other processes: their start, signals, memory, limits and priorities.
_OF_PROCESSES = (
    *("fork", "vfork", "execve", "execveat", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"),
    *("pidfd_open", "pidfd_getfd", "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp"),
    *("setpriority", "ioprio_set", "sched_setscheduler", "sched_setparam", "sched_setattr", "migrate_pages"),
    *("move_pages", "setsid", "setpgid", "process_mrelease"),
)
# The network and the sockets of other programs.
_OF_SOCKETS = ("socket", "connect", "bind", "listen", "accept", "accept4")
# Memory that no limit of a process counts, and that others share.
_OF_MEMORY = (
    *("memfd_create", "memfd_secret", "shmget", "shmat", "shmctl", "msgget", "msgsnd", "semget", "mq_open"),
    *("mq_unlink", "remap_file_pages"),
)
# Files by their paths, beside what Landlock watches: modes, owners, times, attributes, lengths and watches.
_OF_FILES_OUTSIDE = (
    *("chmod", "fchmodat", "chown", "lchown", "fchownat", "utime", "utimes", "futimesat", "utimensat", "truncate"),
    *("setxattr", "lsetxattr", "removexattr", "lremovexattr", "mknod", "mknodat", "name_to_handle_at"),
    *("open_by_handle_at", "inotify_add_watch", "fanotify_init", "fanotify_mark", "quotactl", "quotactl_fd"),
)
# The kernel itself.
_OF_KERNEL = (
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("open_tree", "move_mount", "mount_setattr", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup"),
    *("io_uring_enter", "io_uring_register", "add_key", "request_key", "keyctl", "init_module", "finit_module"),
    *("delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "syslog"),
    *("settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "sethostname", "setdomainname", "iopl", "ioperm"),
    *("personality", "vhangup"),
)
# fchmodat2, setxattrat, removexattrat, file_setattr: newer than some of the libraries that know calls by name.
_BY_NUMBER = (452, 463, 466, 469)


class _Compare(ctypes.Structure):
    """What an argument of a call is compared with: libseccomp's `struct scmp_arg_cmp`."""

    _fields_ = (("argument", ctypes.c_uint), ("how", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def filter_calls(*, shares_memory: bool = False) -> None:
    """Refuse to start processes, to reach others, sockets, and what else code that is graded has no use for.

    shares_memory: whether memory may be shared with a driver, as that of a GPU is. Raises OSError without libseccomp.
    """
    library = ctypes.CDLL(_LIBSECCOMP)
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    if not rules:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), "seccomp")

    def refuse(name: str | int, *conditions: _Compare, how: int = errno.EPERM) -> None:
        number = name if isinstance(name, int) else library.seccomp_syscall_resolve_name(name.encode())
        if number == -1:  # this version of the library, or this architecture, has no such call
            return
        compared = (_Compare * len(conditions))(*conditions)
        done = library.seccomp_rule_add_array(
            rules, ctypes.c_uint32(_ERRNO | how), number, ctypes.c_uint(len(conditions)), compared
        )
        if done < 0:
            raise OSError(-done, os.strerror(-done), f"seccomp {name}")

    own = os.getpid()
    memory: Sequence[str] = () if shares_memory else _OF_MEMORY
    for name in (*_OF_PROCESSES, *_OF_SOCKETS, *memory, *_OF_FILES_OUTSIDE, *_OF_KERNEL):
        refuse(name)
    for number in _BY_NUMBER:
        refuse(number)
    refuse("clone", _Compare(0, _MASKED_EQUAL, _CLONE_THREAD, 0))
    refuse("clone3", how=errno.ENOSYS)  # its flags are in memory, where no filter sees them; glibc then takes clone
    refuse("prctl", _Compare(0, _MASKED_EQUAL, 0xFFFFFFFF, _PR_SET_PDEATHSIG))
    for name in ("kill", "tgkill"):
        refuse(name, _Compare(0, _NOT_EQUAL, own, 0))
    for name in ("prlimit64", "sched_setaffinity"):
        refuse(name, _Compare(0, _NOT_EQUAL, 0, 0))
    refuse("socketpair", _Compare(1, _MASKED_EQUAL, 0xF, socket.SOCK_DGRAM))  # it could send to any other by its path
    if not shares_memory:
        refuse("mmap", _Compare(3, _MASKED_EQUAL, _SHARED_AND_NAMELESS, _SHARED_AND_NAMELESS), how=errno.ENOMEM)
    done = library.seccomp_load(rules)
    library.seccomp_release(rules)
    if done < 0:
        raise OSError(-done, os.strerror(-done), "seccomp")
