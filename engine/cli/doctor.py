"""The report of `descent doctor`: what this machine offers, what is missing, and what to do about it."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from descent import child
from descent.common import machine, paths
from descent.common.i18n import N_, _, ngettext
from descent.common.numbers import memory, size, trimmed
from descent.common.text import clean
from engine.preset import datasets

_PROBE_SECONDS = 120  # a first import from a network drive is slow
_LITTLE_SPACE = 1_000_000_000  # bytes; checkpoints of a ResNet-18 with its momentum are 90 MB each
_OMP_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_PROC_BIND", "KMP_AFFINITY", "GOMP_CPU_AFFINITY")


@dataclass(frozen=True)
class Check:
    """One line of the report. `broken` means that Descent can't train like this. `todo` says what helps.

    `subject` is English, for programs too. `_` translates it where it is shown.
    """

    subject: str
    state: Literal["ok", "note", "broken"]
    text: str
    todo: str = ""


def examine(runs_dir: Path | None = None, data_root: Path | None = None) -> list[Check]:
    """Check everything that a training run or the console needs."""
    return [
        Check("Python", "ok", _("{version} in {folder}", version=platform.python_version(), folder=sys.prefix)),
        *_torch(probe_torch()),
        *_cpus(),
        _learners_code(),
        *_terminal(),
        _folder(N_("runs folder"), paths.runs_dir(runs_dir), "--runs-dir or $DESCENT_RUNS"),
        _folder(N_("data folder"), datasets.data_root(data_root).absolute(), "--data-root or $DESCENT_DATA"),
        _folder(N_("state folder"), paths.state_dir(), "$XDG_STATE_HOME"),
        *_data_sets(datasets.data_root(data_root)),
    ]


def as_json(checks: list[Check]) -> dict[str, Any]:
    """Return the report as one JSON object."""
    return {"ok": not is_broken(checks), "checks": [asdict(check) for check in checks]}


def is_broken(checks: list[Check]) -> bool:
    """Return whether something that training needs does not work."""
    return any(check.state == "broken" for check in checks)


def probe_torch() -> dict[str, Any]:
    """Return torch's version, threads and GPUs, or {"trouble": why} when torch can't be imported.

    In a process of its own: a broken driver may end it, and torch would start threads in this one.
    """
    try:
        done = subprocess.run(
            child.command("engine.training.probe"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
            check=False,
        )
        found = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except subprocess.TimeoutExpired:
        return {"trouble": _("importing torch took longer than {seconds} s", seconds=_PROBE_SECONDS)}
    except (OSError, ValueError, IndexError) as error:
        return {"trouble": str(error)}
    if isinstance(found, dict):
        return found
    return {"trouble": (done.stderr.strip().splitlines() or [_("exit code {code}", code=done.returncode)])[-1]}


def _torch(found: dict[str, Any]) -> Iterator[Check]:
    if "trouble" in found:
        yield Check("PyTorch", "broken", clean(found["trouble"]), _("install torch into this Python's environment"))
        return
    built = _("built for {builds}", builds=clean(", ".join(found["builds"])))
    build = built if found["builds"] else _("built for CPUs only")
    threads = ngettext("{count} CPU thread by default", "{count} CPU threads by default", found["threads"])
    yield Check("PyTorch", "ok", f"{found['torch']}, {build}, {threads}")
    for number, gpu in enumerate(found["gpus"]):
        subject, name = f"GPU {number}", clean(gpu["name"])
        if gpu["trouble"]:
            todo = _(
                "check with nvidia-smi that it is free; or train on the CPU with --device cpu, or on another GPU"
            )
            why = clean(gpu["trouble"])
            yield Check(subject, "note", _("{name} does not work: {why}", name=name, why=why), todo)
        elif gpu["bytes"] is None:
            yield Check(subject, "ok", name)
        else:
            size, free = memory(gpu["bytes"]), memory(gpu["free"])
            yield Check(subject, "ok", _("{name}, {size}, {free} free", name=name, size=size, free=free))
    if found["gpus"]:
        return
    if machine.has_nvidia_device() and not found["builds"]:
        text = _("this machine has one, but this PyTorch can't use it")
        yield Check("GPU", "note", text, _("install a CUDA build of torch"))
    elif machine.has_nvidia_device():
        why = clean("; ".join(found["warnings"])) or _("no reason given")
        text = _("this machine has one, but PyTorch finds none: {why}", why=why)
        yield Check("GPU", "note", text, _("update the NVIDIA driver"))
    else:
        yield Check("GPU", "ok", _("none; training runs on the CPU"))


def _cpus() -> Iterator[Check]:
    usable, limit = machine.usable_cpus(), machine.cgroup_cpus()
    text = _("{total} in the machine, {usable} for this process", total=os.cpu_count(), usable=usable)
    if limit is not None and limit < usable:
        limited = _("the control group limits it to {limit} CPUs", limit=trimmed(limit))
        yield Check("CPUs", "ok", f"{text}; {limited}")
    else:
        yield Check("CPUs", "ok", text)
    settings = [f"{name}={clean(os.environ[name])}" for name in _OMP_SETTINGS if name in os.environ]
    yield Check("OpenMP", "ok", " ".join(settings) or _("not set; each run measures how many threads are fastest"))


def _learners_code() -> Check:
    from engine.labs.sandbox.enclosure import ENOUGH, protection

    found = protection()
    state: Literal["ok", "note"] = "ok" if found.is_at_least(ENOUGH) else "note"
    return Check(N_("learners' code"), state, found.text(), found.todo())


def _terminal() -> Iterator[Check]:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding != "utf8":
        todo = "export LANG=C.UTF-8"
        text = _("{encoding}: × and ≥ can't be shown", encoding=encoding or _("unknown"))
        yield Check(N_("encoding"), "note", text, todo)
    if not sys.stdout.isatty():
        text = _("standard output is no terminal; only the console needs one")
        yield Check(N_("terminal"), "ok", text)
        return
    columns, lines = shutil.get_terminal_size()
    kind = os.environ.get("TERM", "")
    from rich.console import Console

    colours = {"truecolor": _("16 million colours"), "256": _("256 colours"), "standard": _("16 colours")}
    shown = colours.get(Console().color_system or "", _("no colours"))
    text = f"{columns} × {lines}, {shown}, TERM={clean(kind) or _('not set')}"
    if kind in ("", "dumb"):
        yield Check("terminal", "note", text, _("if the terminal supports it: export TERM=xterm-256color"))
    elif columns < 80 or lines < 24:
        yield Check("terminal", "note", text, _("make it at least 80 × 24 for the console"))
    else:
        yield Check("terminal", "ok", text)


def _folder(subject: str, folder: Path, way: str) -> Check:
    """Check that a folder can be written to. One that is missing is made later, so its nearest parent is checked.

    way: the option or variable that chooses another folder.
    """
    shown = clean(str(folder))
    todo = _("choose another folder with {way}", way=way)
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(there).free
        if not there.is_dir():
            return Check(
                subject, "broken", _("{folder}: {file} is a file", folder=shown, file=clean(str(there))), todo
            )
        if not os.access(there, os.W_OK | os.X_OK):
            return Check(subject, "broken", _("{folder} can't be written to", folder=shown), todo)
    except OSError as error:
        return Check(subject, "broken", f"{shown}: {error.strerror}", todo)
    if there == folder:
        text = _("{folder}, {free} free", folder=shown, free=size(free))
    else:
        text = _("{folder}, {free} free, created when needed", folder=shown, free=size(free))
    if free < _LITTLE_SPACE:
        return Check(subject, "note", text, _("delete files you do not need, or {todo}", todo=todo))
    return Check(subject, "ok", text)


def _data_sets(root: Path) -> Iterator[Check]:
    for known in datasets.catalogue():
        if datasets.is_there(known.name, root):
            yield Check(known.name, "ok", _("ok"))
        else:
            todo = f"descent data fetch {known.name}"
            yield Check(known.name, "note", _("missing; {size} to download", size=size(known.download_bytes)), todo)
