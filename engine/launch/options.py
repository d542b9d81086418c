"""Options of a start besides its preset and settings. All commands that start runs share them."""

from dataclasses import dataclass
from pathlib import Path

from descent.run.folder import check_id


@dataclass(frozen=True, slots=True)
class Options:
    """The folder of a run, what it may do, and its output. Raises DescentError for an id that can't name a folder."""

    run_id: str | None = None  # else made of the preset's name and the time
    runs_dir: Path | None = None  # else $DESCENT_RUNS, else ./runs; for a fork, its parent's
    data_root: Path | None = None  # else the one that the run began with, else $DESCENT_DATA
    allow_code: bool = False  # the user's own code that the preset names may run in its present state
    download: bool = False  # missing data may be downloaded
    as_json: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.run_id is not None:
            check_id(self.run_id)


DEFAULT = Options()
