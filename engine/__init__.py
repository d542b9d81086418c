"""Descent's engine: everything but the screen. Importing it loads neither torch nor pydantic.

The public names are loaded when they are first used.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.control import NotRunningError as NotRunningError
    from engine.control import RefusedError as RefusedError
    from engine.errors import DescentError as DescentError
    from engine.errors import PresetError as PresetError
    from engine.handle import Run as Run
    from engine.handle import attach as attach
    from engine.handle import start as start
    from engine.preset import Preset as Preset
    from engine.preset import load_preset as load_preset

_HOMES = {
    "DescentError": "engine.errors",
    "NotRunningError": "engine.control",
    "Preset": "engine.preset",
    "PresetError": "engine.errors",
    "RefusedError": "engine.control",
    "Run": "engine.handle",
    "attach": "engine.handle",
    "load_preset": "engine.preset",
    "start": "engine.handle",
}

__all__ = [
    "DescentError",
    "NotRunningError",
    "Preset",
    "PresetError",
    "RefusedError",
    "Run",
    "attach",
    "load_preset",
    "start",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
