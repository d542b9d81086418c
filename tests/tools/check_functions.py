"""Bring the tables of names and functions in presets/labs/README.md up to date with the code.

python -m tests.tools.check_functions
"""

import sys
from collections.abc import Iterable
from pathlib import Path

from engine.labs.checks import catalogue
from engine.labs.checks.catalogue import Function

PAGE = Path(__file__).parents[2] / "presets" / "labs" / "README.md"
BEGIN, END = "<!-- made by python -m tests.tools.check_functions -->", "<!-- end -->"


def tables() -> str:
    """The part of the page, as the code has it."""
    names = [f"| `{one.name}` | {one.shape} | {one.description} |" for one in catalogue.NAMES]
    parts = [
        "**Names**, of the graded run and its data; M members, N samples",
        "| name | | |\n| --- | --- | --- |\n" + "\n".join(names),
    ]
    for title, functions in (
        ("**Functions of the graded run**", catalogue.OF_RUNS),
        ("**Of the learner's code**, which runs in a process of its own", catalogue.OF_CODE),
        ("**Of distances**", catalogue.OF_DISTANCES),
        ("**Of arrays**", catalogue.OF_ARRAYS),
    ):
        parts += [title, _table(functions)]
    return "\n\n".join(parts)


def _table(functions: Iterable[Function]) -> str:
    lines = ["| function | | example |", "| --- | --- | --- |"]
    for one in functions:
        gives = f" → `{one.gives}`" if one.gives else ""
        lines.append(f"| `{one.signature}` | {one.description} | `{one.example}`{gives} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the part brought up to date."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
