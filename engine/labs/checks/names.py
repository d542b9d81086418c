"""The names that a check's expressions can use: of the graded run, the data, the learner's code, and distances."""

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descent.common.errors import NOT_PYTHON, DescentError
from descent.common.i18n import _
from descent.run.layout import Layout
from descent.run.result_metrics import OF_RESULTS, MetricName, metric_named
from engine.labs import messages
from engine.labs.checks import evaluator
from engine.labs.checks.functions import FUNCTIONS, central_differences, last
from engine.labs.checks.operations import arithmetic
from engine.labs.graded_runs import CheckContext, Graded
from engine.labs.messages import CheckError
from engine.labs.sandbox.client import RaisedError
from engine.labs.sandbox.wire import Handle, Marked, described
from engine.labs.submission import Part, settings

MOST_SHOWN = 3  # numbers of each array; of longer ones only the pair that is farthest apart is shown

Distance = Callable[[Any, Any], NDArray[np.float64]]


@dataclass(frozen=True)
class Pair:
    """Numbers that were given, and the wanted ones in the same order. distance: the greatest between two of them."""

    gave: tuple[float, ...]
    wanted: tuple[float, ...]
    distance: float

    def is_beyond(self, other: "Pair | None") -> bool:
        """Return whether this distance is the greater one. nan is the greatest."""
        return other is None or not self.distance <= other.distance


def apart(gave: Any, wanted: Any) -> NDArray[np.float64]:
    """Return the absolute difference of each number."""
    return np.abs(np.asarray(arithmetic(ast.Sub, gave, wanted), np.float64))


def off(gave: Any, wanted: Any) -> NDArray[np.float64]:
    """Return the absolute difference of each number, relative to the wanted one."""
    return np.abs(np.asarray(arithmetic(ast.Sub, arithmetic(ast.Div, gave, wanted), 1.0), np.float64))


def pair(distance: Distance, gave: Any, wanted: Any) -> Pair:
    """Return the numbers to show. Raises ValueError if the two can't be compared, or are empty."""
    found = distance(gave, wanted)
    if not found.size:
        raise ValueError(_("takes at least one number, and got none"))
    given, goal = (np.broadcast_to(np.asarray(one, np.float64), found.shape).ravel() for one in (gave, wanted))
    distances = found.ravel()
    farthest = int(np.argmax(np.where(np.isnan(distances), np.inf, distances)))
    shown = slice(None) if found.size <= MOST_SHOWN else slice(farthest, farthest + 1)
    return Pair(tuple(given[shown].tolist()), tuple(goal[shown].tolist()), float(distances[farthest]))


def imported(source: str, file: str) -> set[str]:
    """Return the modules that `source` imports, with their packages: "torch.nn" and "torch".

    Names that the program puts together while it runs are not found. Raises CheckError if `source` is not Python.
    """
    try:
        tree = ast.parse(source)
    except NOT_PYTHON as error:
        place = f"({file}, line {error.lineno})" if isinstance(error, SyntaxError) else ""
        message = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise CheckError(_(messages.SYNTAX, what=file, error=message, place=place)) from None
    names: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=found):
                names |= {one.name for one in found}
            case ast.ImportFrom(module=module, names=found) if module:
                names |= {module, *(f"{module}.{one.name}" for one in found)}
            case ast.Call(func=ast.Name(id="__import__") | ast.Attribute(attr="import_module"), args=[first, *_]):
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    names.add(first.value)
    return {".".join(name.split(".")[:n]) for name in names for n in range(1, name.count(".") + 2)}


