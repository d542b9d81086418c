"""Pictures of every kind from plain arrays, as a worker would have made them."""

from typing import Any

import numpy as np

from descent.run.histograms import SHARES
from engine.pictures import Picture


def of(kind: str, **changed: Any) -> Picture:
    """A small picture of that kind at step 1,200; `changed` arrays take the place of its own."""
    arrays = {name: np.asarray(value) for name, value in (_MADE[kind]() | changed).items()}
    return Picture(kind, 1200, arrays)


def _boundary() -> dict[str, Any]:
    x = np.linspace(-1, 1, 20)
    second = np.broadcast_to(1 / (1 + np.exp(-6 * x)), (20, 20))
    return {
        "x": x,
        "y": np.linspace(0, 4, 20),
        "probability": np.stack([1 - second, second], axis=2),
        "points": np.array([[-0.5, 1.0], [-0.6, 3.0], [0.5, 1.0], [0.5, 3.0]]),
        "labels": [0, 0, 1, 1],
        "predicted": [0, 0, 1, 1],
        "validation": [False, True, False, True],
        "classes": ["cat", "dog"],
        "inputs": ["width", "height"],
    }


def _fit() -> dict[str, Any]:
    x = np.linspace(0, 1, 50)
    return {
        "x": x,
        "y": x[:, None],
        "points": [[0.2], [0.8]],
        "targets": [[0.6], [0.2]],
        "validation": [False, True],
        "inputs": ["x"],
    }


def _surface() -> dict[str, Any]:
    x, y = np.linspace(-1, 3, 30), np.linspace(-1, 2, 30)
    return {
        "x": x,
        "y": y,
        "loss": (x - 2) ** 2 + (y[:, None] - 1) ** 2,
        "path": [[0.0, 0.0], [1.0, 0.5], [1.5, 0.8]],
        "path_steps": [0, 1, 2],
        "path_source": "recorded",
        "now": [1.5, 0.8],
        "minimum": [2.0, 1.0],
        "names": ["weight", "bias"],
    }


def _confusion() -> dict[str, Any]:
    counts = [[18, 0, 2], [0, 20, 0], [5, 0, 15]]
    return {"counts": counts, "classes": ["cat", "dog", "고양이"], "split": "validation", "looked_at": 60, "of": 60}


def examples() -> dict[str, Any]:
    """Samples of three cells of the confusion matrix: two of cat → cat, two of 고양이 → cat, one of cat → 고양이."""
    return {
        "images": np.linspace(0, 255, 5 * 64).reshape(5, 1, 8, 8).astype(np.uint8),
        "true": [2, 0, 0, 2, 0],
        "predicted": [0, 2, 0, 0, 0],
        "probability": [0.9, 0.75, 1.0, 0.6, 0.99],
        "index": [3, 14, 15, 9, 26],
    }


def _mistakes() -> dict[str, Any]:
    ramp = np.linspace(0, 255, 64).reshape(8, 8).astype(np.uint8)
    return {
        "images": np.stack([ramp, ramp.T, 255 - ramp])[:, None],
        "true": [4, 3, 7],
        "predicted": [9, 8, 1],
        "probability": [0.98, 0.9, 0.51],
        "mistakes": 3,
        "classes": list("0123456789"),
        "split": "validation",
        "looked_at": 180,
        "of": 180,
    }


def _filters() -> dict[str, Any]:
    edge = np.array([[-1, 0, 1]] * 3, float)
    return {
        "filters": np.stack([edge, edge.T, -edge, -edge.T])[:, None],
        "scale": np.ones(4),
        "layer": "conv1",
        "kind": "conv 1 → 4, 3 × 3",
        "of": 4,
    }


