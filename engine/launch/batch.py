"""Several runs one after another in one process, which loads PyTorch once. The grader trains by it.

    python -P -m engine.launch.batch RUNS_DIR DATA_ROOT ID=PRESET.toml …

Each is a run as `descent run` makes it. After each, a line of JSON is printed: {"run", "exit_code", "error"}.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

from descent.common import stdio
from descent.common.exit import end
from descent.common.machine import die_with_parent
from engine.launch import start
from engine.launch.options import Options


def main(runs_dir: str, data_root: str, *jobs: str) -> int:
    """Train each run, and return the first exit code that is not 0, or 0."""
    die_with_parent()
    codes = []
    for job in jobs:
        run_id, _, preset = job.partition("=")
        options = Options(run_id, Path(runs_dir), Path(data_root), allow_code=True, as_json=True, quiet=True)
        complaints = io.StringIO()
        with contextlib.redirect_stderr(complaints), contextlib.redirect_stdout(io.StringIO()):
            code = end(lambda: start.run(preset, (), options), as_json=False)  # noqa: B023 - called at once
        error = complaints.getvalue().strip().removeprefix("descent: ")
        stdio.say(json.dumps({"run": run_id, "exit_code": code, "error": error if code else ""}))
        codes.append(code)
    return next(filter(None, codes), 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
