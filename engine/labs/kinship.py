"""A process that ends with the one that has started it, however that one ends."""

import ctypes
import signal

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel end this process, by that signal, when its parent is gone. Where it can't, nothing happens."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, int(how), 0, 0, 0)
