"""A worker's hold on its run, taken before torch is loaded: from then on everybody can see that it is taken."""

import os
import socket

from engine.run import Events, RunFolder, WorkerLock


class Claim:
    """The run's lock, and its log, which says first that a worker is starting. DescentError where another has it."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self._lock = WorkerLock(folder)
        self.events = Events(folder)
        self.events.state("starting", pid=os.getpid(), host=socket.gethostname())
        self.events.write("stage", stage="torch")

    def release(self) -> None:
        self.events.close()
        self._lock.release()
