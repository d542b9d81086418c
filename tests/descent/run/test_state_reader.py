"""Whoever follows a run must not read its whole log again at every look: a long run would take its program's time."""

import asyncio
import errno
import os
import socket
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from descent import control, handle
from descent.common import files
from descent.control import NotRunningError, client
from descent.handle import Run
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.state import SILENCE, StateReader

LOOKS = 40


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def _evaluate(events: Events, first: int, count: int) -> None:
    for step in range(first, first + count):
        events.write("evaluation", step=step, split="validation", member=0, loss=1.0)


def _begun(folder: RunFolder, state: str = "running") -> Events:
    """A run that trains on another machine, after a long past."""
    events = Events(folder.path)
    _evaluate(events, 0, 100)
    events.state("starting", host="elsewhere")
    if state == "running":
        events.state("running", step=100)
    return events


async def test_each_event_is_parsed_once_for_itself_and_once_for_the_state(
    folder: RunFolder, parsed: Counter[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle, "LOOK_EVERY", 0)
    events, written, seen = _begun(folder), 102, 0
    async for _ in Run(folder).events():
        seen += 1
        if seen == written == 102 + LOOKS:
            events.state("finished")
        elif seen == written:  # all is read: the next one is found by another look
            _evaluate(events, written, 1)
            written += 1
    assert seen == written + 1
    assert max(parsed.values()) <= 2


async def test_waiting_for_the_end_reads_what_is_new(
    folder: RunFolder, parsed: Counter[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handle, "LOOK_EVERY", 0)
    events = _begun(folder)
    waiting = asyncio.create_task(Run(folder).wait())
    for look in range(LOOKS):
        _evaluate(events, 100 + look, 1)
        await asyncio.sleep(0)
    events.state("stopped")
    assert await waiting == "stopped"
    assert max(parsed.values()) == 1


async def test_a_command_that_waits_for_its_worker_reads_what_is_new(
    folder: RunFolder, parsed: Counter[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_RETRY", 0)
    events = _begun(folder, "starting")
    asking = asyncio.create_task(control.ask(folder.path, "pause"))
    for look in range(LOOKS):
        _evaluate(events, 100 + look, 1)
        await asyncio.sleep(0)
    assert max(parsed.values()) == 1
    events.state("failed", reason="no data")
    with pytest.raises(NotRunningError, match="no data"):
        await asking


def test_of_a_run_that_has_ended_the_end_of_the_log_is_read(
    folder: RunFolder, parsed: Counter[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def pread(file: int, count: int, at: int) -> bytes:
        read.append(count)
        return of_the_system(file, count, at)

    of_the_system = os.pread
    monkeypatch.setattr(os, "pread", pread)
    events = _begun(folder)
    _evaluate(events, 100, 3000)
    events.state("finished")
    size = events.size()
    read.clear()
    assert folder.state() == "finished"
    assert sum(read) < size / 2
    assert sum(parsed.values()) == 1


def test_what_is_said_is_what_the_log_says_last(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK", 50)  # less than a line
    kept = StateReader(folder.path)
    assert (kept.state(), kept.host()) == ("starting", folder.host())
    events = Events(folder.path)
    for host, state in (("node1", "running"), ("node1", "paused"), ("node2", "running"), ("node3", "stopped")):
        events.state("starting", host=host)
        assert (kept.state(), kept.host()) == ("starting", host)
        events.state(state, step=0)
        events.write("member", member=1, state="diverged", step=3)
        events.write("rewound", to=0)
        for reader in (kept, StateReader(folder.path)):
            assert (reader.state(), reader.host()) == (state, host)
            assert (reader.host(), reader.state()) == (host, state)
    folder.events_file.unlink()
    Events(folder.path).state("paused")
    assert kept.state() == StateReader(folder.path).state() == "lost"  # another run of that name, which began here


def test_a_worker_that_was_killed_while_it_started_is_lost_at_once(folder: RunFolder) -> None:
    """Whoever starts it again would be told for half a minute that its id is taken."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    for pid, state in ((os.getpid(), "starting"), (gone.pid, "lost")):
        Events(folder.path).state("starting", pid=pid, host=socket.gethostname())
        assert folder.state() == state


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 16])
def test_a_log_read_from_its_end_is_the_log(tmp_path: Path, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_BLOCK", block)
    path = tmp_path / "log"
    reader = files.JsonLinesReader(path)
    assert list(reader.read_back(b"")) == []
    path.write_bytes(b'{"torn')
    assert list(reader.read_back(b"")) == []
    path.write_bytes(b'{"n": 1}\n\n3\n{"n": 22, "x": "' + b"y" * 99 + b'"}\n{"n": 3}\n{"n": 4')
    assert [entry["n"] for entry in reader.read_back(b"")] == [3, 22, 1]
    assert [entry["n"] for entry in reader.read_back(b'"x"')] == [22]
    assert reader.read() == []
    with path.open("ab") as file:
        file.write(b"4}\n")
    assert [entry["n"] for entry in reader.read()] == [44]


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_a_run_of_another_host_is_judged_by_the_clock_of_its_files(
    folder: RunFolder, ahead: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a host whose clock is wrong, a live run would be lost, or one whose node died would train for ever."""
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + ahead)
    assert RunFolder(folder.path).state() == "starting"  # the folder was made just now
    _begun(folder)
    lock = folder.path / "worker.lock"
    lock.touch()
    assert folder.state() == "running"
    os.utime(lock, (clock() - 2 * SILENCE,) * 2)
    assert folder.state() == "lost"


def test_a_disk_that_may_only_be_read_has_the_clock_of_the_reader(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_where: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(files, "_clocks", {})
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert files.time_at(folder.path) == pytest.approx(time.time(), abs=10)
    with pytest.raises(FileNotFoundError):
        files.time_at(folder.path / "gone")