OF_ENSEMBLE: dict[str, MetricName] = {"ensemble_loss": "test_loss", "ensemble_accuracy": "test_accuracy"}
OF_RUNS = {
    *OF_RESULTS,
    *OF_ENSEMBLE,
    "seconds",
    "cpu_seconds",
    "members",
    "steps",
    "layers",
    "column",
    "parameter",
    "trained",
    "transferred",
}
OF_MODELS = {"model", "trained", "optimizer", "accelerated", "loss_function", "state_of", "optimizer_state_of"}
OF_MODELS |= {"accuracy_of", "loss_of", "step_of", "calls", "training", "in_training", "kinks_of"}
OF_CODE = {"learner", "learner_raises", "has", "differences", "torch_file", *OF_MODELS}
OF_DATA = {
    f"{raw}{split}_{axis}" for raw in ("", "raw_") for split in ("train", "validation", "test") for axis in "xy"
}
_ASKED = (
    "training",
    "calls",
    "state_of",
    "optimizer_state_of",
    "accuracy_of",
    "loss_of",
    "step_of",
    "kinks_of",
    "torch_file",
)
_AXES = {"x": "inputs", "y": "targets"}
_SINGLE_STEP = 1e-2  # step of differences in float32, which rounds to about 1e-7


class Names(Mapping[str, Any]):
    """Values by name. Each is made when it is first asked for."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        self._makers, self._made = dict(makers), dict[str, Any]()

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def give(self, name: str, value: Any) -> None:
        """Let a name stand for this value from now on."""
        self._makers[name] = lambda: value
        self._made[name] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


class Scope:
    """The names and functions of one part of a lab.

    returned: the name and last value of the learner's function, for messages. pair: the numbers that apart(…) or
    off(…) found farthest apart.
    """

    def __init__(self, material: CheckContext, part: Part = None, *, timed: bool = False) -> None:
        self._material, self._part, self._timed = material, part, timed
        self.returned: tuple[str, str] | None = None
        self.called: dict[str, list[Any]] = {}  # arguments of the latest call of each of the learner's functions
        self.pair: Pair | None = None
        self.names = Names(self._names())
        self.functions: dict[str, Callable[..., Any]] = {**FUNCTIONS, **self._functions()}

    def evaluate(self, source: str) -> Any:
        """Return the value of an expression. Raises DescentError; a CheckError is written for the learner."""
        return evaluator.evaluate(source, self.names, self.functions)

    # --- names ---

    def _names(self) -> dict[str, Callable[[], Any]]:
        material, part, timed = self._material, self._part, self._timed
        makers: dict[str, Callable[[], Any]] = {name: self._metric(name) for name in OF_RESULTS}
        makers |= {name: self._ensemble(name) for name in OF_ENSEMBLE}
        makers |= {name: self._split(name) for name in OF_DATA}
        return makers | {
            "seconds": lambda: material.time(part, lambda run: run.seconds(), timed=timed),
            "cpu_seconds": lambda: material.time(part, lambda run: run.cpu_seconds(), timed=timed),
            "members": lambda: len(self._run("members").members),
            "steps": lambda: self._run("steps").result.step,
            "layers": lambda: [layer["name"] for layer in self._layers()],
        }

    def _layers(self) -> tuple[dict[str, str], ...]:
        layout: Layout | None = self._run("layers").layout
        assert layout is not None
        return layout.layers

    def _run(self, name: str) -> Graded:
        return self._material.run(self._part, name, timed=self._timed)

    def _metric(self, name: MetricName) -> Callable[[], Any]:
        return lambda: self._run(name).metric(name)

    def _ensemble(self, name: str) -> Callable[[], float]:
        return lambda: self._run(name).of_ensemble(OF_ENSEMBLE[name])

    def _split(self, name: str) -> Callable[[], Any]:
        words = name.removeprefix("raw_")
        split, _, axis = words.rpartition("_")
        return lambda: self._material.split(self._part, split, _AXES[axis], raw=words != name)

    # --- functions ---

    def _functions(self) -> dict[str, Callable[..., Any]]:
        material = self._material
        ask = self._ask
        return {
            "column": lambda name: self._run("column").column(name),
            "parameter": lambda name: last(self._run("parameter").column(f"parameter.{name}")),
            "transferred": lambda of: self._run("transferred").transferred(str(of)),
            "setting": self._setting,
            "predicted": self._predicted,
            "runs": self._runs,
            "of_part": lambda name, source: Scope(material, str(name)).evaluate(str(source)),
            "learner": self._call,
            "learner_raises": self._raises,
            "differences": self._differences,
            "has": lambda name: material.learner.has(str(name)),
            "source": lambda: material.source,
            "imports": lambda name: str(name) in imported(material.source, f"{material.lab.id}.py"),
            "scratch": lambda name: str(material.scratch / str(name).replace("/", "_")),
            "tensor": lambda a: Marked(np.asarray(a), "float32"),
            "tensor64": lambda a: Marked(np.asarray(a), "float64"),
            "model": lambda name: Handle("model", str(name)),
            "trained": lambda name: Handle("trained", str(name)),
            "accelerated": lambda name: Handle("accelerated", str(name)),
            "optimizer": lambda name, of: Handle("optimizer", str(name), str(of)),
            "loss_function": lambda: Handle("loss", "loss"),
            "in_training": ask("training"),
            "apart": self._distance(apart),
            "off": self._distance(off),
            **{name: ask(name) for name in _ASKED},
        }

    def _ask(self, what: str) -> Callable[..., Any]:
        return lambda *arguments: self._material.learner.ask(what, *arguments)

    def _distance(self, distance: Distance) -> Callable[..., float]:
        def greatest(gave: Any, wanted: Any) -> float:
            found = pair(distance, gave, wanted)
            if found.is_beyond(self.pair):
                self.pair = found
            return found.distance

        return greatest

    def _runs(self, key: str, values: Any, metric: str | None = None) -> Any:
        wanted = np.asarray(values).tolist()
        if metric is None:
            return np.array(self._material.last_losses(self._part, key, wanted))
        known = metric_named(metric)
        if known is None or known.name not in OF_RESULTS:
            there = ", ".join(OF_RESULTS)
            raise CheckError(_("runs: {metric} is no metric; there are {there}", metric=metric, there=there))
        return np.array(self._material.mean_metrics(self._part, key, wanted, known.name))

    def _setting(self, key: str) -> Any:
        found = settings(self._material.lab.id, self._material.presets[self._part])
        if key not in found:
            raise CheckError(_("setting({key}): the graded preset has no such key", key=key))
        return found[key]

    def _predicted(self, key: str) -> Any:
        if key not in self._material.predictions:
            raise CheckError(_("there is no prediction {key}", key=key))
        return self._material.predictions[key]

    def _call(self, name: str, *arguments: Any) -> Any:
        self.called.pop(str(name), None)  # the latest is the last
        self.called[str(name)] = list(arguments)
        value = self._material.learner.call(str(name), list(arguments))
        self.returned = str(name), described(value)
        return value

    def _raises(self, name: str, *arguments: Any) -> bool:
        try:
            self._call(name, *arguments)
        except RaisedError:
            return True
        return False

    def _differences(self, name: str, point: Any, *arguments: Any) -> Any:
        def value(at: Any) -> float:
            given = Marked(at, point.dtype) if isinstance(point, Marked) else at
            return float(np.asarray(self._call(name, given, *arguments)).reshape(()))

        at = point.array if isinstance(point, Marked) else point
        single = isinstance(point, Marked) and point.dtype == "float32"
        return central_differences(value, at, _SINGLE_STEP if single else 1e-5)


def used(source: str, part: Part) -> set[tuple[Part, str]]:
    """Return the names in an expression, each with its part. The expression in an of_part(…) is read too."""
    found: set[tuple[Part, str]] = set()
    for node in ast.walk(evaluator.parse(source)):
        if isinstance(node, ast.Name):
            found.add((part, node.id))
        match node:
            case ast.Call(
                func=ast.Name(id="of_part"), args=[ast.Constant(value=str(of)), ast.Constant(value=str(inner))]
            ):
                try:
                    found |= used(inner, of)
                except DescentError:
                    continue  # its evaluation will report the error
    return found
