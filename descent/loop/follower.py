"""The run in the other processes of a training that has several: it follows rank 0 and keeps nothing."""

import tempfile
from pathlib import Path
from typing import Any

from descent.common import job
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.signals import Signals
from descent.loop import checkpoint
from descent.loop.checkpoint import State
from descent.loop.commands import Again
from descent.loop.folder import preset_text
from descent.loop.watched import Loop
from descent.run.folder import Claim, RunFolder, create
from descent.run.state import State as RunState

_NEVER = 10**9  # steps between statistics, which are rank 0's


class Follower(Loop):
    """A loop whose rows and log are in a folder that ends with it. Checkpoints and commands are rank 0's."""

    def __init__(self, name: str, signals: Signals | None) -> None:
        self._place = tempfile.TemporaryDirectory(prefix="descent-rank-")
        folder = create(Path(self._place.name), "rank", preset_text({}, None), {})
        super().__init__(Claim(folder), name, keep=1, statistics_every=_NEVER, signals=signals)

    def _find_place(self) -> tuple[State | None, int, float]:
        assert self._ranks is not None
        told = self._ranks.receive()
        saved = None
        if told["is_saved"]:
            saved, _complaints = checkpoint.latest(RunFolder(Path(told["folder"])))
            if saved is None or saved["step"] != told["step"]:
                raise DescentError(
                    _(
                        "{folder}: the checkpoint that rank 0 goes on from can't be read by rank {rank}; the folder "
                        "of runs must be the same for all",
                        folder=told["folder"],
                        rank=job.rank(),
                    )
                )
        return saved, told["step"], 0.0

    @property
    def _is_forked(self) -> bool:
        return False

    def _restore_random(self, state: State) -> None:
        """Random numbers stay this process's own. Those in the checkpoint are rank 0's."""

    def _take_commands(self) -> int | None:
        assert self._ranks is not None

        def take(command: str, arguments: dict[str, Any]) -> None:
            entry = {"command": command, "arguments": arguments, "step": self._step}
            self._handler.follow(Again(entry, self.warn))

        return self._ranks.follow(self._step, take)

    def warn(self, message: str) -> None:
        """Rank 0 says it."""

    def save(self, *, wanted: bool = False) -> Path | None:
        """Rank 0 saves."""
        self._save_wanted = False
        return None

    def end(self, state: RunState, *, reason: str | None = None, receipt: Path | None = None) -> None:
        super().end(state, reason=reason, receipt=receipt)
        self._place.cleanup()
