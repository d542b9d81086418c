"""A program for tests: it prints what it finds itself to be, then does what its first argument says."""

import atexit
import gzip
import json
import os
import random
import resource
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from descent.common import i18n
from descent.common.machine import die_with_parent

_open: list[Any] = []


def left_to_write(folder: Path) -> None:
    _open.extend([(folder / "open").open("w"), gzip.open(folder / "gzip", "wt")])  # noqa: SIM115
    for file in _open:
        file.write("open")
    threading.Timer(0.2, (folder / "thread").write_text, ["thread"]).start()
    atexit.register((folder / "end").write_text, "end")


def main(what: str = "", *further: str) -> None:
    """what: a number is its exit code, "raise" and "sleep" do so, "threads" tells of PyTorch's.

    "later" waits for a byte from the descriptor that is named next, "bound" dies with the process that started it.
    "write" leaves files, a thread and a handler of its end that have something to write into the folder named next.
    """
    import numpy as np

    facts = {
        "pid": os.getpid(),
        "session": os.getsid(0),
        "folder": os.getcwd(),
        "arguments": sys.argv[1:],
        "variables": dict(os.environ),
        "umask": os.umask(0),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "ignored": [int(one) for one in signal.valid_signals() if signal.getsignal(one) is signal.SIG_IGN],
        "blocked": [int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "descriptors": sorted(int(one) for one in os.listdir("/proc/self/fd")),
        "tasks": len(os.listdir("/proc/self/task")),
        "input": sys.stdin.read(),
        "language": i18n.language(),
        "random": [random.random(), float(np.random.rand())],
    }
    if what == "threads":
        import torch

        facts["threads"] = torch.get_num_threads()
    print(json.dumps(facts), flush=True)
    if what == "later":
        os.read(int(further[0]), 1)
        sys.exit(6)
    if what == "bound":
        die_with_parent()
    if what in ("sleep", "bound"):
        time.sleep(600)
    if what == "write":
        left_to_write(Path(further[0]))
    if what == "raise":
        raise RuntimeError(what)
    if what.isdigit():
        sys.exit(int(what))


if __name__ == "__main__":
    main(*sys.argv[1:])
