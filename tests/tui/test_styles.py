"""A rule that never matches leaves a part of the screen as nobody meant it, and says nothing."""

import importlib
import pkgutil
import re

from textual.dom import DOMNode
from textual.screen import Screen

import tui

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def test_a_rule_of_a_class_of_the_app_reaches_its_part() -> None:
    """Textual looks for the rules of a part below that part alone, unless the part says otherwise.

    In ASCII mode Home had a scrollbar of blocks, and the layers' histograms on a narrow screen were four in a row.
    """
    parts = {part for module in pkgutil.walk_packages(tui.__path__, "tui.") for part in _parts(module.name)}
    assert len(parts) > 50
    lost = {
        f"{part.__module__}.{part.__qualname__}: {selector}"
        for part in parts
        if part.SCOPED_CSS
        for selector in _selectors(part.__dict__.get("DEFAULT_CSS", "") + (_of_screen(part)))
        if selector.startswith(".")
    }
    assert lost == set()


def _parts(module: str) -> list[type[DOMNode]]:
    found = vars(importlib.import_module(module)).values()
    return [each for each in found if isinstance(each, type) and issubclass(each, DOMNode)]


def _of_screen(part: type[DOMNode]) -> str:
    return part.__dict__.get("CSS") or "" if issubclass(part, Screen) else ""


def _selectors(css: str) -> list[str]:
    """Return the outermost selectors."""
    found, depth = [], 0
    for piece in re.findall(r"[^{}]+|[{}]", _COMMENT.sub("", css)):
        if piece in "{}":
            depth += 1 if piece == "{" else -1
        elif depth == 0:
            found += [selector.strip() for selector in piece.split(",") if selector.strip()]
    return found
