"""Grading from a screen: the same grader as the command line's, in a process of its own."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from engine.labs.format import Language
from engine.labs.grading import Tell, process_words, told, verdict_of

LONGEST_LINE = 1 << 20  # bytes of what it says on its way
PATIENCE = 5.0  # seconds that it may take to end what it has started


async def grade(lab_id: str, folder: Path, language: Language, tell: Tell) -> dict[str, Any]:
    """The verdict's object, as `descent lab check --json` prints it. DescentError where there is none.

    Cancelled, or when the app ends, the grader ends too: an attempt that nobody waits for counts nothing.
    """
    process = await asyncio.create_subprocess_exec(
        *process_words(lab_id, language),
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LONGEST_LINE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        # Both at once: it waits for whoever does not read.
        printed, said_last = await asyncio.gather(process.stdout.read(), _hear(process.stderr, tell))
        await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)
    return verdict_of(printed, said_last)


async def _hear(stream: asyncio.StreamReader, tell: Tell) -> str:
    """Pass on what is under way; the last line that is not about that."""
    said_last = "it says nothing"
    async for line in stream:
        text = line.decode(errors="replace").strip()
        under_way = told(text)
        if under_way is not None:
            tell(*under_way)
        else:
            said_last = text or said_last
    return said_last


async def _end(process: asyncio.subprocess.Process) -> None:
    process.terminate()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(process.wait(), PATIENCE)
        return
    process.kill()
