"""Options of a start besides its preset and settings. All commands that start runs share them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from descent.control import Answer
from descent.run.folder import RunFolder, check_id
from descent.run.progress import Ending


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a start in this process.

    ending: the worker's; None when nothing was left to train. answer: of another process, whose paused run goes on.
    more: for the JSON object. line: for the receipt.
    """

    folder: RunFolder
    ending: Ending | None = None
    answer: Answer | None = None
    more: dict[str, Any] = field(default_factory=dict)
    line: str = ""


def _print_nothing(_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Options:
    """The folder of a run, what it may do, and its output. Raises DescentError for an id that can't name a folder."""

    run_id: str | None = None  # else made of the preset's name and the time
    runs_dir: Path | None = None  # else $DESCENT_RUNS, else ./runs; for a fork, its parent's
    data_root: Path | None = None  # else the one that the run began with, else $DESCENT_DATA
    allow_code: bool = False  # the user's own code that the preset names may run in its present state
    download: bool = False  # missing data may be downloaded
    folder: Path | None = None  # where the project of a script was moved to
    as_json: bool = False
    quiet: bool = False
    listens: bool = True  # whether commands may come over the run's socket
    tell: Callable[[str], None] = _print_nothing  # a line that is worth knowing before the training begins
    show: Callable[[Outcome], None] = _print_nothing  # what came of a start in this process
    ranks: int | None = None  # processes that train a run together; else as many as when it began

    def __post_init__(self) -> None:
        if self.run_id is not None:
            check_id(self.run_id)


DEFAULT = Options()
