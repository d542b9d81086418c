"""The beginning of a worker in a process of its own."""

import os
import time

from descent import warm
from descent.common.errors import CannotGoOnError
from descent.common.i18n import _
from descent.common.text import clean
from descent.run.folder import RunFolder
from descent.run.schema import EventReader

_LOOK = 0.01  # seconds between looks at a worker that is starting
_started: list[warm.Process] = []


def wait_for_start(process: warm.Process, folder: RunFolder, log: EventReader) -> None:
    """Wait until a worker has taken the run. log: has read all that was written before the worker was started.

    Raises CannotGoOnError if it ends before that.
    """
    _started.append(process)  # a Popen that is deleted while its child lives would warn
    while True:
        ended = process.poll() is not None  # checked first, so that what it wrote before its end is still read below
        if any(event.get("pid") == process.pid for event in log.read()):
            return  # it writes its pid before it loads torch
        if ended:
            said = [clean(line) for line in folder.output.read_text(errors="replace").splitlines() if line.strip()]
            reason = said[-1] if said else _why_silent(folder)
            raise CannotGoOnError(_("{run}: its worker ended at once: {reason}", run=folder.id, reason=reason))
        time.sleep(_LOOK)


def _why_silent(folder: RunFolder) -> str:
    """Return why a worker's log is empty: it can't be written on a full disk."""
    return _("it printed nothing") if os.statvfs(folder.path).f_bavail else _("the disk is full")
