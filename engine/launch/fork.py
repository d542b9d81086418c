"""Forks: a new run that begins at a checkpoint of another, with the rows before it, and other settings.

    parent   0 ───── N ───── …          rows 0 … N − 1 are the same in both, so that their curves can be compared
    fork             └────── …

A replay is a fork from the first checkpoint. It gets every command of its parent again, at the same step.

A fork of a run with several members may go on with one of them alone, as a plain run.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common.errors import DescentError
from descent.common.files import JsonLines, write_json
from descent.common.i18n import N_, _, ngettext
from descent.common.settings import key_of
from descent.common.text import clean
from descent.run import histograms, samples, scalars
from descent.run.events import SCRIPT, STEERING, as_entry
from descent.run.folder import RunFolder, verify_checkpoint
from descent.run.layout import Layout
from descent.run.live_settings import SWITCHES, edits_of, is_of_presets, member_named
from descent.run.means import means_of_last_epoch
from descent.run.metrics import Metrics, MetricsWriter
from engine.pictures import kept
from engine.preset.loading import Preset, load_preset
from engine.preset.members import roster

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_KEPT_EVENTS = ("epoch", "evaluation", "batch_size", "command", "member")  # kept of the past that both runs share
_MARKS = ("replayed", "again")  # of commands: whoever goes on from them counts its own
_OF_TRAINING = (
    "data.augment",
    "data.random_labels",
    "data.kept",
)  # settings that change neither the splits nor their evaluations
_MEASURED = (
    "threads",
    "statistics_every",
    "is_chosen",
    "way",
    "device",
)  # kept by a fork, because another choice would round differently


@dataclass(frozen=True)
class Branch:
    """What a new run takes over from its parent.

    script: for a replay, the commands to give to it. member: of several, the one to go on with, as a plain run.
    notes: on checkpoints that can't be read, for the user.
    """

    parent: RunFolder
    step: int
    preset: Preset
    changed: tuple[str, ...]  # the keys that differ from the parent's settings at that step
    script: tuple[dict[str, Any], ...] | None = None
    member: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_other_data(self) -> bool:
        """Return whether its samples, or their splits, are not its parent's."""
        return any(
            (key.partition(".")[0] == "data" and not key.startswith(_OF_TRAINING))
            or key in ("members.folds", "members.samples")
            for key in self.changed
        )

    @property
    def is_replay(self) -> bool:
        return self.script is not None

    def fill(self, folder: Path) -> None:
        """Write the shared past into the new run's folder.

        Raises DescentError if the parent has lost a part of it.
        """
        parent, step = self.parent, self.step
        stored = rows_before(parent, step)
        events = self._past()
        if self.member is not None:
            events = events_of_member(events, self.member, stored, parent.facts())
        copy_past(stored, folder, step, self.member)
        if self.member is None:  # the pictures show all of the members
            kept.copy(parent.path, folder, step)
        copy_checkpoints(parent, folder, (step, *self._best()))
        write_lines(folder / "events.jsonl", events)
        if self.script is not None:
            write_lines(folder / SCRIPT, self.script)
        facts = parent.facts()
        write_json(
            folder / "parent.json",
            origin_of(parent, step, self.changed, self.notes)
            | {
                **({"replay": True} if self.is_replay else {}),
                **({"other_data": True} if self.has_other_data else {}),
                **({"fingerprint": facts["fingerprint"]} if "fingerprint" in facts else {}),
                **({} if self.member is None else {"member": self.member}),
            },
        )

    def _past(self) -> list[dict[str, Any]]:
        """Return the events that both runs share.

        Evaluations on other data are left out, and the ends of members that train again: early stopping begins anew
        if a setting is changed, or if it has ended all members.
        """
        events = shared_events(self.parent, self.step)
        if self.has_other_data:
            events = [event for event in events if event["event"] != "evaluation"]
        ends = [event for event in events if event["event"] == "member"]
        layout = Layout.load(self.parent.path)
        all_ended = layout is not None and len(ends) == len(layout.members)
        if not self.is_replay and (self.changed or all_ended):
            events = [event for event in events if event not in ends or event["state"] != "stopped early"]
        return events

    def _best(self) -> list[int]:
        """Return the step of the best model so far, if early stopping may still need its checkpoint."""
        chooses = self.preset.train.early_stopping is not None or self.preset.train.best is not None
        if not chooses or self.member is not None or self.has_other_data:
            return []
        told = [e for e in self.parent.events() if e["event"] == "checkpoint" and e["step"] == self.step]
        best = told[-1]["best"] if told else None
        if best is None or best == self.step:
            return []
        # If the file is lost, the new run reports it.
        return [best] if self.parent.checkpoint(best).exists() else []


