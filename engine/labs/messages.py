"""The error of a lab's check, and texts that several modules share."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import likely, show


class CheckError(DescentError):
    """A check is not met, or can't be evaluated. The text says why.

    raised: what the learner's code raised: kind, type, message, line and code; or message alone, of a graded run.
    """

    raised: Mapping[str, Any] = MappingProxyType({})


def line_named(text: str, file: str) -> int | None:
    """Return the line of `file` that one of these texts names, in either language."""
    found = re.search(rf"{re.escape(file)}[,:]? (?:line (\d+)|(\d+)번째 줄)", text)
    return int(found[1] or found[2]) if found else None


# {what}: a function or the learner's file. {place}: PLACE or PLACE_AND_CODE.
PLACE = N_("({file}, line {line})")
PLACE_AND_CODE = N_('({file}, line {line}: "{code}")')
SYNTAX = N_("{what} can't be read as Python: {error} {place}")
NO_CODE = N_("this lab has no file of code")


def no_lab(word: str, ids: Iterable[str]) -> str:
    """Return that there is no such lab, with the likely meant one, or else with all labs."""
    meant = likely(word, ids)
    if meant is not None:
        return _("{word}: no such lab; did you mean {meant}?", word=show(word), meant=meant)
    return _("{word}: no such lab; there are: {names}", word=show(word), names=", ".join(sorted(ids)) or "–")
