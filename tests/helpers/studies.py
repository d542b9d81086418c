"""`descent study …` as a user starts it, and what its table has in common with that of another study."""

import csv
import io
import subprocess
from collections.abc import Mapping
from pathlib import Path

from descent.run.folder import RunFolder
from tests.helpers.processes import DESCENT
from tests.helpers.waiting import wait_for


def rows(text: str) -> list[dict[str, str]]:
    """The table of a study, without what each run has for itself."""
    found = list(csv.DictReader(io.StringIO(text)))
    return [{name: text for name, text in row.items() if name not in ("run", "dir", "seconds")} for row in found]


class Studies:
    """`descent study …` in a folder of its own."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        homes = ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
        self._environment = {**environment, **dict.fromkeys(homes, str(folder / "home"))}
        self._begun: list[subprocess.Popen[str]] = []

    def begin(self, *words: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        command = [*DESCENT, "study", *words]
        process = subprocess.Popen(command, cwd=self._folder, env=self._environment, text=True, **pipes)
        self._begun.append(process)
        return process

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        process = self.begin(*words)
        out, err = process.communicate()
        return process.returncode, out, err

    def runs(self, study: str, count: int) -> list[RunFolder]:
        """The runs of a study, of which two train: there is room for two."""
        runs = [RunFolder(self._folder / f"studies/{study}/runs/{study}-000{index}") for index in range(count)]
        wait_for(lambda: sum(run.path.exists() and run.state() == "running" for run in runs) == 2, "two jobs")
        return runs

    def end(self) -> None:
        """Kill whatever a test has left."""
        for process in self._begun:
            process.kill()
            process.communicate()
