"""`python -m engine.background FOLDER NAME ROOT` is the worker of a run without a terminal; its output is in the
run's log."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine import loading
from engine.claim import Claim
from engine.errors import CannotGoOnError
from engine.progress import Display
from engine.run import RunFolder
from engine.signals import Signals

if TYPE_CHECKING:
    from engine.training.worker import Ending


def main(folder: str, name: str, data_root: str) -> int:
    """Train the run in `folder`, of the preset called `name`; the exit code."""
    with Signals() as signals:
        claim = Claim(RunFolder(Path(folder)))
        try:
            worker = loading.worker()
        except CannotGoOnError as no_torch:
            claim.events.state("failed", reason=str(no_torch))
            claim.release()
            return no_torch.exit_code
        ending: Ending = worker.work(claim, name, Path(data_root), Display(name, None), signals)
        return ending.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
