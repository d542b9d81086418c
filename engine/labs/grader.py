"""A grading in a process of its own, as all who want one start it: the command line, `lab watch` and the console."""

import json
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

from descent import warm
from descent.common.errors import CannotGoOnError, DescentError, ExitCode
from descent.common.i18n import _
from descent.common.stages import Tell, hear

PATIENCE = 5.0  # seconds that the grader may take to end what it has started


class Grader:
    """The process of engine.labs.grading, from its start to the verdict. `with` ends it."""

    def __init__(
        self,
        lab_id: str,
        *,
        folder: Path | None = None,
        quick: bool = False,
        draw: bool = False,
        tell: Tell | None = None,
    ) -> None:
        """folder: where the learner's files are, else the current one. quick: one seed, and no attempt.
        draw: what is drawn of the learner's code, in place of a verdict.

        tell: called in a thread of its own.
        """
        words = [lab_id, *(["--quick"] if quick else []), *(["--draw"] if draw else [])]
        # Not a pipe: the grader would wait for ever with a verdict that is longer than one holds.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        self._process = warm.start(
            "engine.labs.grading", *words, cwd=folder, stdout=self._printed, stderr=subprocess.PIPE
        )
        self._last_line = lab_id  # of stderr
        tell = tell or (lambda stage, name: None)
        self._listener = threading.Thread(target=self._listen, args=(tell,), daemon=True)
        self._listener.start()

    def __enter__(self) -> "Grader":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def is_done(self) -> bool:
        """Return whether `wait` answers at once."""
        return self._process.poll() is not None

    def wait(self) -> dict[str, Any]:
        """Return the verdict: Verdict.as_json's object. Raises DescentError when the work can't be graded at all."""
        self._listener.join()
        self._process.wait()
        self._printed.seek(0)
        lines = self._printed.read().decode(errors="replace").splitlines()
        try:
            found = json.loads(lines[-1]) if lines else None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise CannotGoOnError(_("the grader ended unexpectedly: {error}", error=self._last_line))
        if "error" in found:
            failed = DescentError(found["error"])
            failed.exit_code = ExitCode(int(found["exit_code"]))
            raise failed
        return found

    def end(self) -> None:
        """End it with all that it has started, if it has not ended; then nothing is counted."""
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(PATIENCE)
        self._printed.close()

    def _listen(self, tell: Tell) -> None:
        assert self._process.stderr is not None
        self._last_line = hear(self._process.stderr, tell) or self._last_line
