"""The worker of a run without a terminal: `python -m engine.launch.background FOLDER NAME ROOT RANKS SHA256…`.

Its output goes to the run's log. The hashes are of code that the user has agreed to without a record.
RANKS is the number of processes that train it, 0 for the preset's.
"""

import sys
from pathlib import Path

from descent.common.errors import CannotGoOnError
from descent.common.signals import Signals
from descent.run.folder import Claim, RunFolder
from descent.run.progress import Ending
from engine.launch import loading
from engine.launch.display import Display
from engine.launch.lab_run import note_end
from engine.preset import consent


def main(folder: str, name: str, data_root: str, ranks: str, *agreed: str) -> int:
    """Train the run in `folder`, of the preset called `name`, and return the exit code."""
    consent.agree_for_now(*agreed)
    with Signals() as signals:
        claim = Claim(RunFolder(Path(folder)))
        try:
            worker = loading.worker()
        except CannotGoOnError as no_torch:
            claim.events.state("failed", reason=str(no_torch))
            claim.release()
            return no_torch.exit_code
        ending: Ending = worker.work(
            claim, name, Path(data_root), Display(name, None), signals, ranks=int(ranks) or None
        )
        note_end(claim.folder, name, ending)
        return ending.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
