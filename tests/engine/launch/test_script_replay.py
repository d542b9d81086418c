"""A replay of somebody's own script must be given every command again, and say whether it ends the same."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from descent.common.errors import DescentError
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import script as launch
from engine.launch import start
from engine.launch.options import Options, Outcome
from tests.helpers.loops import DRIVEN, PLAIN, Script, held, same, send

pytestmark = pytest.mark.slow
TEXT = DRIVEN.replace(
    "\nfor x, y in run",
    '\nrun.action("resample", lambda: torch.nn.init.normal_(model[3].weight))\nfor x, y in run',
).replace("    # MORE", "    if os.path.exists('otherwise') and run.step == 20: torch.rand(1)")


class Again(Script):
    """A script that is started again, as a process that has PyTorch loaded."""

    def wait(self) -> int:
        self.end()
        assert self.code is not None
        return self.code

    def terminate(self) -> None: ...
    def kill(self) -> None: ...


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """A run that was steered by hand: a rate, an action, and steps that a rewind has voided."""

    def spawn(folder: RunFolder, command: Sequence[str], variables: Mapping[str, str], cwd: Path) -> Script:
        return Again(cwd).go_on(command[4:])

    monkeypatch.setattr(launch, "_spawn", spawn)
    script = held(Script(tmp_path / "script"), TEXT, watched=True)
    send(script, "step", steps=4)
    send(script, "set", edits=["lr_scale=0.5"])
    send(script, "checkpoint")
    send(script, "step", steps=3)
    send(script, "set", edits=["lr_scale=4"])
    send(script, "rewind", to=4)
    send(script, "step", steps=5)
    send(script, "action", name="resample")
    return script


def replayed(parent: Script, **options: object) -> tuple[int, Outcome]:
    outcomes: list[Outcome] = []
    code = start.replay(str(parent.run.path), Options("again", quiet=True, show=outcomes.append))
    return code, outcomes[-1]


def test_a_replay_ends_as_the_steered_run(parent: Script) -> None:
    """Nobody could say whether what was done by hand was what made the difference."""
    send(parent, "resume")
    before = parent.end().result()
    code, outcome = replayed(parent)
    assert (code, outcome.more) == (0, {"differs_at": None})
    assert outcome.line == "the same as driven, bit for bit"
    again = RunFolder(parent.run.path.parent / "again")
    assert same(Script(parent.folder, code=0).result(), before)
    told = [(e["step"], e["command"]) for e in again.events() if e["event"] == "command"]
    assert told == [(4, "set"), (9, "action")]
    assert Metrics(again.path).column("lr")[4:9] == pytest.approx(Metrics(parent.run.path).column("lr")[4:9])
    (parent.folder / "otherwise").touch()
    assert start.replay(str(again.path), Options("third", quiet=True)) == 1


def test_a_stopped_run_is_replayed_to_its_end(parent: Script) -> None:
    """A replay would train on where its parent was ended, and differ."""
    send(parent, "stop")
    assert parent.end().code == 0
    code, outcome = replayed(parent)
    assert (code, outcome.more) == (0, {"differs_at": None})
    assert outcome.folder.state() == "stopped"


def test_what_can_not_be_replayed_says_why(tmp_path: Path, parent: Script) -> None:
    """A replay of a loop that begins anew by itself would differ for no reason that anybody could find."""
    send(parent, "stop")
    parent.end()
    unchanged = Script(tmp_path / "unchanged").start(PLAIN, watched=True).end()
    with pytest.raises(DescentError, match="driven: the loop of this script begins anew"):
        start.replay(str(unchanged.run.path), Options(quiet=True))
    log = parent.run.events_file
    told = parent.run.last("exact")
    assert told is not None
    log.write_text(log.read_text() + json.dumps({**told, "why_not": ["not tracked: noise"]}) + "\n")

    parent.run.checkpoint(0).unlink()
    with pytest.raises(DescentError, match=r"first checkpoint is of step 4, .* not tracked: noise"):
        start.replay(str(parent.run.path), Options(quiet=True))
