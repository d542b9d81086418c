"""What a start is told beside its preset and settings: the words that all the starting commands share."""

from dataclasses import dataclass
from pathlib import Path

from descent.run.folder import check_id


@dataclass(frozen=True, slots=True)
class Options:
    """Where a run is kept, what it may do, and how it speaks. DescentError for an id that can't name a folder."""

    run_id: str | None = None  # else one is made of the preset's name and the time
    runs_dir: Path | None = None  # else $DESCENT_RUNS, else ./runs; of a fork, its parent's
    data_root: Path | None = None  # else the run's own of before, else $DESCENT_DATA
    allow_code: bool = False  # the user's own code that the preset names may run, as it is now
    download: bool = False  # data that are missing may be fetched
    as_json: bool = False
    quiet: bool = False

    def __post_init__(self) -> None:
        if self.run_id is not None:
            check_id(self.run_id)


DEFAULT = Options()
