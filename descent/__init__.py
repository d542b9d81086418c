"""Descent as a library: start a training run, attach to one, steer it and read what it has recorded; or make a run
of a training loop of one's own: `descent.init`.

    run = await descent.start("digits-mlp", ["train.epochs=100000"])
    await run.set("optimizer.lr=0.01")
    await run.wait_for_epoch(3)
    await run.stop()
    print(await run.wait(), run.summary()["metrics"])

`descent.sync` has the same without `await`, for scripts and notebooks. `descent.lightning`, `descent.transformers`,
`descent.accelerate` and `descent.keras` have callbacks for those. Importing it loads neither PyTorch nor the schema
of presets. Each name is loaded when it is first used.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from descent import sync as sync
    from descent.common.errors import CannotGoOnError as CannotGoOnError
    from descent.common.errors import DataMissingError as DataMissingError
    from descent.common.errors import DescentError as DescentError
    from descent.control import NotRunningError as NotRunningError
    from descent.control import RefusedError as RefusedError
    from descent.handle import Run as Run
    from descent.handle import attach as attach
    from descent.handle import runs as runs
    from descent.handle import start as start
    from descent.learned import load as load
    from descent.loop.start import init as init
    from descent.loop.watched import Loop as Loop
    from descent.run.metrics import Metrics as Metrics

_HOMES = {
    "CannotGoOnError": "descent.common.errors",
    "DataMissingError": "descent.common.errors",
    "DescentError": "descent.common.errors",
    "Loop": "descent.loop.watched",
    "Metrics": "descent.run.metrics",
    "NotRunningError": "descent.control",
    "RefusedError": "descent.control",
    "Run": "descent.handle",
    "attach": "descent.handle",
    "init": "descent.loop.start",
    "runs": "descent.handle",
    "load": "descent.learned",
    "start": "descent.handle",
}

_MODULES = ("accelerate", "keras", "lightning", "sync", "transformers")

__all__ = ["CannotGoOnError", "DataMissingError", "DescentError", "Loop", "Metrics", "NotRunningError",
           "RefusedError", "Run", "attach", "init", "load", "runs", "start", "sync"]  # fmt: skip


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"descent.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'descent' has no attribute {name!r}", name=name, obj=sys.modules[__name__])
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
