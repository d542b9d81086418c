"""The names by which keys can be bound anew, and what is wrong with those in the settings."""

import importlib
import pkgutil
from collections.abc import Iterable, Iterator
from typing import Any

from textual.binding import Binding
from textual.dom import DOMNode

from engine.texts import clean, did_you_mean, likely


def names() -> set[str]:
    """The id of every binding of the app, its screens and its widgets. Imports all of them: for when it is needed."""
    import tui.screens
    import tui.widgets
    from tui.app import DescentApp

    for package in (tui.screens, tui.widgets):
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{package.__name__}.{module.name}")
    ours = [kind for kind in _all_below(DOMNode) if kind.__module__.startswith("tui.")]
    bindings = (binding for kind in {*ours, DescentApp} for binding in kind.__dict__.get("BINDINGS", ()))
    return {binding.id for binding in bindings if isinstance(binding, Binding) and binding.id}


def problem(keys: Iterable[str]) -> str | None:
    """A line for each name that there is not; None where all are good."""
    known = names()
    wrong = [key for key in keys if key not in known]
    return (
        "\n".join(f"settings.toml, [keys]: {clean(key)}: no such binding{_hint(key, known)}" for key in wrong) or None
    )


def _hint(key: str, known: set[str]) -> str:
    hint = did_you_mean(key, sorted(known))
    if hint:
        return hint
    groups = sorted({name.partition(".")[0] for name in known})
    group = likely(key.partition(".")[0], groups)
    allowed = sorted(name for name in known if group and name.startswith(f"{group}."))
    return f"; there are {', '.join(allowed or groups)}{'' if allowed else ', each with .name'}"


def _all_below(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        yield below
        yield from _all_below(below)