def _histograms() -> dict[str, Any]:
    return {
        "layers": ["hidden1", "head"],
        "kinds": ["linear 64 × 64", "linear 64 × 10"],
        "counts": [[1, 2, 4, 8, 8, 4, 2, 1], [0, 0, 0, 9, 1, 0, 0, 1]],
        "edges": [np.linspace(-1, 1, 9), np.linspace(-0.5, 0.25, 9)],
        "zeros": [0.0, 0.25],
        "mean": [0.0, -0.1],
        "std": [0.4, 0.1],
        "non_finite": [0, 0],
    }


def _paths() -> dict[str, Any]:
    along = np.linspace(0, 1, 11)[:, None]
    bent = np.concatenate([2 * along**2, along], axis=1)
    return _surface() | {"optimizers": ["GD", "Adam"], "rates": [0.5, 0.05], "means": [0.1, 0.02],
                         "ways": [bent, bent[:, ::-1] * [2, 0.5]]}  # fmt: skip


def _tally() -> dict[str, Any]:
    return _boundary() | {"accuracy": [1.0, 0.75, np.nan, 0.97], "solved": [True, False, False, True], "least": 0.95,
                          "split": "train"}  # fmt: skip


def _spread() -> dict[str, Any]:
    return {
        "metric": "val_accuracy",
        "values": [0.95, 0.97, 0.96, np.nan],
        "members": [0, 1, 2, 3],
        "seeds": [0, 0, 0, 0],
        "folds": [0, 1, 2, 3],
        "group": [0, 0, 0, 0],
        "groups": [""],
        "mean": [0.96],
        "sd": [0.01],
        "se": [0.0058],
        "best": np.empty(0, int),
    }


def _trials() -> dict[str, Any]:
    return {
        "metric": "val_accuracy",
        "labels": ["size 100", "size 1000", "size 10000"],
        "values": [0.8, 0.9, 0.95],
        "sd": [0.02, 0.01, np.nan],
        "now": 1,
        "key": "data.size",
        "x": [100.0, 1000.0, 10000.0],
    }


def _gradients_by_layer() -> dict[str, Any]:
    return {
        "layers": ["hidden1", "hidden2", "head"],
        "kinds": ["linear 64 × 8", "linear 8 × 8", "linear 8 × 10"],
        "first": [0.1, 0.2, 1.0],
        "last": [1e-4, 0.0, 0.05],
        "first_step": 0,
        "last_step": 1150,
    }


def _over_time() -> dict[str, Any]:
    """Numbers that are twice as far apart at the end as at the beginning, and were not measured in between."""
    steps = np.arange(0, 1000, 100)
    values = np.linspace(-1, 1, len(SHARES)) * np.linspace(1, 2, len(steps))[:, None]
    values[4] = np.nan
    return {"steps": steps, "values": values}


def _matrix() -> dict[str, Any]:
    matrix = np.full((64, 64), np.nan)
    matrix[:2, :3] = [[1, 0, -1], [0, 0.5, 0]]
    return {"matrix": matrix, "largest": 0.25, "shape": [2, 3]}


def _followed() -> dict[str, Any]:
    """A seven that is taken for a two from step 200 on."""
    shares = np.full((4, 10), 0.01)
    shares[:2, 7], shares[2:, 2] = 0.9, 0.91
    return {
        "images": _mistakes()["images"][0],
        "steps": np.array([0, 100, 200, 400]),
        "probabilities": shares,
        "at": 3,
        "true": 7,
        "place": [1, 3],
        "classes": list("0123456789"),
    }


_MADE = {
    "boundary": _boundary,
    "fit": _fit,
    "surface": _surface,
    "confusion": _confusion,
    "mistakes": _mistakes,
    "filters": _filters,
    **dict.fromkeys(("activations", "weights", "gradients"), _histograms),
    "paths": _paths,
    "tally": _tally,
    "spread": _spread,
    "trials": _trials,
    "gradients-by-layer": _gradients_by_layer,
}
KINDS = tuple(_MADE)  # of the engine
_MADE |= {"over-time": _over_time, "matrix": _matrix, "followed": _followed}
MADE_HERE = ("over-time", "matrix", "followed")  # in tui, of what a run has recorded
