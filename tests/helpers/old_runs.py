"""Run folders as versions of Descent have written them, copies of them to open, and `descent` as a user starts it."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from descent import warm
from tests.helpers.processes import Done
from tests.helpers.waiting import DEADLINE

FOLDER = Path(__file__).parents[1] / "old_runs"
VERSION = "0.1"  # of the folders that are opened


def descent(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Done:
    """`descent` in a process of its own, in `folder`, to its end: a fork of the warm process where there is one."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        code = warm.start("descent", *words, cwd=folder, env=environment, stdout=out, stderr=error).wait(DEADLINE)
        said = []
        for file in (out, error):
            file.seek(0)
            said.append(file.read().decode())
    return Done(code, *said)


def environment(folder: Path) -> dict[str, str]:
    """Of a user who has nothing but what is in `folder`, on a machine without a GPU."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("DESCENT_", "XDG_"))}
    homes = {f"XDG_{name}_HOME": str(folder / "home" / name.lower()) for name in ("STATE", "CACHE", "CONFIG", "DATA")}
    return own | homes | {"DESCENT_LANG": "en", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def copied(to: Path) -> Path:
    """`to`, with the kept runs in runs/ and the kept study in studies/, as if they had been made there.

    What is listed by age has the age that the files tell: a checkout knows none.
    """
    for name in ("runs", "studies"):
        shutil.copytree(FOLDER / VERSION / name, to / name)
    for study in to.glob("studies/*/study.json"):
        _age(study, told_by=study, key="created")
    for preset in to.rglob("preset.toml"):
        _age(preset, told_by=preset.with_name("run.json"), key="started")
    return to


def _age(file: Path, *, told_by: Path, key: str) -> None:
    time = json.loads(told_by.read_text(encoding="utf-8"))[key]
    os.utime(file, (time, time))
