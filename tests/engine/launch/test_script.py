"""A fork of somebody's own script must go on from its parent's checkpoint, and say what it could not change."""

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from descent.common.errors import DescentError
from descent.loop.folder import start_of
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.cli import runs_view
from engine.launch import script as launch
from engine.launch import start
from engine.launch.options import Options
from tests.helpers.loops import TASK, Script, same
from tui.data import run_settings

pytestmark = pytest.mark.slow
DRIVEN = f"""{TASK}
import descent
if "--rate" in sys.argv:
    optimizer.param_groups[0]["lr"] = 0.02
run = descent.init("driven", statistics_every=2)
run.watch(model, optimizer).track(scheduler=scheduler, ema=ema)
beta = [1.0]
run.setting("beta", lambda: beta[0], lambda value: beta.__setitem__(0, value), minimum=0, maximum=5)
for x, y in run.batches(loader, epochs=6 if "--longer" in sys.argv else 5):
    turn(x, y)
    if run.step == 14:
        run.save()
    if "--killed" in sys.argv and run.step == 17 and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), 9)
done()
"""


@pytest.fixture
def parent(tmp_path: Path) -> Script:
    return Script(tmp_path / "script").start(DRIVEN, watched=True).end()


@pytest.fixture
def scripts(parent: Script, monkeypatch: pytest.MonkeyPatch) -> list[Script]:
    """The scripts that forks have started, in processes that have PyTorch loaded."""
    started: list[Script] = []

    def begin(
        folder: RunFolder, command: Sequence[str], variables: Mapping[str, str], cwd: Path, *, detached: bool
    ) -> None:
        assert cwd == parent.folder
        started.append(Script(cwd).go_on(command[4:]))

    monkeypatch.setattr(launch, "_start", begin)
    return started


def test_a_fork_without_changes_ends_as_its_parent(
    parent: Script, scripts: list[Script], capsys: pytest.CaptureFixture[str]
) -> None:
    """A fork would be another training, and nobody could say what a change has done."""
    before = parent.result()
    folder = start.detach_fork(parent.run, 14)
    assert same(scripts[0].end().result(), before)
    ours, theirs = (Metrics(run.path).columns(["loss", "lr"]) for run in (folder, parent.run))
    assert np.array_equal(ours, theirs)
    assert folder.state() == "finished"
    assert folder.origin()["step"] == 14  # type: ignore[index]
    runs_view.show_run(folder.id, folder.path.parent, as_json=False)
    said = capsys.readouterr().out
    assert "of driven at step 14\n" in said
    assert "yes: resumed or rewound, it ends the same" in said


def test_a_fork_follows_its_settings_and_arguments(parent: Script, scripts: list[Script]) -> None:
    """A changed rate would be acknowledged and come to nothing."""
    edits, arguments = ["lr_scale=0.5", "beta=2"], ["--longer", "--rate"]
    folder = start.detach_fork(parent.run, 14, edits, arguments=arguments)
    assert scripts[0].end().code == 0, scripts[0].err
    rows, before = Metrics(folder.path).column("lr"), Metrics(parent.run.path).column("lr")
    assert len(rows) == 36
    assert np.array_equal(rows[:14], before[:14])
    assert rows[14:30] == pytest.approx(before[14:] / 2)
    assert folder.origin()["changed"] == ["lr_scale", "beta", "arguments"]  # type: ignore[index]
    begun = start_of(folder)
    assert begun is not None
    assert begun["arguments"] == arguments
    assert begun["command"] == ["train.py", *arguments]
    warning = folder.last("warning")
    assert warning is not None
    assert warning["message"].startswith("the schedule goes on as in the checkpoint of driven, at the rate 0.01")
    values = run_settings.values(run_settings.settings(folder), folder.facts(), {"beta": 2})
    assert values == {"lr_scale": 1.0, "optimizer.weight_decay": 0.01, "beta": 2}
    assert run_settings.hints(values, folder.facts())["beta"] == "≥ 0, ≤ 5"


def test_a_killed_fork_keeps_what_it_was_asked_for(parent: Script, scripts: list[Script]) -> None:
    """A batch system's kill in the first seconds would bring the parent's rate back, without a word."""
    folder = start.detach_fork(parent.run, 14, ["lr_scale=0.5"], arguments=["--killed"])
    assert scripts[0].end().code == -signal.SIGKILL
    start.detach_resume(folder)
    assert scripts[1].end().code == 0, scripts[1].err
    rows, before = Metrics(folder.path).column("lr"), Metrics(parent.run.path).column("lr")
    assert rows[14:] == pytest.approx(before[14:] / 2)


def test_a_fork_that_can_not_be_is_refused(parent: Script, scripts: list[Script]) -> None:
    """A folder would be left that never trains, or a run that ignores what was asked for."""
    with pytest.raises(DescentError, match="driven has no checkpoint of that step; it has those of steps 0, 14, 30"):
        start.detach_fork(parent.run, 7)
    with pytest.raises(DescentError, match="--member 1: driven has one model"):
        start.detach_fork(parent.run, 14, member=1)
    with pytest.raises(DescentError, match=r"weight_decay, beta; .* did you mean optimizer\.lr"):
        start.detach_fork(parent.run, 14, ["lr=0.1"])
    assert [path.name for path in parent.run.path.parent.iterdir()] == ["driven"]
    refused = start.detach_fork(parent.run, 14, ["beta=9"], Options("refused"))
    assert scripts[0].end().code
    assert refused.state() == "failed"
    reason = "beta = 9: must be a number from 0 to 5"
    assert refused.last("state")["reason"] == reason  # type: ignore[index]
    assert not (parent.folder / "ended.pt").exists()
