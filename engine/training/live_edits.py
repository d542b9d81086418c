"""Changes of a run between two steps: live edits, a longer training, another batch size."""

import math
from typing import Any

import torch

from descent.common import settings
from descent.common.errors import DescentError, PresetError
from descent.common.i18n import _
from descent.common.settings import key_of
from descent.common.text import clean, did_you_mean, shorten
from descent.loop import checkpoint
from descent.loop.checkpoint import State
from descent.run.live_settings import KEYS, OF_ONE_MEMBER, SWITCHES, edits_of, latest, mark_of
from engine.preset.loading import Preset
from engine.training.build import batch_size
from engine.training.train_state import TrainState

MOST_STEPS = 10**12  # the fastest loop would take decades


def edit(run: TrainState, texts: list[str]) -> dict[str, Any]:
    """Change live settings by `texts` ("key=value"). Returns the values that are now in force.

    Either all texts take effect or, if one is wrong, none. lr_scale multiplies the scheduled rate. data.augment is a
    switch. train.batch_size takes effect with the next epoch. With "member=3" among the texts, the others are for
    that member alone.
    Raises DescentError, which says what can't be changed, and what can.
    """
    given, problems = settings.parse(texts, "")
    if problems or not given:
        raise DescentError("\n".join(problems) or _("give at least one key=value"))
    edits = {".".join(override.path): override.value for override in given}
    member = _member(run, edits)
    for key in edits:
        if key not in KEYS:
            raise DescentError(_refusal(key))
        if member is not None and key not in OF_ONE_MEMBER:
            raise DescentError(
                _(
                    "{key} can't be set for one member alone; these can: {keys}",
                    key=key,
                    keys=", ".join(OF_ONE_MEMBER),
                )
            )
    told = zip((".".join(override.path) for override in given), texts, strict=True)
    new = [f"{mark_of(member)}{key}={text.partition('=')[2].strip()}" for key, text in told if key != "member"]
    _take(run, [*run.edits, *new])
    return edits


def restore(run: TrainState, texts: list[str]) -> None:
    """Restore the settings of a checkpoint, which holds the edits made until then."""
    torch.set_num_threads(run.measured["threads"])
    run.statistics_every = run.measured["statistics_every"]
    _take(run, list(texts), checked=False)


def go_to(run: TrainState, state: State) -> float:
    """Restore the settings and the state of a checkpoint. Returns the seconds trained until then.

    Raises DescentError if the checkpoint does not fit. The run is then as it was before.
    """
    before = checkpoint.copied(run.capture(0.0))
    try:
        restore(run, state["edits"])
        return run.restore(state)
    except Exception as error:
        restore(run, before["edits"])
        run.restore(before)
        if not isinstance(error, RuntimeError | ValueError | KeyError | DescentError):
            raise
        reason = " ".join(shorten(clean(line.strip()), 200) for line in str(error).splitlines()[:3])
        raise DescentError(
            _(
                "the checkpoint does not fit the model as it is now, so the run stays where it is ({reason})",
                reason=reason,
            )
        ) from None


def _member(run: TrainState, edits: dict[str, Any]) -> int | None:
    """Take the member that the edits are for out of them. None for all members."""
    if "member" not in edits:
        return None
    member = edits.pop("member")
    count = len(run.members)
    if isinstance(member, bool) or not isinstance(member, int) or not 0 <= member < count:
        raise DescentError(
            _("member {member!r}: this run has the members 0 to {last}", member=member, last=count - 1)
        )
    if not edits:
        raise DescentError(
            _("member={member}: give what to change, as in member={member} optimizer.lr=0.01", member=member)
        )
    return member


def _take(run: TrainState, edits: list[str], *, checked: bool = True) -> None:
    """Train under these edits alone from now on. Edits that a later one replaces are dropped."""
    edits = latest(edits)
    settings = [_under(run, edits, member) for member in range(len(run.members))]
    hands = [_switch(edits, "lr_scale", 1.0, member) for member in range(len(run.members))]
    for hand in hands:
        if isinstance(hand, bool) or not isinstance(hand, int | float) or not 0 <= hand < math.inf:
            raise DescentError(_("{key} = {given!r}: must be a number ≥ 0", key="lr_scale", given=hand))
    augments = _switch(edits, "data.augment", run.augmentation is not None, 0)
    if not isinstance(augments, bool):
        raise DescentError(_("data.augment = {given!r}: must be true or false in a live run", given=augments))
    if augments and run.augmentation is None:
        raise DescentError(_("data.augment = true: the preset has no augmentation to switch on"))
    train = settings[0].train
    if checked:
        _check(run, settings)
    run.settle(settings, [float(hand) for hand in hands])
    run.edits = edits
    run.batches.augment = run.augmentation if augments else None
    if train.threads != "auto":
        torch.set_num_threads(train.threads)
    if train.statistics_every != "auto":
        run.statistics_every = train.statistics_every


