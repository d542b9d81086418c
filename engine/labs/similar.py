"""Code that students have in common: equal, or nearly, beyond what the lab gave all of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from keyword import iskeyword

from descent.common.i18n import _
from descent.common.numbers import percent

NEARLY = 0.8  # of the shingles of both: names, comments and layout apart
LEAST = 24  # shingles of one's own; there are not many ways to write less
_LENGTH = 6  # tokens of a shingle
_LEFT_OUT = re.compile(r'""".*?"""|\'\'\'.*?\'\'\'|#[^\n]*', re.DOTALL)
_TOKEN = re.compile(r"\w+|\"[^\"\n]*\"|'[^'\n]*'|[^\w\s]")

Shingles = frozenset[tuple[str, ...]]


@dataclass(frozen=True)
class Work:
    """What a student has handed in. code: None for a lab without. runs: ids of their runs, which nobody else has.

    account: of whoever uploaded it. Without one, two works of the same name are of one student.
    """

    student: str
    lab: str
    code: str | None
    start: str | None
    runs: frozenset[str] = frozenset()
    account: str = ""

    @property
    def who(self) -> str:
        return self.account or self.student


def similar(works: Mapping[str, Work]) -> dict[str, str]:
    """Return for each key what its work has in common with that of other students: "equal code: jun"."""
    found: dict[str, list[str]] = {key: [] for key in works}
    own = {key: own_shingles(work.code, work.start, named=False) for key, work in works.items()}
    exact = {key: own_shingles(work.code, work.start, named=True) for key, work in works.items()}
    for one, other in combinations(works, 2):
        first, second = works[one], works[other]
        if first.lab != second.lab or first.who == second.who:
            continue
        share = 0.0
        if min(len(own[one]), len(own[other])) >= LEAST:
            share = len(own[one] & own[other]) / len(own[one] | own[other])
        for key, work in ((one, second), (other, first)):
            if first.runs & second.runs:
                found[key].append(_("the same runs: {student}", student=work.student))
            if share and exact[one] == exact[other]:
                found[key].append(_("equal code: {student}", student=work.student))
            elif share >= NEARLY:
                shown = percent(share, 0)
                found[key].append(_("{share} equal code: {student}", share=shown, student=work.student))
    return {key: "; ".join(dict.fromkeys(lines)) for key, lines in found.items()}


def own_shingles(code: str | None, start: str | None, *, named: bool) -> Shingles:
    """Return the runs of tokens in the code that the lab's start does not have. named: names count."""
    return _shingles(code or "", named) - _shingles(start or "", named)


def _shingles(code: str, named: bool) -> Shingles:
    tokens = [one if named else _unnamed(one) for one in _TOKEN.findall(_LEFT_OUT.sub("", code))]
    return frozenset(tuple(tokens[at : at + _LENGTH]) for at in range(max(0, len(tokens) - _LENGTH + 1)))


def _unnamed(token: str) -> str:
    """Return a token without the name that a student has chosen."""
    is_name = (token[0].isalpha() or token[0] == "_") and not iskeyword(token)
    return "n" if is_name else token
