"""Every name and function that a check's expression can use, with its signature and an example.

Labs are read against it, so that an unknown function is refused when a lab is listed, not when a learner is graded.
The tables in presets/labs/README.md are made from it: `python -m tests.tools.check_functions`.
"""

import ast
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from descent.common.i18n import _, ngettext
from descent.common.text import did_you_mean
from engine.labs.checks import evaluator


@dataclass(frozen=True)
class Function:
    """A function. signature: as Python would write it. gives: the value of the example, if that needs no run."""

    signature: str
    description: str
    example: str
    gives: str = ""

    @property
    def name(self) -> str:
        return self.signature.partition("(")[0]

    @cached_property
    def _arguments(self) -> ast.arguments:
        [definition] = ast.parse(f"def {self.signature}: pass").body
        assert isinstance(definition, ast.FunctionDef)
        return definition.args

    @property
    def least(self) -> int:
        """How many arguments it takes at least."""
        return len(self._arguments.args) - len(self._arguments.defaults)

    @property
    def most(self) -> int | None:
        """How many positional arguments it takes at most, or None if any number of them."""
        return None if self._arguments.vararg is not None else len(self._arguments.args)

    @property
    def keywords(self) -> frozenset[str]:
        return frozenset(one.arg for one in (*self._arguments.args, *self._arguments.kwonlyargs))


@dataclass(frozen=True)
class Name:
    """A name. shape: of its value; M members, N samples."""

    name: str
    shape: str
    description: str


_SCORES = ("accuracy", "balanced_accuracy", "f1", "r2", "rmse")
_SPLITS = ("train", "validation", "test")


def _of_code(signature: str, example: str, *, description: str) -> Function:
    return Function(signature, description, example)


def _pure(signature: str, example: str, gives: str, *, description: str) -> Function:
    return Function(signature, description, example, gives)


