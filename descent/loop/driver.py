"""What drives a loop of one's own: the turns of run.steps, or the epochs and batches of run.batches."""

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.loop.checkpoint import State
from descent.loop.kept import Kept

Batch = TypeVar("Batch")
UNITS = {"batches": "epochs", "steps": "steps"}  # what a loop is counted in


@dataclass
class Driver:
    """How far a driven loop is, and how long it is."""

    kind: str = ""  # "steps", "batches", or "" while nothing of ours drives the loop
    library: str = ""  # whose loop it is, such as "Lightning", if a library drives it and calls Descent
    begins_at: int = 0  # the updates that the library's own checkpoint stands after
    total: int | None = None  # turns, or epochs, as the script gave them; of a library's loop updates
    length: int | None = None  # batches of an epoch; of a library's loop updates
    reasons: list[str] = field(default_factory=list)  # why a resumed run may see other batches
    turn: int = 0
    epoch: int = 0
    batch: int = 0
    begun: State | None = None  # the random generators as they were when this epoch's batches were begun
    more: int = 0  # turns or epochs that a command has added
    turns_a_step: int = 1  # of the last step: several where gradients are gathered
    turns_since: int = 0

    @property
    def is_over(self) -> bool:
        assert self.total is not None
        return (self.turn if self.kind == "steps" else self.epoch) >= self.total + self.more

    @property
    def epoch_is_over(self) -> bool:
        """Whether this turn has the last batch of its epoch. False where an epoch's length is not known."""
        return self.kind == "batches" and self.batch > 0 and self.batch == self.length

    @property
    def has_epochs(self) -> bool:
        return self.kind == "batches" or bool(self.library and self.length)

    def why_not_resumed(self) -> str:
        """Return why a loop that nothing of ours drives does not go on from our checkpoint."""
        if self.library:
            return _("{library} drives this loop; it goes on from its own checkpoints", library=self.library)
        return _("nothing drives this loop; run.batches or run.steps would")

    def why_no_rewind(self) -> str:
        if self.library:
            return _(
                "{library} drives this loop and can't go back in it; start it again from a checkpoint of {library}",
                library=self.library,
            )
        return _(
            "the loop of this script begins anew whenever it is started, so it can't go back; write it over "
            "run.batches or run.steps, or let it begin at run.step"
        )

    def why_no_more(self) -> str:
        if self.library:
            return _("{library} drives this loop and knows its length; start it anew with more", library=self.library)
        return _("nothing drives this loop, so its length is not known; run.batches or run.steps would let it grow")

    @property
    def epochs(self) -> int:
        """All epochs of the loop, with those that a command has added."""
        assert self.total is not None
        return self.total + self.more

    def opened(self, loader: Iterable[Batch], kept: Kept, device: torch.device) -> Iterator[Batch]:
        """Return the batches that are left of the epoch, by the same random numbers as when it was begun."""
        set_epoch = getattr(getattr(loader, "sampler", None), "set_epoch", None)
        if callable(set_epoch):
            set_epoch(self.epoch)
        if not self.batch or self.begun is None:
            self.begun = kept.randomness(device)
            return iter(loader)
        now = kept.randomness(device)
        kept.restore_randomness(self.begun, device)
        source = iter(loader)
        for _batch in range(self.batch):
            next(source)
        kept.restore_randomness(now, device)
        return source

    def next_epoch(self) -> None:
        self.epoch, self.batch, self.begun = self.epoch + 1, 0, None

    def step_made(self) -> None:
        self.turns_a_step, self.turns_since = max(1, self.turns_since), 0

    def total_steps(self) -> int | None:
        """The last step, as far as it is known."""
        if self.total is None:
            return None
        turns = self.epochs
        if self.kind == "batches":
            if self.length is None:
                return None
            turns *= self.length
        return max(1, turns // self.turns_a_step)

    def steps_per_epoch(self) -> int | None:
        return None if self.length is None else max(1, self.length // self.turns_a_step)

    def steps_to_end_of_epoch(self) -> int:
        """The steps that are left of the epoch, or, at its end, of the next one. Its length must be known."""
        assert self.length is not None
        return max(1, (self.length - self.batch % self.length) // self.turns_a_step)

    def extend(self, **more: int) -> None:
        """Make the loop longer, by `epochs` or by `steps`. Raises DescentError if it is not counted so."""
        for name, value in more.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise DescentError(_("{key} = {given!r}: must be a whole number ≥ 1", key=name, given=value))
        unit = UNITS.get(self.kind)
        if unit is None:
            raise DescentError(self.why_no_more())
        wanted = {name for name, value in more.items() if value}
        if wanted != {unit}:
            raise DescentError(_("this loop is counted in {unit}: descent extend RUN --{unit} N", unit=unit))
        self.more += more[unit] * (self.turns_a_step if unit == "steps" else 1)

    def state(self) -> dict[str, Any] | None:
        """Return what a checkpoint holds of it. None while nothing drives the loop."""
        if not self.kind:
            return None
        at: dict[str, Any] = {"driver": self.kind, "turn": self.turn, "more": self.more}
        if self.epoch_is_over:
            return at | {"epoch": self.epoch + 1, "batch": 0, "begun": None}
        return at | {"epoch": self.epoch, "batch": self.batch, "begun": self.begun}

    def restore(self, at: State) -> None:
        self.turn, self.epoch, self.batch = at["turn"], at["epoch"], at["batch"]
        self.begun, self.more, self.turns_since = at["begun"], at["more"], 0


def length_of(loader: Iterable[Any]) -> int | None:
    try:
        return len(loader) if isinstance(loader, Sized) else None
    except TypeError:  # a DataLoader of an iterable data set without a length
        return None


def generators_of(loader: Any) -> dict[str, torch.Generator]:
    """Return the random generators of a DataLoader's own, by the names that they are tracked under."""
    found: dict[str, torch.Generator] = {}
    for owner in ("", "sampler", "batch_sampler"):
        generator = getattr(getattr(loader, owner, None) if owner else loader, "generator", None)
        if isinstance(generator, torch.Generator) and not any(generator is known for known in found.values()):
            found[f"{owner or 'loader'}_generator"] = generator
    return found


def doubts_about(loader: Any) -> list[str]:
    """Return why the batches of a resumed run may not be those of a run that was not interrupted."""
    if isinstance(loader, Iterator):
        return [_("the batches come from an iterator, which can't begin again")]
    if getattr(loader, "persistent_workers", False):
        return [_("persistent_workers: the random numbers of workers that stay are in no checkpoint")]
    return []
