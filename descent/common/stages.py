"""What a process tells the one that has started it while it works: its stages, as lines of stderr."""

import sys
from collections.abc import Callable
from typing import IO

from descent.common import stdio

# Hears a stage and what it is about: "waiting" and for what, in words, "training" and the id of a graded run,
# "checking" and the id of a criterion.
Tell = Callable[[str, str], None]
STAGE = "stage: "  # begins a line that tells one


def tell(stage: str, what: str) -> None:
    """Tell a stage to the process that has started this one."""
    stdio.say(f"{STAGE}{stage} {what}", sys.stderr)


def tell_waiting(for_what: str) -> None:
    """Tell it what this process waits for, in words."""
    tell("waiting", for_what)


def hear(stderr: IO[bytes], told: Tell) -> str:
    """Read a process's stderr to its end, and hand on its stages. Return the last of its other lines."""
    last = ""
    with stderr:
        for line in stderr:
            text = line.decode(errors="replace").strip()
            if text.startswith(STAGE):
                stage, _, what = text.removeprefix(STAGE).partition(" ")
                told(stage, what)
            else:
                last = text or last
    return last
