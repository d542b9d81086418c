"""The settings of a loop of one's own that can be changed while it trains, and their limits."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from descent.common import settings
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.actions import error_of_script
from descent.loop.hooks import Rates
from descent.run.live_settings import LOOP_KEYS, latest, not_of_loop


@dataclass(frozen=True)
class Setting:
    """A setting that the script has declared, with its limits."""

    get: Callable[[], Any]
    set: Callable[[Any], object]
    kind: type
    minimum: float | None
    maximum: float | None


class LiveEdits:
    """Changes the optimizers' numbers and the settings that a script has declared.

    The main optimizer's keys are those of a preset, such as optimizer.lr; the next one has optimizer2.lr.
    """

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._optimizers: list[torch.optim.Optimizer] = []
        self._settings: dict[str, Setting] = {}
        self._taken: list[str] = []

    def know(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Let the numbers of these optimizers be changed. The first is the main one."""
        self._optimizers = list(optimizers)

    def declare(
        self,
        name: str,
        get: Callable[[], Any],
        set: Callable[[Any], object],  # noqa: A002 - the word that `descent set` has
        minimum: float | None,
        maximum: float | None,
    ) -> None:
        """Let a setting be changed. Raises DescentError if its value or its name is of no use."""
        kind = type(get())
        if kind not in (bool, int, float, str):
            raise DescentError(
                _(
                    "setting {name}: its value is a {kind}; it must be a bool, an int, a float or a str",
                    name=name,
                    kind=kind.__name__,
                )
            )
        if not all(part.isidentifier() for part in name.split(".")) or name in (*LOOP_KEYS, "member"):
            raise DescentError(_("setting {name}: this name can't be used; take another one", name=name))
        self._settings[name] = Setting(get, set, kind, minimum, maximum)

    def take(self, texts: list[str]) -> dict[str, Any]:
        """Change settings by "key=value" texts: all of them, or none. Returns the values now in force."""
        given, problems = settings.parse(texts, "")
        if problems or not given:
            raise DescentError("\n".join(problems) or _("give at least one key=value"))
        edits = {".".join(override.path): override.value for override in given}
        for key, value in edits.items():
            self._check(key, value)
        self._set_declared({key: value for key, value in edits.items() if key in self._settings})
        for key, value in edits.items():
            if key not in self._settings:
                self._set(key, value)
        self._taken = latest([*self._taken, *(f"{key}={_text(value)}" for key, value in edits.items())])
        return edits

    def _keys(self) -> list[str]:
        """Return the keys of all optimizers, the main one's first."""
        further = [
            f"{_section(n)}.{name}" for n in range(1, len(self._optimizers)) for name in ("lr", "weight_decay")
        ]
        return [*LOOP_KEYS, *further]

    def _optimizer(self, key: str) -> tuple[torch.optim.Optimizer, str]:
        """Return the optimizer that a key such as optimizer2.lr is of, and the name of its number."""
        section, _dot, name = key.partition(".")
        return next(one for n, one in enumerate(self._optimizers) if _section(n) == section), name

    def _check(self, key: str, value: Any) -> None:
        """Raise DescentError if this loop can't take an edit."""
        if key in self._settings:
            _check_value(key, value, self._settings[key])
            return
        allowed = (*self._keys(), *self._settings)
        if key not in allowed:
            raise not_of_loop(key, allowed)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise DescentError(_("{key} = {given!r}: must be a number ≥ 0", key=key, given=value))
        if key == "lr_scale":
            return
        optimizer, name = self._optimizer(key)
        if name == "lr" and self._rates.is_scheduled(optimizer):
            raise DescentError(
                _(
                    "{key}: this loop has a schedule of its own, which sets the rate anew; lr_scale multiplies it: "
                    "lr_scale={scale}",
                    key=key,
                    scale=0.1,
                )
            )
        if name == "weight_decay" and "weight_decay" not in optimizer.defaults:
            raise DescentError(
                _("{key}: {optimizer} has no weight decay", key=key, optimizer=type(optimizer).__name__)
            )

    def _set_declared(self, edits: Mapping[str, Any]) -> None:
        """Change settings that the script has declared. Raises DescentError if it can't; all are then as before."""
        done: list[tuple[Setting, Any]] = []
        try:
            for key, value in edits.items():
                setting = self._settings[key]
                done.append((setting, setting.get()))
                setting.set(float(value) if setting.kind is float else value)
        except Exception as error:
            for setting, value in reversed(done[:-1]):
                setting.set(value)
            raise error_of_script(error) from None

    def _set(self, key: str, value: Any) -> None:
        if key == "lr_scale":
            self._rates.scale = float(value)
            return
        optimizer, name = self._optimizer(key)
        if name == "lr":
            self._rates.set(optimizer, float(value))
            return
        decays = [group for group in optimizer.param_groups if group["weight_decay"]]
        for group in decays or optimizer.param_groups:  # a group that is to have none keeps none
            group["weight_decay"] = float(value)

    def declared(self) -> list[dict[str, Any]]:
        """Return what run.json holds of settings that no preset has: the name, the value and the limits of each."""
        found = [
            {"name": name, "value": setting.get(), "minimum": setting.minimum, "maximum": setting.maximum}
            for name, setting in self._settings.items()
        ]
        for key in self._keys()[len(LOOP_KEYS) :]:
            optimizer, name = self._optimizer(key)
            if key not in self._settings and name in optimizer.defaults:
                value = float(optimizer.param_groups[0][name])
                found.append({"name": key, "value": value, "minimum": 0.0, "maximum": None})
        return found

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        values = {name: setting.get() for name, setting in self._settings.items()}
        return {"lr_scale": self._rates.scale, "settings": values, "edits": list(self._taken)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._rates.scale, self._taken = state["lr_scale"], list(state["edits"])
        self._rates.forget()
        for name in state["settings"]:
            self.restore_one(name, state)

    def restore_one(self, name: str, state: Mapping[str, Any]) -> None:
        """Set a declared setting to the value that a checkpoint has of it, if it has one."""
        if name in self._settings and name in state["settings"]:
            self._settings[name].set(state["settings"][name])


def _section(number: int) -> str:
    """Return what the keys of an optimizer begin with. The main one has number 0."""
    return "optimizer" if number == 0 else f"optimizer{number + 1}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_value(key: str, value: Any, setting: Setting) -> None:
    """Raise DescentError if a value is not of the setting's type, or beyond its limits."""
    kinds: dict[type, tuple[type, ...]] = {float: (int, float), int: (int,), bool: (bool,), str: (str,)}
    fits = isinstance(value, kinds[setting.kind]) and (setting.kind is bool or not isinstance(value, bool))
    low, high = setting.minimum, setting.maximum
    if fits and setting.kind in (int, float):
        fits = (low is None or value >= low) and (high is None or value <= high)
    if fits:
        return
    words = {float: _("a number"), int: _("a whole number"), bool: _("true or false"), str: _("a text")}
    what = words[setting.kind]
    if low is not None and high is not None:
        what = _("{what} from {low:g} to {high:g}", what=what, low=low, high=high)
    elif low is not None or high is not None:
        what = f"{what} ≥ {low:g}" if low is not None else f"{what} ≤ {high:g}"
    raise DescentError(_("{key} = {given!r}: must be {what}", key=key, given=value, what=what))
