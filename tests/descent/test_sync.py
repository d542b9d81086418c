"""A script or a notebook must be able to start a run, steer it and wait for it, without `await`."""

import asyncio
import inspect
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import descent
from descent import sync
from descent.run.events import Events
from descent.run.folder import create
from tests.helpers.recorded_run import STEPS, record
from tests.helpers.waiting import DEADLINE, wait_for

pytestmark = pytest.mark.usefixtures("warm")
LONG = ["train.epochs=100000", "train.evaluate_every=100", "train.threads=1"]


@pytest.mark.slow
def test_a_run_is_started_steered_followed_and_stopped(tmp_path: Path) -> None:
    run = sync.start("digits-mlp", LONG, run_id="mine", runs_dir=tmp_path)
    paused = run.pause()
    assert run.state == "paused"
    assert len(run.metrics()) == paused["step"]
    assert run.step(5)["step"] == paused["step"] + 5
    with pytest.raises(descent.RefusedError, match="can't be changed in a live run"):
        run.set("model.widths=[3]")
    assert run.set("optimizer.lr=0.01")["set"] == {"optimizer.lr": 0.01}
    assert run.set(lr_scale=0.5)["set"] == {"lr_scale": 0.5}
    with pytest.raises(descent.RefusedError, match="lr_scal"):
        run.set(lr_scal=0.5)

    same = sync.attach("mine", tmp_path)
    saved = same.checkpoint()
    forked = same.fork(saved["step"], [f"train.steps={saved['step'] + 10}"], run_id="forked")
    same.resume()
    stopped = run.stop()
    assert (run.wait(), forked.wait()) == ("stopped", "finished")
    assert len(forked.metrics()) == saved["step"] + 10

    run.revive()
    assert run.pause()["step"] >= stopped["step"]
    run.stop()
    seen = [event["state"] for event in run.events() if event["event"] == "state"]
    assert [state for state in seen if state != "starting"] == [
        "running", "paused", "running", "stopped", "running", "paused", "stopped",
    ]  # fmt: skip
    with pytest.raises(descent.NotRunningError, match="descent resume mine"):
        run.pause()


@pytest.mark.slow
async def test_it_works_where_an_event_loop_runs_already(tmp_path: Path) -> None:
    """The cells of a notebook run in one: `asyncio.run` would raise there."""
    assert asyncio.get_running_loop().is_running()
    run = sync.start("linear-regression", ["train.epochs=3"], run_id="mine", runs_dir=tmp_path)
    assert run.wait() == "finished"
    assert [event["event"] for event in run.events()].count("evaluation") > 0
    assert repr(run) == "<descent.sync.Run mine: finished>"


def test_both_forms_have_the_same_calls() -> None:
    """What one form can do could be missing in the other, or take other arguments."""
    for ours, theirs in (
        (sync.Run, descent.Run),
        (sync.start, descent.start),
        (sync.attach, descent.attach),
        (sync.runs, descent.runs),
    ):
        assert list(inspect.signature(ours).parameters.values()) == list(
            inspect.signature(theirs).parameters.values()
        )
    assert [name for name in dir(sync.Run) if name[0] != "_"] == [name for name in dir(descent.Run) if name[0] != "_"]
    for name in ("fork", "revive"):
        mine, other = (inspect.signature(getattr(kind, name)) for kind in (sync.Run, descent.Run))
        assert mine.parameters == other.parameters


@pytest.mark.slow
def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(descent.DescentError, match="no preset of this name"):
        sync.start("digits-mpl", runs_dir=tmp_path)
    with pytest.raises(descent.DescentError, match="nothing"):
        sync.attach("nothing", tmp_path)
    with pytest.raises(descent.DataMissingError, match="descent data"):
        sync.start("mnist-mlp", runs_dir=tmp_path, data_root=tmp_path / "empty")


WAITING = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from descent import sync

run = sync.attach("mine", Path(sys.argv[1]))
try:
    print("waiting", flush=True)
    {call}
except KeyboardInterrupt:
    print(run.state)
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_call_that_waits_and_not_the_run(tmp_path: Path) -> None:
    """A cell that waits for an hour's training could not be stopped without killing the notebook."""
    run = sync.start("digits-mlp", LONG, run_id="mine", runs_dir=tmp_path)
    run.pause()
    for call in ("run.wait()", "list(run.events())", "run.step(10**9)"):
        with subprocess.Popen(
            [sys.executable, "-c", WAITING.format(call=call), str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as script:
            assert script.stdout is not None
            assert script.stdout.readline() == "waiting\n"
            wait_for(lambda pid=script.pid: ") S " in Path(f"/proc/{pid}/stat").read_text(), "its sleep")
            script.send_signal(signal.SIGINT)
            printed, _ = script.communicate(timeout=DEADLINE)
        assert printed in ("paused\n", "running\n")
    run.stop()
    assert run.wait() == "stopped"


def test_a_program_waits_for_a_step_an_epoch_and_an_event(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look at the files in a loop of its own, miss what comes between two looks, or wait for ever."""
    recorded = record(tmp_path)
    run = sync.Run(recorded)
    states = ["running"]
    monkeypatch.setattr(sync.Run, "state", property(lambda self: states[-1]))
    assert run.wait_for_step(STEPS) == STEPS
    assert run.wait_for_epoch(5) == STEPS
    with ThreadPoolExecutor(3) as pool:
        waits = [
            pool.submit(run.wait_for, "spike", "anomaly"),
            pool.submit(run.wait_for_step, STEPS + 1),
            pool.submit(run.wait_for_epoch, 5.1),
        ]
        events = Events(recorded.path)
        events.write("checkpoint", step=STEPS)  # another kind
        while not waits[0].done():  # whenever it has begun to look
            events.write("spike", step=STEPS, loss=9.0, usual=1.0)
        assert waits[0].result()["loss"] == 9.0
        assert not any(wait.done() for wait in waits[1:])
        states.append("stopped")
        assert [wait.result() for wait in waits[1:]] == [STEPS, STEPS]
        assert run.wait_for("spike") is None
        events.close()


def test_the_runs_that_train_now_are_found(tmp_path: Path) -> None:
    """A program could not stop what fills the disk without knowing its id."""
    run = record(tmp_path)
    damaged = create(tmp_path, "damaged", "", {})
    damaged.events_file.write_text('{"event": "state", "state": 3}\n')
    live = create(tmp_path, "live", "", {})
    Events(live.path).state("starting")
    assert {each.id for each in sync.runs(runs_dir=tmp_path)} == {run.id, "damaged", "live"}
    assert [each.id for each in sync.runs(live=True, runs_dir=tmp_path)] == ["live"]


@pytest.mark.parametrize(("edits", "named"), [(("lr_scale",), {}), ((0.3,), {}), ((), {"lr_scale": None}), ((), {})])
def test_what_is_no_setting_is_told_with_what_is_allowed(tmp_path: Path, edits: tuple, named: dict) -> None:
    """A TypeError would name a function of ours, and not what to write."""
    run = sync.Run(create(tmp_path, "mine", "", {}))
    with pytest.raises(descent.DescentError, match=r'"optimizer\.lr=0\.01".*lr_scale=0\.5'):
        run.set(*edits, **named)
