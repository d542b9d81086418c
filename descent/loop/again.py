"""A script that is started anew by its own command line, because its run goes back to a checkpoint.

So goes back a loop that nothing drives, and that begins at run.step. The process keeps its id and its terminal.
"""

import atexit
import multiprocessing
import os
from dataclasses import dataclass

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop import relay
from descent.loop.folder import command_of, is_typed, start_of
from descent.loop.project import check_there
from descent.run.folder import RunFolder

_PAUSED = "DESCENT_LOOP_PAUSED"


@dataclass(frozen=True)
class _Wanted:
    command: list[str]
    variables: dict[str, str]
    folder: str


_wanted: _Wanted | None = None


def want(folder: RunFolder, *, is_paused: bool) -> None:
    """Have the script started anew at the end of this process. Raises DescentError if that can't be."""
    global _wanted  # noqa: PLW0603 - a process has one script
    begun = start_of(folder)
    if begun is None or is_typed():
        raise DescentError(_("a notebook can't be started anew; write its loop over run.batches or run.steps"))
    check_there(folder.id, "resume", begun)
    command, variables = command_of(folder, begun)
    _wanted = _Wanted(command, variables | ({_PAUSED: "1"} if is_paused else {}), begun["folder"])


def is_wanted() -> bool:
    return _wanted is not None


def was_paused() -> bool:
    """Return whether the run was paused when it went back, so that it is to go on so. Asked again it says no."""
    return os.environ.pop(_PAUSED, "") == "1"


def start_at_exit() -> None:
    """Start the script anew at the end of this process, if that is wanted then."""
    pid = os.getpid()

    def start() -> None:
        if _wanted is None or os.getpid() != pid:
            return
        for process in multiprocessing.active_children():  # such as workers of a loader
            process.terminate()
        os.chdir(_wanted.folder)
        os.execve(_wanted.command[0], _wanted.command, {**os.environ, **_wanted.variables, **relay.handed_on()})

    atexit.register(start)
