"""The language of checks: Python's syntax, read with ast. Nodes on an allow list are evaluated; nothing is compiled.

An expression has no loops and no attributes. Its size, its depth, its exponents and the elements of all its arrays
together are bounded. Whoever wrote it, it therefore ends soon and needs little memory.
"""

import ast
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean, did_you_mean, show
from engine.labs.checks import operations
from engine.labs.checks.operations import LARGEST, MOST_WORK, is_true

LONGEST = 1000  # characters
DEEPEST = 40  # levels
_NODES = (ast.Constant, ast.Name, ast.Call, ast.keyword, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp,
          ast.List, ast.Tuple, ast.Subscript, ast.Slice)  # fmt: skip
_LITERALS = (bool, int, float, str, type(None))


class ExpressionError(DescentError):
    """An expression can't be read, or has no value. The text names the expression and says why."""


def parse(source: str) -> ast.expr:
    """Return the expression's tree. Raises ExpressionError if a node is not on the allow list."""
    if len(source) > LONGEST:
        raise _unreadable(source, _("is longer than {most} characters", most=LONGEST))
    return _parse(_one_line(source))


def _one_line(source: str) -> str:
    """Return the expression on one line. Line breaks have no meaning, so a long one may have several lines."""
    return " ".join(source.split("\n")).strip()


def _unreadable(source: str, reason: str) -> ExpressionError:
    return ExpressionError(f"{show(source)}: {reason}")