def branch(parent: RunFolder, at: int | None, texts: Sequence[str], member: int | None = None) -> Branch:
    """Plan a fork from the checkpoint of step `at` (None: the last one), with settings changed by "key=value" texts.

    member: of several, the one that goes on alone. Raises DescentError, which lists the checkpoints, if there is none
    at that step, and PresetError if a text is wrong or its steps are trained already.
    """
    step, notes = checkpoint_to_fork(parent, at)
    if member is not None:
        check_member(parent, load_preset(parent.preset), member, step)
    before = _settings_at(parent, step, member)
    after = before.changed(texts) if texts else before
    new, old = after.flat(), before.flat()
    changed = tuple(key for key in new | old if new.get(key) != old.get(key))
    if "train.steps" in changed and after.train.steps is not None and after.train.steps <= step:
        raise after.already_at(step)  # of epochs, only the data tell the steps
    return Branch(parent, step, after, changed, member=member, notes=notes)


def checkpoint_to_fork(parent: RunFolder, at: int | None) -> tuple[int, tuple[str, ...]]:
    """Return the step of the checkpoint to fork at, and a note on each later one that can't be read.

    at: None for the last one. Raises DescentError, which lists the checkpoints, if there is none at that step.
    """
    there = parent.checkpoints()
    if not there:
        raise DescentError(_("{run} has no checkpoint yet to fork from", run=parent.id))
    step, notes = _first_intact(parent, there[::-1]) if at is None else (at, ())
    if step not in there:
        listed = ", ".join(f"{n:,}" for n in there)
        raise DescentError(
            _(
                "--at {at}: {run} has no checkpoint of that step; it has those of steps {steps}",
                at=at,
                run=parent.id,
                steps=listed,
            )
        )
    if at is not None:
        try:
            verify_checkpoint(parent.checkpoint(at))
        except ValueError as error:
            raise DescentError(
                _("--at {at}: {problem}; fork {run} at another checkpoint", at=at, problem=error, run=parent.id)
            ) from None
    return step, notes


