"""What is behind a criterion that is not met: the row of a table of mistakes that fits what happened."""

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from descent.common.errors import NOT_PYTHON
from descent.common.i18n import _
from engine.labs import messages

UNFILLED = "unfilled"  # the id of the explanation of a function that the learner has not written yet
CLOSE = 1e-4  # a share of the wanted value, within which one number is a multiple of another


@dataclass(frozen=True)
class Failure:
    """What is known of a criterion that is not met.

    error: "TypeError: message", empty if nothing was raised. code, line: of the learner's own line. source: of the
    functions that the check called, without comments. gave, wanted: numbers that the check compares. sizes: lengths
    of what the function was given. returned: what it returned, in words. about: the check's expressions. seen: by the
    name of an observation, what engine.labs.sandbox.observer found.
    """

    error: str = ""
    code: str = ""
    line: int | None = None
    source: str = ""
    gave: tuple[float, ...] = ()
    wanted: tuple[float, ...] = ()
    sizes: frozenset[int] = frozenset()
    returned: str = ""
    about: str = ""
    diverged: bool = False  # the graded run
    seen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """What all given numbers are divided by the wanted ones, if that is the same for all of them."""
        pairs = [(gave, wanted) for gave, wanted in zip(self.gave, self.wanted, strict=True) if wanted]
        if not pairs or any(gave for gave, wanted in zip(self.gave, self.wanted, strict=True) if not wanted):
            return None
        ratios = [gave / wanted for gave, wanted in pairs]
        same = all(math.isclose(one, ratios[0], rel_tol=CLOSE) for one in ratios)
        return ratios[0] if same and math.isfinite(ratios[0]) else None


@dataclass(frozen=True)
class Explanation:
    """id: of the mistake. text: in the current language, with the learner's line if it is known."""

    id: str
    text: str
    line: int | None = None
    code: str = ""

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "text": self.text, "line": self.line, "code": self.code}


Judge = Callable[[Failure], Mapping[str, Any] | None]  # the fields of the text, or None if it does not fit


@dataclass(frozen=True)
class Mistake:
    """A row. All that it gives must fit: pattern, code, source and about are regular expressions. pattern is
    searched in the error; where it is empty, there must be none.

    without: one that must not be in the source. seen: the name of an observation. value: judges the numbers. The
    text's fields are the named groups of `pattern`, what was observed, and what `value` returns.
    """

    id: str
    text: str
    pattern: str = ""
    code: str = ""
    source: str = ""
    without: str = ""
    about: str = ""
    seen: str = ""
    value: Judge | None = None

    def fields(self, failure: Failure) -> Mapping[str, Any] | None:
        """Return the fields of the text if the failure is this mistake, else None."""
        match = re.search(self.pattern or r"\A\Z", failure.error, re.DOTALL)
        texts = ((self.code, failure.code), (self.source, failure.source), (self.about, failure.about))
        is_told = all(re.search(pattern, text) for pattern, text in texts)
        is_excluded = bool(self.without and re.search(self.without, failure.source))
        judged = {} if self.value is None else self.value(failure)
        seen = failure.seen.get(self.seen) if self.seen else {}
        if match is None or not is_told or is_excluded or judged is None or seen is None:
            return None
        return {**match.groupdict(), **seen, **judged}


def explain(failure: Failure, file: str, mistakes: Iterable[Mistake]) -> Explanation | None:
    """Return what the first of `mistakes` that fits says of a failure, with the learner's line. file: its name."""
    for mistake in mistakes:
        found = mistake.fields(failure)
        if found is not None:
            line, code = found.get("line", failure.line), found.get("code", failure.code)
            return Explanation(mistake.id, _text(mistake, found, file, line, code), line, code)
    return None


def _text(mistake: Mistake, found: Mapping[str, Any], file: str, line: int | None, code: str) -> str:
    text = _(mistake.text, **{key: value for key, value in found.items() if key not in ("line", "code")})
    if line is None or not mistake.seen:  # the error names the place already
        return text
    return f"{text} {_(messages.PLACE_AND_CODE if code else messages.PLACE, file=file, line=line, code=code)}"


def source_of(text: str, names: Sequence[str]) -> str:
    """Return the functions of these names, and those of the file that they call, without comments and docstrings."""
    with suppress(*NOT_PYTHON):
        functions = {node.name: node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
        wanted, found = list(names), dict[str, str]()
        while wanted:
            name = wanted.pop()
            if name in functions and name not in found:
                node = functions[name]
                if ast.get_docstring(node) is not None:
                    node.body = node.body[1:] or [ast.Pass()]
                found[name] = ast.unparse(node)
                wanted += [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]
        return "\n".join(found.values())
    return ""