OF_RUNS = (
    _of_code(
        "column(name)",
        'column("loss")[-1]',
        description="(steps, M): a column of the metrics; what was not measured is nan",
    ),
    _of_code(
        "parameter(name)",
        'parameter("weight")',
        description="(M,): the last value of a trained number, of models with at most 8",
    ),
    _of_code("setting(key)", 'setting("optimizer.lr")', description="of the learner's preset, as it is graded"),
    _of_code("predicted(id)", 'predicted("bias")', description="what the learner predicted"),
    _of_code(
        "runs(key, values, metric=None)",
        'runs("optimizer.lr", [0.1, 1.0])',
        description="final training losses of quick runs with these values, infinite where one diverged; "
        "with `metric` its mean over the members of the graded preset",
    ),
    _of_code(
        "of_part(part, expression)",
        'of_part("deep", "mean(test_loss)")',
        description="an expression about another part",
    ),
    _of_code(
        "transferred(kind)",
        'transferred("loaded")',
        description="names of layers that `model.from` gave: `loaded`, `adapted` to other channels, `skipped`, "
        "left `fresh`; or that are `frozen`",
    ),
)
OF_CODE = (
    _of_code(
        "learner(function, *arguments)",
        'learner("slope", 2.0)',
        description="what the function returns, tensors as arrays; 10 s a call",
    ),
    _of_code(
        "learner_raises(function, *arguments)", 'learner_raises("slope", "x")', description="whether the call raises"
    ),
    _of_code(
        "differences(function, point, *arguments)",
        'differences("loss", [1.0, 2.0])',
        description="central finite differences of the learner's function at `point`",
    ),
    _of_code("has(function)", 'has("slope")', description="whether the file defines it"),
    _of_code("imports(module)", 'not imports("numpy")', description="from the file's syntax tree"),
    _of_code("source()", '"backward" in source()', description="the text of the file"),
    _of_code(
        "scratch(name)", 'scratch("quiz.pt")', description="a path in a private folder, where the code may write"
    ),
    _of_code(
        "torch_file(path)",
        'torch_file(scratch("quiz.pt"))',
        description="what a file there holds, read with `weights_only=True`",
    ),
    _of_code(
        "tensor(a)",
        'learner("mse", tensor([1.0]), tensor([2.0]))',
        description="marks an argument as a tensor, float32; whole numbers keep their type",
    ),
    _of_code("tensor64(a)", 'learner("mse", tensor64([1.0]), tensor64([2.0]))', description="the same, float64"),
    _of_code(
        "model(name)", 'calls(model("m"))', description="the preset's model, new; the same object throughout a check"
    ),
    _of_code(
        "trained(name)", 'accuracy_of(trained("m"), test_x, test_y)', description="with the graded run's weights"
    ),
    _of_code(
        "accelerated(name)",
        'learner("evaluate", accelerated("m"))',
        description="the model on the GPU where there is one",
    ),
    _of_code("optimizer(name, model)", 'optimizer("o", "m")', description="the preset's optimizer on a model"),
    _of_code("loss_function()", 'learner("train", model("m"), loss_function())', description="the preset's loss"),
    _of_code("training(model)", 'not training(model("m"))', description="whether it is in train mode now"),
    _of_code("in_training(model)", 'in_training(model("m"))', description="the model, put into train mode"),
    _of_code(
        "calls(model)", 'calls(model("m"))', description="a row for each call: samples, in train mode, with gradients"
    ),
    _of_code("state_of(model)", 'state_of(model("m"))', description="all its numbers in a row"),
    _of_code(
        "optimizer_state_of(optimizer)",
        'optimizer_state_of(optimizer("o", "m"))',
        description="all its numbers in a row",
    ),
    _of_code(
        "accuracy_of(model, x, y)",
        'accuracy_of(trained("m"), test_x, test_y)',
        description="as Descent computes it: a reference",
    ),
    _of_code(
        "loss_of(model, x, y)",
        'loss_of(trained("m"), test_x, test_y)',
        description="as Descent computes it: a reference",
    ),
    _of_code(
        "step_of(model, optimizer, x, y)",
        'step_of(model("m"), optimizer("o", "m"), train_x, train_y)',
        description="one step, as Descent takes it: a reference",
    ),
    _of_code(
        "kinks_of(model, low, high)",
        'len(kinks_of(trained("m"), -1.0, 1.0))',
        description="where a network of ReLU layers and one input bends, exactly",
    ),
)
OF_DISTANCES = (
    _pure(
        "apart(gave, wanted)",
        "apart([1.0, 2.0], [1.0, 2.5])",
        "0.5",
        description="the greatest absolute difference; a learner reads both numbers",
    ),
    _pure(
        "off(gave, wanted)",
        "off(1.5, 2.0)",
        "0.25",
        description="the greatest difference as a share of what is wanted",
    ),
)
OF_ARRAYS = (
    _pure(
        "mean(values, axis=None)",
        "mean([1, 2, 6])",
        "3.0",
        description="over all, or along an axis; so the others below",
    ),
    _pure("median(values, axis=None)", "median([1, 2, 6])", "2.0", description="the middle one"),
    _pure("sum(values, axis=None)", "sum([1, 2, 6])", "9", description=""),
    _pure("prod(values, axis=None)", "prod([1, 2, 6])", "12.0", description=""),
    _pure(
        "min(*values, axis=None)",
        "min([3, 1], 2)",
        "[2, 1]",
        description="of one array, or of several number by number",
    ),
    _pure("max(*values, axis=None)", "max([3, 1])", "3", description=""),
    _pure("argmin(values, axis=None)", "argmin([3, 1, 2])", "1", description="where the least is"),
    _pure("argmax(values, axis=None)", "argmax([3, 1, 2])", "0", description=""),
    _pure(
        "sd(values, axis=None)",
        "sd([1, 2, 3])",
        "1.0",
        description="the standard deviation of a sample; of one value 0",
    ),
    _pure("se(values, axis=None)", "se([0, 0, 2, 2]) < 1", "True", description="the standard error of the mean"),
    _pure("quantile(values, share)", "quantile([0, 10], 0.25)", "2.5", description=""),
    _pure("count(values)", "count(array([0.9, 0.99]) >= 0.95)", "1", description="how many are true"),
    _pure("any(values)", "any(array([1, 2]) > 1)", "True", description=""),
    _pure("all(values)", "all(array([1, 2]) > 1)", "False", description=""),
    _pure("norm(values)", "norm([3, 4])", "5.0", description="the root of the sum of squares"),
    _pure(
        "first(values)",
        "first(array([0, 1]) / array([0, 1]))",
        "1.0",
        description="the first finite value along axis 0",
    ),
    _pure("last(values)", "last([1, 2])", "2.0", description="the last finite value along axis 0"),
    _pure("abs(values)", "abs(-2)", "2", description=""),
    _pure("sqrt(values)", "sqrt(4)", "2.0", description=""),
    _pure("exp(values)", "exp(0)", "1.0", description=""),
    _pure("log(values)", "log(1)", "0.0", description=""),
    _pure("log10(values)", "log10(100)", "2.0", description=""),
    _pure("sin(values)", "sin(0)", "0.0", description=""),
    _pure("cos(values)", "cos(0)", "1.0", description=""),
    _pure("tanh(values)", "tanh(0)", "0.0", description=""),
    _pure("sign(values)", "sign([-3, 2])", "[-1, 1]", description=""),
    _pure("isfinite(values)", "isfinite(1.0)", "True", description=""),
    _pure("round(values, digits=0)", "round(1.26, 1)", "1.3", description=""),
    _pure("where(condition, one, other)", "where(array([1, 2]) > 1, 9, 0)", "[0, 9]", description=""),
    _pure("array(values)", "array([1, 2]) * 2", "[2, 4]", description="a list as an array"),
    _pure("range(*bounds)", "range(3)", "[0, 1, 2]", description="as Python's, as an array"),
    _pure("zeros(shape)", "zeros([2])", "[0.0, 0.0]", description=""),
    _pure("ones(shape)", "ones(2)", "[1.0, 1.0]", description=""),
    _pure("linspace(start, stop, number)", "linspace(0, 1, 3)", "[0.0, 0.5, 1.0]", description=""),
    _pure("concat(*values)", "concat([1], [2, 3])", "[1, 2, 3]", description="along axis 0"),
    _pure(
        "reshape(values, *sizes)",
        "shape(reshape(range(6), 2, 3))",
        "[2, 3]",
        description="-1 stands for the size that fits",
    ),
    _pure("transpose(values)", "shape(transpose(zeros([2, 3])))", "[3, 2]", description=""),
    _pure("cumsum(values)", "cumsum([1, 2])", "[1, 3]", description=""),
    _pure("diff(values)", "diff([1, 4])", "[3]", description="of neighbours"),
    _pure("sorted(values)", "sorted([2, 1])", "[1, 2]", description="numbers or texts"),
    _pure("unique(values)", "unique([2, 1, 2])", "[1, 2]", description="each once, in order"),
    _pure(
        "flat(values)",
        "flat([[1], [2, 3]])",
        "[1, 2, 3]",
        description="all numbers of lists in one row; they may differ in length",
    ),
    _pure("sizes(values)", "sizes([[1], [2, 3]])", "[1, 2]", description="how many numbers each element holds"),
    _pure(
        "ranked(names, values)",
        'ranked(["a", "b"], [2, 1])',
        '["b", "a"]',
        description="names by their values, the least first",
    ),
    _pure(
        "steps_below(values, height)",
        "steps_below([3, 2, 1], 2)",
        "1.0",
        description="(n, …) -> (…): the first index of a value of that height or less, inf without one",
    ),
    _pure("disjoint(*values)", "disjoint([1, 2], [3])", "True", description="whether no value is in two of them"),
    _pure("len(values)", "len([1, 2])", "2", description="along axis 0; of a text, a table"),
    _pure("shape(values)", "shape([[1, 2]])", "[1, 2]", description=""),
    _pure("dot(a, b)", "dot([1, 2], [3, 4])", "11.0", description="of two arrays of one shape"),
    _pure(
        "matmul(a, b)", "matmul([[1, 2]], [[3], [4]])[0][0]", "11", description="(…, n, k), (…, k, m) -> (…, n, m)"
    ),
    _pure(
        "least_squares(x, y)",
        "round(least_squares([0.0, 1.0], [1.0, 3.0]), 6)",
        "[1.0, 2.0]",
        description="[b, w1, …]",
    ),
    _pure(
        "largest_curvature(x)",
        "round(largest_curvature([-1.0, 1.0]), 6)",
        "2.0",
        description="λmax of (2/n) XᵀX, X with a column of ones",
    ),
)
NAMES = (
    Name("train_loss", "(M,)", description="the mean of the last epoch's rows; the others: of the last evaluation"),
    *(Name(name, "(M,)", description="") for name in ("val_loss", "test_loss")),
    *(Name(f"{split}_{score}", "(M,)", description="") for split in ("val", "test") for score in _SCORES),
    Name("ensemble_loss", "number", description="the test loss of the members' mean prediction"),
    Name("ensemble_accuracy", "number", description="its test accuracy"),
    *(Name(f"{split}_{axis}", "(N, …)", description="") for split in _SPLITS for axis in "xy"),
    *(Name(f"raw_{split}_{axis}", "(N, …)", description="") for split in _SPLITS for axis in "xy"),
    Name("seconds", "number", description="of training, the first step left out"),
    Name("cpu_seconds", "number", description="the same, of all threads"),
    Name("members", "number", description="M"),
    Name("steps", "number", description="of the graded run"),
    Name("layers", "list", description="the layers' names"),
)
FUNCTIONS = {one.name: one for one in (*OF_RUNS, *OF_CODE, *OF_DISTANCES, *OF_ARRAYS)}