def _under(run: TrainState, edits: list[str], member: int) -> Preset:
    """Return a member's preset with its edits, checked as a whole, as when a preset is loaded."""
    own = {key_of(text): text for text in edits_of(edits, member) if key_of(text) not in SWITCHES}
    preset = run.members[member].preset
    try:
        return preset.changed(list(own.values())) if own else preset
    except PresetError as error:
        raise DescentError(str(error).replace("--set: ", "")) from None


def _switch(edits: list[str], key: str, otherwise: Any, member: int) -> Any:
    """Return the latest value of a live setting that presets don't have, or `otherwise` if none was set."""
    given = settings.parse([text for text in edits_of(edits, member) if key_of(text) == key])[0]
    return given[-1].value if given else otherwise


def _check(run: TrainState, settings: list[Preset]) -> None:
    old, new = run.preset.train, settings[0].train
    for name in ("threads", "statistics_every"):
        if getattr(new, name) == "auto" != getattr(old, name):
            raise DescentError(
                _("{key} = auto is measured before a run's first step; give a number", key=f"train.{name}")
            )
    built = [getattr(member.preset.model, "dropout", 0.0) for member in run.members]
    shares = [getattr(preset.model, "dropout", 0.0) for preset in settings]
    if shares != built and not run.has_dropout():
        raise DescentError(_("model.dropout: this model was built without dropout; start another run with it"))
    if shares != built and run.processes > 1:
        raise DescentError(
            _("model.dropout: {count} processes train this run, and dropout works in one only", count=run.processes)
        )
    samples = run.batches.samples
    if run.batches.fixed:
        if new.batch_size != old.batch_size:
            raise DescentError(
                _(
                    "train.batch_size: the class of train.code makes its loaders itself, in loaders(), with a size "
                    "of their own"
                )
            )
        return
    if isinstance(new.batch_size, int) and new.batch_size != old.batch_size and new.batch_size > samples:
        raise PresetError(
            _(
                "train.batch_size = {size} is larger than the training split, which has {samples} samples; "
                'allowed: 1 to {samples}, or "full"',
                size=new.batch_size,
                samples=samples,
            )
        )
    batch_size(settings[0], samples, run.fewest)


def extend(run: TrainState, *, epochs: int = 0, steps: int = 0) -> int:
    """Train that much longer, and return the new last step. A schedule with an end is stretched to it from now on."""
    for name, value in (("epochs", epochs), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise DescentError(_("{key} = {given!r}: must be a whole number ≥ 1", key=name, given=value))
    more = epochs * run.batches.per_epoch + steps
    if more == 0:
        raise DescentError(_("give the number of epochs or steps to add"))
    left = run.total_steps - run.step
    if run.total_steps + more > MOST_STEPS:
        raise DescentError(
            _(
                "{total:,} steps in all; a run may have at most {most:,}",
                total=run.total_steps + more,
                most=MOST_STEPS,
            )
        )
    run.pace.extend(run.preset.schedule, run.step, left, left + more)
    run.total_steps += more
    return run.total_steps


def _refusal(key: str) -> str:
    """Return the message for a key that is not a live setting, with the one that was probably meant."""
    short = {name.rpartition(".")[2]: name for name in KEYS}
    short |= dict.fromkeys(("rate", "learning_rate", "optimizer.learning_rate"), "optimizer.lr")
    meant = did_you_mean(short.get(key, key), KEYS)
    text = _("{key} can't be changed in a live run; allowed: {keys}", key=key, keys=", ".join(KEYS))
    if key in ("train.epochs", "train.steps"):
        return f"{text}; {_('to train longer: descent extend')}"
    return f"{text}{meant}"


def begin_epoch(run: TrainState) -> int | None:
    """Take over a batch size that was set in the epoch before. Returns the new size in samples, or None."""
    if run.batches.fixed:
        return None
    samples = run.batches.samples
    size = batch_size(run.preset, samples, run.fewest)
    if size == run.batches.size:
        return None
    before, left = run.batches.per_epoch, run.total_steps - run.step
    run.batches.resize(size)
    now = run.batches.per_epoch
    left_now = left if run.preset.train.epochs is None else math.ceil(left * now / before)
    run.pace.resize(run.preset.schedule, run.step, before / now, left, left_now)
    run.total_steps = run.step + left_now
    return size if size is not None else samples
