"""The preset whose settings are a lab's knobs: which one it is, what stands in it, and turning one."""

from pathlib import Path

from descent.run.folder import RunFolder
from engine.labs import knobs
from tui.data.labs import LabStatus


class KnobFile:
    """The preset whose knobs are shown: that of the run on the screen, if it has knobs.

    `path` is None while no preset of the lab has knobs, or the learner can't turn them yet.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._part: str | None = None
        self._seen: tuple[int, int] | None = None  # when it was written, and its size

    def look(self, status: LabStatus, run: RunFolder | None) -> None:
        """Find the preset."""
        self.path, self._part = _find(status, run)

    def read(self, status: LabStatus) -> knobs.Knobs | None:
        """Return the knobs as they stand in the file."""
        self._seen = _stamp(self.path)
        return knobs.read(status.lab, self._part, self.path) if self.path is not None else None

    def has_changed(self, status: LabStatus, run: RunFolder | None) -> bool:
        """Return whether the file is another, or was written, since it was read."""
        return _stamp(_find(status, run)[0]) != self._seen

    def turn(self, status: LabStatus, key: str, by: int) -> knobs.Knobs:
        """Write the next value of that knob into the file; DescentError if the file can't be read or written."""
        assert self.path is not None
        before = _stamp(self.path)
        found = knobs.turn(status.lab, self._part, self.path, key, by)
        after = _stamp(self.path)
        if after != before:
            self._seen = after
        return found


def _find(status: LabStatus, run: RunFolder | None) -> tuple[Path | None, str | None]:
    """The preset, and its part."""
    lab = status.lab
    if status.step in ("start", "predict"):
        return None, None
    of_run = [part for part in lab.model.parts if run is not None and run.id.startswith(f"{lab.id}-{part}-")]
    for part in (*of_run, None, *lab.model.parts):
        name = f"{lab.id}.toml" if part is None else f"{lab.id}-{part}.toml"
        if knobs.knobs_of(lab, part) and (status.folder / name).is_file():
            return status.folder / name, part
    return None, None


def _stamp(path: Path | None) -> tuple[int, int] | None:
    """When a file was written, and its size; None if it is not there."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size) if found is not None else None
