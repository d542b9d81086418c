"""`python -m engine.background FOLDER NAME ROOT` is the worker of a run without a terminal; its output is in the
run's log."""

import sys
from pathlib import Path

from engine.claim import Claim
from engine.progress import Display
from engine.run import RunFolder
from engine.signals import Signals


def main(folder: str, name: str, data_root: str) -> int:
    """Train the run in `folder`, of the preset called `name`; the exit code."""
    with Signals() as signals:
        claim = Claim(RunFolder(Path(folder)))
        from engine.training import worker  # torch: a second or more

        return worker.work(claim, name, Path(data_root), Display(name, None), signals).exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
