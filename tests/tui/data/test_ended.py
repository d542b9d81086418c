"""Pictures of an ended run do not keep the app from ending."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from descent.run.folder import RunFolder
from tui.data import ended


async def test_an_app_that_ends_does_not_wait_for_a_picture_that_waits_for_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`q` would do nothing for ten minutes: asyncio waits for its threads, and so would the one that has asked."""
    processes: list[subprocess.Popen[bytes]] = []
    is_asked = threading.Event()

    def of_ended(folder: object, wanted: object, tell: Any, started: Any) -> dict[str, Any]:
        processes.append(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
        started(processes[0])
        tell("waits for memory, behind 1 other")
        is_asked.set()
        processes[0].wait()
        return {}

    said: list[str] = []
    monkeypatch.setattr(ended, "of_ended", of_ended)
    asked = asyncio.create_task(ended.drawn(RunFolder(tmp_path), {}, said.append))
    await asyncio.to_thread(is_asked.wait)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await asyncio.to_thread(processes[0].wait)
    assert said == ["waits for memory, behind 1 other"]
