"""Errors that a user can act on, and the exit code that each becomes."""

from enum import IntEnum

NOT_PYTHON = (SyntaxError, ValueError, RecursionError, MemoryError)  # what parsing a text raises that is no program


class ExitCode(IntEnum):
    """Exit codes, for a shell or a batch system."""

    DONE = 0
    CHECK_FAILED = 1
    WRONG_USE = 2
    NON_FINITE = 3
    DATA_MISSING = 4
    CANNOT_GO_ON = 5
    BUG = 70
    INTERRUPTED = 130
    TERMINATED = 143


class DescentError(Exception):
    """An error that the user can correct. Its text is shown as it is, without a traceback."""

    exit_code = ExitCode.WRONG_USE


class PresetError(DescentError):
    """A preset, or an override of one, holds something that is not allowed."""


class DamagedError(DescentError, ValueError):
    """A file of a run holds something that Descent did not write.

    It is a ValueError too, so that code that lists many runs can skip this one.
    """


class DataError(DescentError):
    """The data were found, but can't be trained on (a NaN, a label out of range, a wrong image size)."""


class DataMissingError(DescentError):
    """The data are not on this machine."""

    exit_code = ExitCode.DATA_MISSING


class CannotGoOnError(DescentError):
    """The machine is at its limit (memory, disk), or the worker has died."""

    exit_code = ExitCode.CANNOT_GO_ON


class NonFiniteError(DescentError):
    """The loss or a gradient became NaN or infinite."""

    exit_code = ExitCode.NON_FINITE
