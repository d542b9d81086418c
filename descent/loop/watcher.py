"""Watches the optimizer that steps first, where a script watches none."""

from typing import Any

from descent.loop.hooks import model_of
from descent.loop.watched import Loop


class Watcher:
    """Watches the optimizers of a script that watches nothing itself."""

    def __init__(self, run: Loop) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

        self._run = run
        self._is_mine = False
        register_optimizer_step_pre_hook(self._before)
        register_optimizer_step_post_hook(self._after)

    def _before(self, optimizer: Any, *_rest: Any) -> None:
        if not self._is_mine:
            if self._run.is_watching:
                return
            model = model_of(optimizer)
            self._is_mine = True
            self._run.watch_steps(model, optimizer, restores=False)  # the script does not ask for it
            self._run.track(model=model, optimizer=optimizer)
        self._run.before_step(optimizer)

    def _after(self, optimizer: Any, *_rest: Any) -> None:
        if self._is_mine:
            self._run.after_step(optimizer)
