"""`descent doctor`: what this machine offers, what is missing, and what to do about it."""

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
from descent.common.numbers import memory, size, trimmed
from descent.common.text import clean
from engine.preset import datasets

_PROBE_SECONDS = 120  # a first import from a network drive is slow
_LITTLE_SPACE = 1_000_000_000  # bytes; checkpoints of a ResNet-18 with its momentum are 90 MB each
_OMP_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_PROC_BIND", "KMP_AFFINITY", "GOMP_CPU_AFFINITY")


@dataclass(frozen=True)
class Check:
    """One line of the report. `broken` means that Descent can't train like this; `todo` says what helps."""

    subject: str
    state: Literal["ok", "note", "broken"]
    text: str
    todo: str = ""


def examine(runs_dir: Path | None = None, data_root: Path | None = None) -> list[Check]:
    """Look at everything that a training run or the console needs."""
    return [
        Check("Python", "ok", f"{platform.python_version()} in {sys.prefix}"),
        *_torch(probe_torch()),
        *_cpus(),
        *_terminal(),
        _folder("runs", paths.runs_dir(runs_dir)),
        _folder("data", datasets.data_root(data_root).absolute()),
        _folder("state", paths.state_dir()),
        *_data_sets(datasets.data_root(data_root)),
    ]


def as_json(checks: list[Check]) -> dict[str, Any]:
    """The report as one JSON object."""
    return {"ok": not is_broken(checks), "checks": [asdict(check) for check in checks]}


def is_broken(checks: list[Check]) -> bool:
    """Whether something that is needed does not work."""
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
        return {"trouble": f"importing torch took longer than {_PROBE_SECONDS} s"}
    except (OSError, ValueError, IndexError) as error:
        return {"trouble": str(error)}
    if isinstance(found, dict):
        return found
    return {"trouble": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}


def _torch(found: dict[str, Any]) -> Iterator[Check]:
    if "trouble" in found:
        yield Check("PyTorch", "broken", clean(found["trouble"]), "install torch into this Python's environment")
        return
    build = f"for CUDA {found['cuda']}" if found["cuda"] else "for CPUs only"
    yield Check("PyTorch", "ok", f"{found['torch']}, built {build}, {found['threads']} CPU threads by default")
    for number, gpu in enumerate(found["gpus"]):
        subject, name = f"GPU {number}", clean(gpu["name"])
        size = memory(gpu["bytes"])
        if gpu["trouble"]:
            todo = "see whether nvidia-smi shows it free; train on the CPU with --device cpu, or on another GPU"
            yield Check(subject, "note", f"{name}, {size}, does not work: {clean(gpu['trouble'])}", todo)
        else:
            yield Check(subject, "ok", f"{name}, {size}, {memory(gpu['free'])} of it free")
    if found["gpus"]:
        return
    if machine.has_nvidia_device() and not found["cuda"]:
        yield Check("GPU", "note", "there is one, but this PyTorch can't use it", "install a CUDA build of torch")
    elif machine.has_nvidia_device():
        why = clean("; ".join(found["warnings"])) or "no reason given"
        yield Check("GPU", "note", f"there is one, but PyTorch finds none: {why}", "update the NVIDIA driver")
    else:
        yield Check("GPU", "ok", "none; training runs on the CPU")


def _cpus() -> Iterator[Check]:
    usable, limit = machine.usable_cpus(), machine.cgroup_cpus()
    text = f"{os.cpu_count()} in the machine, {usable} for this process"
    if limit is not None and limit < usable:
        yield Check("CPUs", "ok", f"{text}, {trimmed(limit)} CPUs' worth of time (control group)")
    else:
        yield Check("CPUs", "ok", text)
    settings = [f"{name}={clean(os.environ[name])}" for name in _OMP_SETTINGS if name in os.environ]
    yield Check("OpenMP", "ok", " ".join(settings) or "nothing set; a run measures how many threads are best")


def _terminal() -> Iterator[Check]:
    encoding = (sys.stdout.encoding or "").lower().replace("-", "")
    if encoding != "utf8":
        todo = "export LANG=C.UTF-8"
        yield Check("encoding", "note", f"{encoding or 'unknown'}, so that × and ≥ can't be shown", todo)
    if not sys.stdout.isatty():
        yield Check("terminal", "ok", "standard output is none; every command works without one, but the console")
        return
    columns, lines = shutil.get_terminal_size()
    kind = os.environ.get("TERM", "")
    from rich.console import Console

    colours = {"truecolor": "16 million colours", "256": "256 colours", "standard": "16 colours"}
    shown = colours.get(Console().color_system or "", "no colours")
    text = f"{columns} × {lines}, {shown}, TERM={clean(kind) or 'not set'}"
    if kind in ("", "dumb"):
        yield Check("terminal", "note", text, "export TERM=xterm-256color, if the terminal can do that")
    elif columns < 80 or lines < 24:
        yield Check("terminal", "note", text, "make it at least 80 × 24 for the console")
    else:
        yield Check("terminal", "ok", text)


def _folder(name: str, folder: Path) -> Check:
    """A folder may be missing where it can be made; then its nearest parent counts."""
    subject, shown = f"{name} folder", clean(str(folder))
    option = {"runs": "--runs-dir or $DESCENT_RUNS", "data": "--data-root or $DESCENT_DATA"}
    todo = f"name another one with {option[name]}" if name in option else "set $XDG_STATE_HOME to another one"
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(there).free
        if not there.is_dir():
            return Check(subject, "broken", f"{shown}: {clean(str(there))} is a file", todo)
        if not os.access(there, os.W_OK | os.X_OK):
            return Check(subject, "broken", f"{shown} can't be written to", todo)
    except OSError as error:
        return Check(subject, "broken", f"{shown}: {error.strerror}", todo)
    text = f"{shown}, {size(free)} free" + ("" if there == folder else ", made when it is needed")
    if free < _LITTLE_SPACE:
        return Check(subject, "note", text, "delete what is not needed, or " + todo)
    return Check(subject, "ok", text)


def _data_sets(root: Path) -> Iterator[Check]:
    for known in datasets.catalogue():
        if datasets.is_there(known.name, root):
            yield Check(known.name, "ok", "at hand")
        else:
            todo = f"descent data fetch {known.name}"
            yield Check(known.name, "note", f"not here; {size(known.download_bytes)} to download", todo)