def origin_of(parent: RunFolder, step: int, changed: Sequence[str], notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return what parent.json holds of every fork."""
    facts = parent.facts()
    return {
        "run": parent.id,
        "dir": str(parent.path.absolute()),
        "step": step,
        "changed": list(changed),
        **({"notes": list(notes)} if notes else {}),
        "measured": {key: facts[key] for key in _MEASURED if key in facts},
    }


def rows_before(parent: RunFolder, step: int) -> Metrics:
    """Return the rows of a run. Raises DescentError if those before step `step` are not all there."""
    stored = Metrics(parent.path)
    if stored.layout is None or len(stored) < step:
        raise DescentError(
            _(
                "{run} has rows of {count} steps only; fork it at an earlier checkpoint",
                run=parent.id,
                count=len(stored),
            )
        )
    return stored


def copy_past(stored: Metrics, folder: Path, step: int, member: int | None = None) -> None:
    """Write the rows and scalars before step `step` into a new run's folder: of all members, or of one alone."""
    layout, members = stored.layout, slice(None)
    assert layout is not None
    if member is not None:
        layout, members = layout_of_member(layout, member), slice(member, member + 1)
    layout.save(folder)
    scalars.copy(stored.run, folder, step)
    samples.copy(stored.run, folder, step)
    histograms.copy(stored.run, folder, len(layout.layers), step)
    if step:
        writer = MetricsWriter(folder, 0)
        for rows in stored.pieces(last=step):
            writer.append(rows[:, members])
        writer.sync()
        writer.close()


def copy_checkpoints(parent: RunFolder, folder: Path, steps: Sequence[int]) -> None:
    for saved in steps:
        shutil.copy(parent.checkpoint(saved), folder / "checkpoints")
        shutil.copy(parent.checkpoint(saved).with_suffix(".json"), folder / "checkpoints")


def _first_intact(parent: RunFolder, steps: Sequence[int]) -> tuple[int, tuple[str, ...]]:
    """Return the first of these steps whose checkpoint can be read, and a note on each before it."""
    problems: list[str] = []
    for step in steps:
        try:
            verify_checkpoint(parent.checkpoint(step))
            _readable(parent, step)
        except (ValueError, DescentError) as error:
            problems.append(str(error))
        else:
            note = N_("checkpoint {problem}: going on from step {step:,}")
            return step, tuple(_(note, problem=problem, step=step) for problem in problems)
    raise DescentError(
        _("{run} has no checkpoint that can be read: {problems}", run=parent.id, problems="; ".join(problems))
    )


def branch_to_replay(parent: RunFolder) -> Branch:
    """Plan a replay of a run, from its first checkpoint to its current step."""
    step, notes = checkpoint_to_replay(parent)
    script = script_from(parent, step)
    preset = _settings_at(parent, step)
    if preset.train.on_nan == "pause":  # no person is here to decide again
        preset = preset.changed(['train.on_nan="continue"'])
    return Branch(parent, step, preset, (), tuple(script), notes=notes)


def checkpoint_to_replay(parent: RunFolder) -> tuple[int, tuple[str, ...]]:
    """Return the step of the first checkpoint that can be read, and a note on each before it."""
    there = parent.checkpoints()
    if not there:
        raise DescentError(_("{run} has no checkpoint to replay it from", run=parent.id))
    return _first_intact(parent, there)


def script_from(parent: RunFolder, step: int) -> list[dict[str, Any]]:
    """Return the commands that a replay of a run from its checkpoint of step `step` is to be given."""
    log = _readable(parent, step).get("log", 0)
    script = [
        as_entry(event)
        for at, event in parent.events_with_positions()
        if event["event"] == "command" and event["command"] in STEERING and at >= log
    ]
    if parent.state() != "finished":
        script.append({"step": len(Metrics(parent.path)), "command": "stop", "arguments": {"how": "now"}})
    return script


def first_difference(one: RunFolder, other: RunFolder) -> int | None:
    """Return the first step whose rows differ in any bit, except for the time. None if all are the same."""
    import numpy as np

    stored = [Metrics(run.path) for run in (one, other)]
    layout = stored[0].layout
    if layout is None or layout != stored[1].layout:
        return 0
    kept = [index for index, name in enumerate(layout.columns) if name != "time"]
    shared = min(len(rows) for rows in stored)
    at = 0
    for pieces in zip(*(rows.pieces(last=shared) for rows in stored), strict=True):
        first, second = (_bits(rows[:, :, kept]) for rows in pieces)
        differs = (first != second).any(axis=(1, 2))
        if differs.any():
            return at + int(np.argmax(differs))
        at += len(differs)
    return None if len(stored[0]) == len(stored[1]) else shared


def said_of(parent: RunFolder, replay: RunFolder, differs_at: int | None) -> str:
    """Return the result of a replay, for people."""
    if differs_at is None:
        return _("the same as {run}, bit for bit", run=clean(parent.id))
    text = _("differs from {run} from step {step:,} on", run=clean(parent.id), step=differs_at)
    before, here = (run.facts().get("processes", 1) for run in (parent, replay))
    if before != here and "way" not in parent.facts():  # members are the same, however they are divided
        return f"{text}; {_divided_otherwise(before, here)}"
    if str(parent.facts().get("device", "cpu")) == "cpu" or load_preset(parent.preset).train.deterministic:
        return text
    return f"{text}; {_('on a GPU the same bits are to be expected with train.deterministic = true alone')}"


def _divided_otherwise(before: int, here: int) -> str:
    return _(
        "{before} trained it, and {here} the replay: sums of parts are rounded in another way, so the same bits are "
        "not to be expected",
        before=ngettext("{count:,} process", "{count:,} processes", before),
        here=ngettext("{count:,} process", "{count:,} processes", here),
    )


def _bits(rows: "NDArray[np.float32]") -> "NDArray[np.uint32]":
    import numpy as np

    return np.ascontiguousarray(rows).view(np.uint32)  # as integers, NaN is equal to NaN


def _settings_at(run: RunFolder, step: int, member: int | None = None) -> Preset:
    """Return the preset of the run, or of one member alone, with the live edits in force at a checkpoint."""
    edits = _readable(run, step).get("edits", [])
    if member is None:
        latest = {key_of(text): text for text in edits if is_of_presets(text)}
        preset = load_preset(run.preset, list(latest.values()))
    else:
        preset = settings_of_member(load_preset(run.preset), member, edits)
    return replace(preset, name=str(run.facts().get("preset", run.id)))


def _readable(run: RunFolder, step: int) -> dict[str, Any]:
    """Return the readable part of a checkpoint, which needs no torch. Raises DescentError if it can't be read."""
    stored = run.readable(step)
    if stored is None:
        file = clean(str(run.checkpoint(step).with_suffix(".json")))
        raise DescentError(_("{file}: no such file; fork at another checkpoint", file=file))
    return stored


def shared_events(run: RunFolder, step: int) -> list[dict[str, Any]]:
    log = _readable(run, step).get("log")
    kept = [event for event in run.events_until(step, log) if event["event"] in _KEPT_EVENTS]
    return [{key: value for key, value in event.items() if key not in _MARKS} for event in kept]


def write_lines(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    lines = JsonLines(path)
    for entry in entries:
        lines.append(entry)
    lines.sync()
    lines.close()


def check_member(parent: RunFolder, preset: Preset, member: int, step: int) -> None:
    """Raise DescentError, with the reason, if this member can't go on alone from step `step`."""
    count, name = len(roster(preset)), clean(parent.id)
    if count == 1:
        raise DescentError(
            _("--member {member}: {run} has one model; fork it without --member", member=member, run=name)
        )
    if not 0 <= member < count:
        raise DescentError(
            _("--member {member}: {run} has the members 0 to {last}", member=member, run=name, last=count - 1)
        )
    if preset.members.folds is not None:
        raise DescentError(
            _(
                "--member {member}: the members of {run} are folds, and a plain run can't train and validate on the "
                "samples of a fold; fork the whole run",
                member=member,
                run=name,
            )
        )
    if preset.members.samples is not None:
        raise DescentError(
            _(
                "--member {member}: each member of {run} has samples of its own (members.samples), and a plain run "
                "trains on all of them; fork the whole run",
                member=member,
                run=name,
            )
        )
    ended = [e for e in parent.events() if e["event"] == "member" and e["member"] == member and e["step"] < step]
    if ended:
        before = ", ".join(f"{saved:,}" for saved in parent.checkpoints() if saved <= ended[0]["step"])
        text = (
            N_("--member {member}: it stopped early at step {step:,}; fork it at an earlier checkpoint: --at {steps}")
            if ended[0]["state"] == "stopped early"
            else N_("--member {member}: it diverged at step {step:,}; fork it at an earlier checkpoint: --at {steps}")
        )
        raise DescentError(_(text, member=member, step=ended[0]["step"], steps=before))


def settings_of_member(preset: Preset, member: int, edits: Sequence[str]) -> Preset:
    """Return the settings of a plain run that trains this member. edits: the live edits of the run so far."""
    latest = {key_of(text): text for text in edits_of(edits, member) if key_of(text) not in SWITCHES}
    alone = roster(preset)[member].preset
    return alone.changed(list(latest.values())) if latest else alone


def layout_of_member(whole: Layout, member: int) -> Layout:
    return replace(whole, members=({"member": 0, "seed": whole.members[member]["seed"], "values": {}},))


def events_of_member(
    shared: Sequence[dict[str, Any]], member: int, stored: Metrics, facts: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the events of this member, as a plain run has them. stored, facts: the rows and run.json of all."""
    assert stored.layout is not None
    kept, changes = [], [event for event in shared if event["event"] == "batch_size"]
    for event in shared:
        match event:
            case {"event": "evaluation"}:
                if event["member"] == member:
                    kept.append({**event, "member": 0})
            case {"event": "command", "arguments": {"edits": [*edits]}}:
                if member_named(edits) in (None, str(member)):
                    kept.append(event)
            case {"event": "member"}:
                pass
            case {"event": "epoch"}:
                ends = [event["step"]] * len(stored.layout.members)
                means = means_of_last_epoch(stored, "loss", ends, changes, facts)
                kept.append({**event, "train_loss": means[member]})
            case _:
                kept.append(event)
    return kept
