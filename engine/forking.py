"""A new run that begins where another stood: with its checkpoint, the rows that lead to it, and other settings.

    parent   0 ───── N ───── …          rows 0 … N − 1 are the same in both, so that their curves can be compared
    fork             └────── …

A replay is a fork from the very first checkpoint that is given every command of its parent again, at its step.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import one_member
from engine.errors import DescentError
from engine.files import JsonLines, read_json_lines, write_json
from engine.live import is_of_presets
from engine.metrics import Metrics, MetricsWriter
from engine.overrides import key_of
from engine.preset import Preset, load_preset
from engine.run import RunFolder
from engine.texts import clean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCRIPT = "replay.jsonl"
_KEPT_EVENTS = ("epoch", "evaluation", "batch_size", "command")  # of the past that both runs share
_STEERING = ("set", "extend")  # commands that change what a run computes
_MEASURED = ("threads", "statistics_every", "way", "device")  # kept by a fork: another choice would round otherwise


@dataclass(frozen=True)
class Branch:
    """What a new run takes over from its parent.

    script: the commands to give it, for a replay. member: the one of several that it goes on with, as a plain run.
    """

    parent: RunFolder
    step: int
    preset: Preset
    changed: tuple[str, ...]  # the keys that differ from the parent's settings at that step
    script: tuple[dict[str, Any], ...] | None = None
    member: int | None = None

    @property
    def is_replay(self) -> bool:
        return self.script is not None

    def fill(self, folder: Path) -> None:
        """Put the shared past into the new run's folder. DescentError where the parent has lost a part of it."""
        parent, step = self.parent, self.step
        stored = Metrics(parent.path)
        layout, there = stored.layout, len(stored)
        if layout is None or there < step:
            raise DescentError(f"{parent.id} has rows of {there} steps only; fork it at an earlier checkpoint")
        events = _shared_events(parent, step)
        members = slice(None)
        if self.member is not None:
            layout, members = one_member.layout(layout, self.member), slice(self.member, self.member + 1)
            events = one_member.events(events, self.member, stored.column("loss", self.member)[:step])
        for saved in (step, *self._best()):
            shutil.copy(parent.checkpoint(saved), folder / "checkpoints")
            shutil.copy(parent.checkpoint(saved).with_suffix(".json"), folder / "checkpoints")
        layout.save(folder)
        if step:
            writer = MetricsWriter(folder, 0)
            for rows in stored.pieces(last=step):
                writer.append(rows[:, members])
            writer.sync()
            writer.close()
        _write_lines(folder / "events.jsonl", events)
        if self.script is not None:
            _write_lines(folder / SCRIPT, self.script)
        facts = parent.facts()
        write_json(
            folder / "parent.json",
            {
                "run": parent.id,
                "dir": str(parent.path.absolute()),
                "step": step,
                "changed": self.changed,
                "measured": {key: facts[key] for key in _MEASURED if key in facts},
                **({} if self.member is None else {"member": self.member}),
            },
        )

    def _best(self) -> list[int]:
        """The step of the best model so far, where early stopping may yet want its checkpoint."""
        if self.preset.train.early_stopping is None or self.member is not None:
            return []
        told = [e for e in self.parent.events() if e["event"] == "checkpoint" and e["step"] == self.step]
        best = told[-1]["best"] if told else None
        if best is None or best == self.step:
            return []
        # In the log of a fork it is none of its own checkpoints. Where it is lost, the new run says so.
        return [best] if self.parent.checkpoint(best).exists() else []


def branch(parent: RunFolder, at: int | None, texts: Sequence[str], member: int | None = None) -> Branch:
    """A fork from the checkpoint of step `at` (the last one, for None) with settings changed by "key=value" texts.

    member: of several, the one that goes on alone. DescentError that lists the checkpoints where there is none at
    that step; PresetError where a text is wrong.
    """
    there = parent.checkpoints()
    if not there:
        raise DescentError(f"{parent.id} has no checkpoint yet to fork from")
    step = there[-1] if at is None else at
    if step not in there:
        listed = ", ".join(f"{n:,}" for n in there)
        raise DescentError(f"--at {at}: {parent.id} has no checkpoint of that step; it has those of steps {listed}")
    if member is not None:
        one_member.check(parent, load_preset(parent.preset), member, step)
    before = _settings_at(parent, step, member)
    after = before.changed(texts) if texts else before
    new, old = after.flat(), before.flat()
    changed = tuple(key for key in new | old if new.get(key) != old.get(key))
    return Branch(parent, step, after, changed, member=member)


def branch_to_replay(parent: RunFolder) -> Branch:
    """The same run once more, from its first checkpoint to the step it has come to."""
    there = parent.checkpoints()
    if not there:
        raise DescentError(f"{parent.id} has no checkpoint to replay it from")
    step = there[0]
    log = _readable(parent, step).get("log", 0)
    script = [
        {"step": event["step"], "command": event["command"], "arguments": event["arguments"]}
        for at, event in parent.events_with_positions()
        if event["event"] == "command" and event["command"] in _STEERING and at >= log
    ]
    if parent.state() != "finished":
        script.append({"step": len(Metrics(parent.path)), "command": "stop", "arguments": {"how": "now"}})
    preset = _settings_at(parent, step)
    if preset.train.on_nan == "pause":  # whoever answered is not here
        preset = preset.changed(['train.on_nan="continue"'])
    return Branch(parent, step, preset, (), tuple(script))


def script_of(run: RunFolder) -> list[dict[str, Any]]:
    """The commands that a replay is still to be given, by step; empty for any other run."""
    script = read_json_lines(run.path / SCRIPT)
    given = sum(1 for event in run.events() if event["event"] == "command" and event.get("replayed"))
    return script[given:]


def first_difference(one: RunFolder, other: RunFolder) -> int | None:
    """The first step whose rows are not bit for bit the same, but for the time they took; None where all are."""
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


def said_of(parent: RunFolder, differs_at: int | None) -> str:
    """What came of a replay, for people."""
    if differs_at is None:
        return f"the same as {clean(parent.id)}, bit for bit"
    return f"differs from {clean(parent.id)} from step {differs_at:,} on"


def _bits(rows: "NDArray[np.float32]") -> "NDArray[np.uint32]":
    import numpy as np

    return np.ascontiguousarray(rows).view(np.uint32)  # NaN is equal to NaN


def _settings_at(run: RunFolder, step: int, member: int | None = None) -> Preset:
    """The run's preset, or that of one member alone, with the live edits that were in force at a checkpoint."""
    edits = _readable(run, step).get("edits", [])
    if member is None:
        latest = {key_of(text): text for text in edits if is_of_presets(text)}
        preset = load_preset(run.preset, list(latest.values()))
    else:
        preset = one_member.settings(load_preset(run.preset), member, edits)
    return replace(preset, name=str(run.facts().get("preset", run.id)))


def _readable(run: RunFolder, step: int) -> dict[str, Any]:
    """What stands beside a checkpoint for people, and for programs without torch."""
    file = run.checkpoint(step).with_suffix(".json")
    try:
        stored: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise DescentError(f"{clean(str(file))}: can't be read ({error}); fork at another checkpoint") from None
    return stored


def _shared_events(run: RunFolder, step: int) -> list[dict[str, Any]]:
    log = _readable(run, step).get("log")
    return [event for event in run.events_until(step, log) if event["event"] in _KEPT_EVENTS]


def _write_lines(path: Path, entries: Sequence[dict[str, Any]]) -> None:
    lines = JsonLines(path)
    for entry in entries:
        lines.append(entry)
    lines.sync()
    lines.close()