@cache
def _parse(source: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            tree = ast.parse(source, mode="eval").body
    except SyntaxError as error:
        raise _unreadable(source, clean(error.msg)) from None
    except (ValueError, MemoryError, RecursionError):
        raise _unreadable(source, _("can't be read")) from None
    _check(tree, source, DEEPEST)
    return tree


def evaluate(source: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    """Return the value of an expression: a number, a truth value, a text, an array, a list, or any function's result.

    names: may compute a value when it is asked for. Raises ExpressionError if a name, a type, a shape or a size is
    wrong. Other errors of a function pass through.
    """
    return _Evaluation(source, names, functions).value(parse(source))


# --- reading ---


def _check(node: ast.AST, source: str, levels: int) -> None:
    """Raise ExpressionError if something in the tree is not on the allow list."""
    if levels == 0:
        raise _unreadable(source, _("is nested more than {most} levels deep", most=DEEPEST))
    reason = _refusal(node)
    if reason:
        raise _unreadable(source, reason)
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, ast.expr_context | ast.operator | ast.unaryop | ast.boolop | ast.cmpop):
            _check(inner, source, levels - 1)


def _refusal(node: ast.AST) -> str:
    """Return why a node is not part of the language, or "" if it is."""
    reason = ""
    match node:
        case ast.Constant(value=value) if not isinstance(value, _LITERALS):
            reason = _("{type} is not allowed", type=type(value).__name__)
        case ast.Name(id=name) if name.startswith("_"):
            reason = _("a name must not begin with _")
        case ast.Call(func=function) if not isinstance(function, ast.Name):
            reason = _("only a function can be called, by its name")
        case ast.keyword(arg=None) | ast.Starred():
            reason = _("* and ** before arguments are not allowed")
        case ast.UnaryOp(op=ast.Invert()):
            reason = _("~ is not allowed: use not")
        case ast.BinOp(op=op) if type(op) not in operations.ARITHMETIC:
            reason = _("the operator {name} is not allowed", name=type(op).__name__)
        case ast.Compare(ops=ops) if not all(type(op) in operations.COMPARISONS for op in ops):
            reason = _("`is` is not allowed: use ==")
        case ast.Attribute(attr=name):
            reason = _(".{name} is not allowed: use a function", name=clean(name))
        case _ if not isinstance(node, _NODES):
            reason = _("{type} is not part of the language of checks", type=type(node).__name__)
    return reason


# --- evaluating ---


class _Evaluation:
    def __init__(self, source: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> None:
        self._source = _one_line(source)
        self._names = names
        self._functions = functions
        self._work = 0

    def value(self, node: ast.expr) -> Any:
        try:
            with np.errstate(all="ignore"):
                found = operations.simple(self._value(node))
        except ZeroDivisionError:
            raise self._error(node, _("division by zero")) from None
        except (OverflowError, MemoryError):
            raise self._error(node, _("is too large")) from None
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, np.linalg.LinAlgError) as error:
            raise self._error(node, str(error) or type(error).__name__) from None
        self._count(node, found)
        return found

    def _value(self, node: ast.expr) -> Any:
        found: Any
        match node:
            case ast.Constant(value=value):
                found = value
            case ast.Name(id=name):
                found = self._name(node, name)
            case ast.List(elts=items) | ast.Tuple(elts=items):
                found = [self.value(item) for item in items]
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                found = operations.negated(self.value(operand))
            case ast.UnaryOp(op=op, operand=operand):
                value = operations.operand(self.value(operand))
                found = -value if isinstance(op, ast.USub) else +value
            case ast.BinOp(left=left, op=op, right=right):
                found = operations.arithmetic(type(op), self.value(left), self.value(right))
            case ast.BoolOp(op=op, values=values):
                found = self._both_or_either(isinstance(op, ast.And), values)
            case ast.Compare():
                found = self._comparison(node)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                found = self.value(body if is_true(self.value(test)) else orelse)
            case ast.Subscript(value=inner, slice=index):
                found = operations.item(self.value(inner), self._index(index))
            case ast.Call(func=ast.Name(id=name)):
                found = self._call(node, name)
            case _:
                raise AssertionError(f"{type(node).__name__} is on the allow list, but can't be evaluated")
        return found

    def _name(self, node: ast.expr, name: str) -> Any:
        try:
            return self._names[name]
        except KeyError:
            if name in self._functions:
                raise self._error(node, _("is a function: it needs (…)")) from None
            raise self._error(node, f"{_('no such name')}{did_you_mean(name, self._names)}") from None

    def _call(self, node: ast.Call, name: str) -> Any:
        function = self._functions.get(name)
        if function is None:
            raise self._error(node.func, f"{_('no such function')}{did_you_mean(name, self._functions)}")
        arguments = [self.value(argument) for argument in node.args]
        words = {word.arg: self.value(word.value) for word in node.keywords if word.arg is not None}
        inspect.signature(function).bind(*arguments, **words)  # its TypeError says which argument is wrong
        return function(*arguments, **words)

    def _both_or_either(self, both: bool, values: Sequence[ast.expr]) -> bool:
        return all(is_true(self.value(v)) for v in values) if both else any(is_true(self.value(v)) for v in values)

    def _comparison(self, node: ast.Compare) -> Any:
        left, result = self.value(node.left), True
        for op, other in zip(node.ops, node.comparators, strict=True):
            right = self.value(other)
            result = operations.both(result, operations.compared(type(op), left, right))
            if result is False:
                break
            left = right
        return result

    def _index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Slice):
            parts = [None if part is None else self.value(part) for part in (node.lower, node.upper, node.step)]
            return slice(*parts)
        if isinstance(node, ast.Tuple):
            return tuple(self._index(part) for part in node.elts)
        return self.value(node)

    def _count(self, node: ast.expr, value: Any) -> None:
        size = value.size if isinstance(value, np.ndarray) else 1
        self._work += size
        if size > LARGEST:
            raise self._error(node, _("has {size:,} elements; at most {most:,} are allowed", size=size, most=LARGEST))
        if self._work > MOST_WORK:
            raise self._error(node, _("is too much work"))

    def _error(self, node: ast.expr, reason: str) -> ExpressionError:
        part = ast.get_source_segment(self._source, node) or self._source
        return ExpressionError(f"{clean(part)[:200]}: {clean(reason)[:500]}")
