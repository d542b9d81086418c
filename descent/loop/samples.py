"""Recording of samples: small images and texts of a loop, thinned out as they become many."""

from typing import Any

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.run import samples
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.samples import Sample
from descent.run.scalars import check_name


class SampleRecorder:
    """Writes the samples of a run."""

    def __init__(self, folder: RunFolder, events: Events) -> None:
        self._folder, self._events = folder, events
        self._there: dict[str, list[Sample]] | None = None  # by name; None where the log must be asked

    def forget(self) -> None:
        """Ask the log anew which samples count: the run has gone back."""
        self._there = None

    def put(self, name: object, given: Any, step: int) -> None:
        """Write a sample. Raises DescentError for a wrong name, and for what is neither images nor text."""
        name, run = check_name(name), self._folder.path
        if self._there is None:
            self._there = samples.listed(run, self._folder.events())
        if name not in self._there and len(self._there) >= samples.MOST_NAMES:
            raise DescentError(
                _(
                    "run.sample({name}): a run can have samples of {most} names; give one name at many steps",
                    name=repr(name),
                    most=samples.MOST_NAMES,
                )
            )
        arrays = samples.arrays_of(name, given)
        kind = samples.kind_of(arrays)
        file = samples.write(run, name, step, arrays)
        self._events.write(samples.EVENT, step=step, name=name, kind=kind, file=file.name)
        before = [each for each in self._there.get(name, ()) if each.step < step]
        self._there = samples.keep_few(run, self._there | {name: [*before, Sample(name, step, kind, file)]})
