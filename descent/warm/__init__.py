"""Processes that begin at once: forks of one that has PyTorch imported already.

`hold` starts that one and keeps it alive. `start` and `run` start a process, forked from it where it is there. The
program of that one is `server`.
"""

from descent.warm.client import Process, hold, run, start
from descent.warm.request import read_once

__all__ = ["Process", "hold", "read_once", "run", "start"]
