"""A run of a loop with Accelerate: `Accelerator(log_with=descent.accelerate.DescentTracker())`.

`accelerator.init_trackers(name, config=…)` begins the run; the optimizer that steps first is watched. The loop is the
script's own, so that it can be driven by `tracker.run.batches(loader, epochs=…)` too.
"""

from typing import Any

from descent.loop import start
from descent.loop.led import Begun, evaluated, is_of_evaluation, missing
from descent.loop.watched import Loop
from descent.loop.watcher import Watcher

try:
    from accelerate.tracking import GeneralTracker
except ImportError as error:
    raise missing("accelerate", error) from error


class DescentTracker(GeneralTracker):
    """Records every step, and keeps what `accelerator.log` is given: names that begin with val, eval or test as the
    numbers of an evaluation, others as this step's own.

    Its arguments are those of descent.init.
    """

    name = "descent"
    requires_logging_directory = False
    main_process_only = False  # every process follows the commands

    def __init__(self, name: str | None = None, **options: Any) -> None:
        super().__init__()
        self._begun = Begun(name, options)
        self._run: Loop | None = None

    @property
    def run(self) -> Loop:
        """The run, which begins here if accelerator.init_trackers has been given no config."""
        if self._run is None:
            self.store_init_configuration({})
        assert self._run is not None
        return self._run

    @property
    def tracker(self) -> Loop:
        """The run, as accelerator.get_tracker("descent", unwrap=True) returns it."""
        return self.run

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        if self._run is None:
            self._run = self._begun.begin(values)
            Watcher(self._run)
        else:
            self._run.configure(values)

    def log(self, values: dict[str, Any], step: int | None = None, **_kept: Any) -> None:
        evaluated(self.run, {name: value for name, value in values.items() if is_of_evaluation(name)})
        own = {k: v for k, v in values.items() if isinstance(v, int | float) and not is_of_evaluation(k)}
        if own and not self.run.is_over:
            self.run.log(own)

    def finish(self) -> None:
        if self._run is not None and not self._run.is_over:
            start.end_current()
