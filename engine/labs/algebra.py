"""The functions of the language of checks that are linear algebra."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.labs.operations import MOST_WORK, array, bound

Array = NDArray[Any]
Floats = NDArray[np.float64]


def matmul(a: Any, b: Any) -> Any:
    """The product of matrices, (…, n, k) and (…, k, m)."""
    left, right = array(a), array(b)
    _bound_product(left, right)
    return left @ right


def dot(a: Any, b: Any) -> Any:
    """The sum of products of two arrays of one shape."""
    left, right = array(a).astype(np.float64), array(b).astype(np.float64)
    if left.shape != right.shape:
        raise ValueError(f"takes two arrays of one shape, not {left.shape} and {right.shape}")
    return float(np.sum(left * right))


def least_squares(x: Any, y: Any) -> Floats:
    """b and w of the least squared error of y ≈ b + x w. x: (n, d) or (n,); y: (n,) or (n, 1). -> (1 + d,)."""
    design = _with_ones(x)
    targets = array(y).astype(np.float64).ravel()
    if len(targets) != len(design):
        raise ValueError(f"x has {len(design)} rows, y has {len(targets)}")
    return np.asarray(np.linalg.lstsq(design, targets, rcond=None)[0], np.float64)


def largest_curvature(x: Any) -> float:
    """λmax of (2/n) XᵀX, the Hessian of the mean squared error; X is x with a column of ones. x: (n, d) or (n,)."""
    design = _with_ones(x)
    return float(np.linalg.eigvalsh(2 / len(design) * design.T @ design)[-1])


def _with_ones(x: Any) -> Floats:
    found = array(x).astype(np.float64)
    if found.ndim == 0 or not found.size:
        raise ValueError("takes an array of one row or more")
    rows = found.reshape(len(found), -1)
    if rows.shape[0] * (rows.shape[1] + 1) ** 2 > MOST_WORK:
        raise ValueError(f"is too much work for x of shape {found.shape}")
    return np.hstack([np.ones((len(rows), 1)), rows])


def _bound_product(left: Array, right: Array) -> None:
    inner = left.shape[-1] if left.ndim else 1
    outer = math.prod(left.shape[:-1]) * (math.prod(right.shape) // (inner or 1))
    bound(outer)
    if outer * inner > 100 * MOST_WORK:
        raise ValueError("is too much work")