def problems(source: str, further: Collection[str] = ()) -> Iterator[str]:
    """Yield what is wrong with an expression before it is evaluated: unknown names, wrong numbers of arguments.

    further: names that it can use besides. Raises ExpressionError if it can't be read at all.
    """
    known = {*(one.name for one in NAMES), *further}
    tree = evaluator.parse(source)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name not in FUNCTIONS:
                text = _(
                    "{name}(…): there is no such function{meant}", name=name, meant=did_you_mean(name, FUNCTIONS)
                )
                yield text
            case ast.Call(func=ast.Name(id=name)):
                yield from _wrong_call(FUNCTIONS[name], node)
            case ast.Name(id=name) if id(node) not in called and name in FUNCTIONS:
                yield _("{name}: is a function; it needs (…)", name=name)
            case ast.Name(id=name) if id(node) not in called and name not in known:
                yield _("{name}: there is no such name{meant}", name=name, meant=did_you_mean(name, known))


def asks_code(source: str) -> bool:
    """Return whether an expression looks at the learner's code, and not at a run alone."""
    names = {one.name for one in OF_CODE}
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(evaluator.parse(source)))


def functions_asked(source: str) -> list[str]:
    """Return the functions of the learner that an expression calls or looks for, in its order."""
    callers = {one.name for one in OF_CODE if "(function" in one.signature}
    return [
        str(node.args[0].value)
        for node in ast.walk(evaluator.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in callers
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]


def _wrong_call(function: Function, call: ast.Call) -> Iterator[str]:
    given = len(call.args) + len(call.keywords)
    for keyword in call.keywords:
        if keyword.arg not in function.keywords:
            yield _("{signature}: takes no {name}=…", signature=function.signature, name=keyword.arg)
    if given < function.least or (function.most is not None and len(call.args) > function.most):
        yield ngettext(
            "{signature}: is called with {count} argument",
            "{signature}: is called with {count} arguments",
            given,
            signature=function.signature,
        )
    if (
        function.name == "of_part"
        and isinstance(call.args[-1], ast.Constant)
        and isinstance(call.args[-1].value, str)
    ):
        yield from problems(call.args[-1].value)
