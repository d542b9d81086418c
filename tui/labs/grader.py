"""Grading from a screen: the same grader as the command line's, in a process of its own."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from engine.errors import DescentError
from engine.labs.format import Language


async def grade(lab_id: str, folder: Path, language: Language) -> dict[str, Any]:
    """The verdict's object, as `descent lab check --json` prints it. DescentError where there is none.

    Cancelled, or when the app ends, the grader ends too: an attempt that nobody waits for counts nothing.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", "engine", "lab", "check", lab_id, "--json", "--lang", language,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        printed, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
    lines = printed.decode(errors="replace").splitlines()
    try:
        verdict = json.loads(lines[-1])
    except (IndexError, ValueError):
        verdict = None
    if not isinstance(verdict, dict) or "checks" not in verdict:
        said = (errors.decode(errors="replace").strip().splitlines() or ["the grader says nothing"])[-1]
        raise DescentError(said.removeprefix("descent: "))
    return verdict
