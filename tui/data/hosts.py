"""Runs on other machines, as `descent runs --json` tells of them over SSH."""

import json
import shlex
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from descent.common.i18n import _
from descent.common.text import clean, shorten
from descent.run.folder import RunFolder
from descent.run.note import Note
from descent.run.result_metrics import loss_and_accuracy, values_on
from tui.data.runs import REACHED, Reached, RunStatus

_MOST = 200  # runs of a host that are listed: each takes it some milliseconds
EVERY = 15.0  # seconds between two questions to a host while the list is shown
_PATIENCE = 30.0  # seconds that a host has to answer
_NO_COMMAND = 127  # of a shell that does not find a program
_NO_LOGIN = 255  # of ssh itself


@dataclass(frozen=True)
class Host:
    """Another machine. name: as `ssh` takes it. command: what is Descent there, in the words of its shell."""

    name: str
    command: str = "descent"

    def attach(self, run_id: str, *, read_only: bool = False) -> list[str]:
        """Return the words of a command that opens the screen of a run there, in this terminal."""
        options = " --read-only" if read_only else ""
        return ["ssh", "-t", self.name, f"{self.command} attach {shlex.quote(run_id)}{options}"]


def host_of(text: str) -> Host:
    """Return what "gpu1" or "gpu1 ~/venv/bin/descent" names."""
    name, _space, command = text.strip().partition(" ")
    return Host(name, command.strip() or "descent")


@dataclass(frozen=True)
class HostRun:
    """A run on a host. run: its folder is a path there.

    script: the file of a loop of one's own, "" if it came from none; None for a preset's run. changed: the settings
    that differ from the preset, by dotted key.
    """

    host: Host
    run: RunStatus
    script: str | None = None
    changed: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class HostRuns:
    """What a host last answered: its runs, the latest start first, or why there is no answer.

    runs: None before the first answer; those of the last answer while there is a problem.
    """

    host: Host
    runs: tuple[HostRun, ...] | None = None
    problem: str = ""


def ask(host: Host, before: HostRuns | None = None) -> HostRuns:
    """Ask a host for its runs over ssh, which must let us in without a password."""
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10"]
    runs = before.runs if before is not None else None
    try:
        done = subprocess.run(
            ["ssh", *options, host.name, f"{host.command} runs --json --latest {_MOST}"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, check=False, start_new_session=True,
        )  # fmt: skip
    except FileNotFoundError:
        return HostRuns(host, runs, _("there is no ssh on this machine"))
    except OSError as error:
        return HostRuns(host, runs, f"ssh: {error.strerror}")
    except subprocess.TimeoutExpired:
        return HostRuns(host, runs, _("no answer within {seconds:.0f} seconds", seconds=_PATIENCE))
    lines = done.stdout.decode(errors="replace").strip().splitlines()
    if done.returncode:
        return HostRuns(host, runs, _problem(host, done.returncode, done.stderr.decode(errors="replace")))
    try:
        return HostRuns(host, tuple(_run(host, entry) for entry in json.loads(lines[-1])["runs"]))
    except (LookupError, TypeError, ValueError, AttributeError):
        said = clean(shorten(lines[-1], 60)) if lines else ""
        return HostRuns(
            host,
            runs,
            _("{command} runs --json printed no list of runs: {said}", command=clean(host.command), said=said),
        )


def _problem(host: Host, code: int, errors: str) -> str:
    said = clean(shorten(next(iter(reversed(errors.strip().splitlines())), ""), 120))
    if code == _NO_COMMAND:
        return _(
            'its shell finds no {command}. Name the command in settings.toml: hosts = ["{host} ~/venv/bin/descent"]',
            command=clean(host.command),
            host=clean(host.name),
        )
    if code == _NO_LOGIN:
        return said or _("ssh could not log in")
    return _("descent ended with exit code {code}: {said}", code=code, said=said)


def _run(host: Host, entry: Mapping[str, Any]) -> HostRun:
    if "error" in entry:
        status = RunStatus(RunFolder(Path(str(entry["dir"]))), state="damaged", problem=clean(str(entry["error"])))
        return HostRun(host, status)
    numbers = entry.get("metrics") or {}
    reached: dict[str, Reached] = {}
    scores: dict[str, dict[str, float]] = {}
    for split in ("validation", "test"):
        loss, accuracy = loss_and_accuracy(numbers, split)
        there = values_on(numbers, split)
        scores[split] = {name: value for name, value in there.items() if name not in REACHED and value is not None}
        if loss is not None or accuracy is not None:
            reached[split] = loss, accuracy
    started, seconds = entry.get("started"), entry.get("seconds")
    return HostRun(
        host,
        RunStatus(
            RunFolder(Path(str(entry["dir"]))),
            state=clean(str(entry["state"])),
            host=host.name,
            preset=clean(str(entry.get("preset") or "")),
            step=int(entry.get("step") or 0),
            epoch=entry.get("epoch"),
            started=None if started is None else float(started),
            changed=float(started or 0) + float(seconds or 0),
            device=clean(str(entry.get("device") or "")),
            last_loss=numbers.get("train_loss"),
            reached=reached,
            scores=scores,
            scalars={clean(name): each["value"] for name, each in (entry.get("scalars") or {}).items()},
            seconds=seconds,
            note=Note(clean(str(entry.get("note", ""))), bool(entry.get("pinned"))),
        ),
        script=None if (script := entry.get("script")) is None else clean(str(script)),
        changed=None if (changed := entry.get("changed")) is None else dict(changed),
    )


class HostsWatch:
    """Asks each host in a thread of its own, and calls `seen` from there when an answer is another than before.

    answers: the last ones, in the order of the hosts.
    """

    def __init__(self, hosts: Sequence[Host], seen: Callable[[], object]) -> None:
        self.answers = {host: HostRuns(host) for host in hosts}
        self._seen = seen
        self._wanted = threading.Event()  # while the list is shown
        self._now = {host: threading.Event() for host in hosts}
        self._over = False

    def start(self) -> None:
        self._wanted.set()
        for host in self.answers:
            # A daemon: a host that does not answer must not keep the app from ending.
            threading.Thread(target=self._run, args=(host,), name=f"host {host.name}", daemon=True).start()

    def look(self, wanted: bool) -> None:
        """Ask on, or rest until the list is shown again."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()

    def look_now(self) -> None:
        for event in self._now.values():
            event.set()

    def end(self) -> None:
        self._over = True
        self._wanted.set()
        self.look_now()

    def _run(self, host: Host) -> None:
        while not self._over:
            answer = ask(host, self.answers[host])
            if answer != self.answers[host] and not self._over:
                self.answers[host] = answer
                self._seen()
            self._now[host].wait(EVERY)
            self._now[host].clear()
            self._wanted.wait()
