"""Several runs one after another in one process, which loads PyTorch once. The grader trains by it.

    python -P -m engine.launch.batch RUNS_DIR DATA_ROOT AGREED ID=PRESET.toml …

AGREED is the SHA-256 of the one file of code that the presets may run, or "" if they may run none. Each is a run as
`descent run` makes it. After each, a line of JSON is printed: {"run", "exit_code", "error"}.
"""

import contextlib
import io
import json
import sys
from functools import partial
from pathlib import Path

from descent.common import stdio
from descent.common.exit import end
from descent.common.machine import die_with_parent
from engine.launch import start
from engine.launch.options import Options, Outcome
from engine.preset import consent


def main(runs_dir: str, data_root: str, agreed: str, *jobs: str) -> int:
    """Train each run, and return the first exit code that is not 0, or 0."""
    die_with_parent()
    if agreed:
        consent.agree_for_now(agreed)
    codes = []
    for job in jobs:
        run_id, _, preset = job.partition("=")
        code, error = _train(run_id, preset, Path(runs_dir), Path(data_root))
        stdio.say(json.dumps({"run": run_id, "exit_code": code, "error": error if code else ""}))
        codes.append(code)
    return next(filter(None, codes), 0)


def _train(run_id: str, preset: str, runs_dir: Path, data_root: Path) -> tuple[int, str]:
    """The exit code of one run, and what it says is wrong."""
    said = io.StringIO()

    def show(outcome: Outcome) -> None:
        if outcome.ending is not None and outcome.ending.error is not None:
            stdio.complain(outcome.ending.error)

    options = Options(
        run_id, runs_dir, data_root, quiet=True, listens=False, tell=partial(print, file=said), show=show
    )
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = end(lambda: start.run(preset, (), options), as_json=False)
    return code, said.getvalue().strip().removeprefix("descent: ")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
