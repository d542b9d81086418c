"""A training loop of one's own must end as without Descent, go on exactly, and obey or say why not."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest

from descent.common.errors import DescentError
from descent.control import RefusedError
from descent.loop.folder import name_of
from descent.run.follower import Follower
from descent.run.metrics import Metrics
from engine.launch import start
from engine.launch.options import Options
from tests.helpers.loops import DRIVEN, PLAIN, TASK, Made, Script, held, same, send
from tests.helpers.waiting import wait_for

# The process kills itself in the middle of an epoch, three steps after it has saved.
KILLED = DRIVEN.replace(
    "# MORE",
    """if run.step == 14: run.save()
    if run.step == 17 and not os.path.exists("killed"):
        open("killed", "w").close()
        os.kill(os.getpid(), 9)
""",
)

WATCHED = "import descent; descent.init(id='driven', runs_dir='runs').watch(model, optimizer)\n"


@pytest.mark.slow
def test_a_watched_script_ends_as_the_unwatched_one(script: Made) -> None:
    """Nobody could trust what a watched training came to."""
    plain = script("plain").start(PLAIN).end().result()
    unchanged = script("unchanged").start(PLAIN, watched=True).end()
    driven = script("driven").start(DRIVEN).end()
    assert same(unchanged.result(), plain)
    assert same(driven.result(), plain)
    for one, refused in ((unchanged, {"evaluate", "rewind", "extend", "fork"}), (driven, {"evaluate"})):
        assert one.run.last("exact")["refused"].keys() == refused  # type: ignore[index]
        assert one.run.state() == "finished"
        loss = Metrics(one.run.path).column("loss")
        assert len(loss) == 30
        assert np.isfinite(loss).all()
        assert np.isfinite(Metrics(one.run.path).column("layer.0.update_ratio")[:2]).any()
    rows = [Metrics(one.run.path).columns(["loss", "lr"]) for one in (unchanged, driven)]
    assert np.array_equal(*rows)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_run_goes_on_in_mid_epoch_and_ends_the_same(script: Made, workers: int) -> None:
    """Hours of training on a batch system would end otherwise than they would have."""
    plain = script("plain").start(PLAIN, workers=workers).end().result()
    killed = script("killed").start(KILLED, workers=workers).end()
    assert killed.code == -signal.SIGKILL
    assert killed.run.checkpoints()[-1] == 14
    again = killed.start(KILLED, workers=workers).end()
    assert same(again.result(), plain)
    assert killed.run.last("resumed")["to"] == 14  # type: ignore[index]
    assert len(Metrics(killed.run.path)) == 30
    told = killed.run.last("exact")
    assert told is not None
    assert told["why_not"] == []


@pytest.mark.slow
def test_a_run_has_its_name_before_its_first_step(script: Made) -> None:
    """With long steps, Home and `descent show` would know nothing of a run for minutes."""
    steered = held(script("steered"), DRIVEN.replace(", statistics_every=2", ""))
    facts = steered.run.facts()
    assert (facts["preset"], facts["parameters"], facts["total_steps"]) == ("driven", 58, 30)
    follower = Follower(steered.run)
    assert "statistics_every" not in follower.facts
    send(steered, "resume")
    assert steered.end().code == 0, steered.err
    follower.look()
    assert follower.facts["statistics_every"]
    assert follower.facts["started"] == facts["started"]


@pytest.mark.slow
def test_a_rewound_run_ends_as_the_straight_one(script: Made) -> None:
    """Going back to try something, and leaving it, would have changed the run."""
    plain = script("plain").start(PLAIN).end().result()
    steered = held(script("steered"))
    assert send(steered, "step", steps=9)["step"] == 9
    send(steered, "checkpoint")
    told = steered.run.last("exact")
    assert told is not None
    assert send(steered, "step", steps=7)["step"] == 16
    assert send(steered, "rewind", to=9)["to"] == 9
    assert send(steered, "step", steps=1)["step"] == 10
    with pytest.raises(RefusedError, match="there is no such checkpoint; the run has those of steps 0, 9"):
        send(steered, "rewind", to=3)
    assert send(steered, "rewind", to=0)["to"] == 0
    assert steered.run.last("exact") == {**told, "step": 0, "time": ANY}  # what it can do is still known
    send(steered, "resume")
    assert same(steered.end().result(), plain)
    assert len(Metrics(steered.run.path)) == 30


@pytest.mark.slow
def test_commands_are_followed_or_say_why_not(script: Made) -> None:
    """A command would be acknowledged and reach nothing."""
    steered = held(script("steered"))
    assert send(steered, "set", edits=["lr_scale=0.5"])["set"] == {"lr_scale": 0.5}
    send(steered, "step", steps=2)
    for command, arguments, why in [
        ("set", {"edits": ["optimizer.lr=0.1"]}, "lr_scale multiplies it"),
        ("set", {"edits": ["lr_scale=2", "model.dropout=0.1"]}, "can't be changed in a loop of one's own"),
        ("evaluate", {}, r"run\.on_evaluate\(function\)"),
        ("picture", {"kind": "weights"}, "pictures are drawn of presets"),
        ("extend", {"steps": 3}, "counted in epochs"),
    ]:
        with pytest.raises(RefusedError, match=why):
            send(steered, command, **arguments)
    assert send(steered, "extend", epochs=1)["total_steps"] == 36
    send(steered, "resume")
    assert steered.end().code == 0, steered.err
    lr = Metrics(steered.run.path).column("lr")
    assert len(lr) == 36
    assert lr[0] == pytest.approx(0.005)  # and a refused edit has changed nothing
    assert steered.run.facts()["total_steps"] == 30


@pytest.mark.slow
def test_a_scheduler_that_ends_before_a_longer_run_would_is_named(script: Made) -> None:
    """A run that has done all that was planned would fail when its scheduler has no more steps."""
    text = DRIVEN.replace("CosineAnnealingLR(optimizer, 40)", "OneCycleLR(optimizer, 0.01, total_steps=33)")
    steered = held(script("steered"), text)
    send(steered, "step", steps=2)
    with pytest.raises(RefusedError, match="scheduler: this scheduler ends with an error after 33 steps"):
        send(steered, "extend", epochs=1)
    send(steered, "resume")
    assert steered.end().code == 0, steered.err
    assert len(Metrics(steered.run.path)) == 30


@pytest.mark.slow
def test_a_loop_that_nothing_drives_can_be_paused_steered_and_stopped(script: Made) -> None:
    """An unchanged script could only be looked at."""
    steered = script("unchanged").start(PLAIN.replace("range(5)", "range(10**6)"), watched=True)
    send(steered, "pause")
    at = send(steered, "step", steps=3)["step"]
    send(steered, "set", edits=["lr_scale=0"])
    with pytest.raises(RefusedError, match="begins anew whenever it is started, so it can't go back"):
        send(steered, "rewind")
    with pytest.raises(RefusedError, match="the epochs of this loop are not known"):
        send(steered, "stop", how="epoch")
    send(steered, "step")
    answer = send(steered, "stop")
    assert Path(answer["checkpoint"]).name == f"step-{at + 1}.pt"
    assert steered.end().code == 0
    assert steered.run.state() == "stopped"
    assert Metrics(steered.run.path).column("lr")[at] == 0


@pytest.mark.slow
def test_an_error_of_the_script_ends_as_the_scripts_own(script: Made) -> None:
    """A person would look for a bug of theirs in Descent, and miss the steps before it."""
    broken = DRIVEN.replace("# MORE", "if run.step == 8: raise KeyError('mine')\n")
    failed = script("failed").start(broken).end()
    assert failed.code == 1
    assert failed.err.rstrip().endswith("KeyError: 'mine'")
    assert "bug" not in failed.err
    assert failed.run.state() == "failed"
    assert failed.run.last("state")["reason"] == "KeyError: 'mine'"  # type: ignore[index]
    assert len(Metrics(failed.run.path)) == 8
    unchanged = PLAIN.replace("   turn(x, y)\n", "   turn(x, y); 1 / (scheduler.last_epoch < 4)\n")
    failed = script("unchanged").start(unchanged, watched=True).end()
    assert failed.code == 1
    assert failed.err.rstrip().endswith("ZeroDivisionError: division by zero")
    assert "descent" not in failed.err
    assert len(Metrics(failed.run.path)) == 4


def test_a_script_that_trains_nothing_is_told_so(script: Made) -> None:
    """Somebody who names the wrong file would wait for curves that never come."""
    idle = script("idle").start("print('hello')\n", watched=True).end()
    assert idle.code == 0
    said = (
        "train.py: no optimizer of PyTorch took a step in this process; nothing was recorded. What a script adds to "
        "the weights by itself is not seen, nor are processes that it starts"
    )
    assert idle.err == f"descent: {said}\n"
    assert idle.run.last("warning")["message"] == said  # type: ignore[index]


def test_ctrl_c_ends_a_script_that_makes_no_step(script: Made) -> None:
    """It would be promised to stop after a step that never comes: weights changed by hand, data being prepared."""
    idle = script("idle").start(
        "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.01)\n", watched=True
    )
    wait_for(lambda: (idle.folder / "out").exists() and (idle.folder / "out").read_text(), "the script")
    os.kill(idle.pid, signal.SIGINT)
    assert idle.end().code == 130
    assert idle.err.rstrip().endswith("KeyboardInterrupt")
    assert idle.run.state() == "stopped"


@pytest.mark.parametrize(("driven", "presses"), [(False, 2), (True, 1)])
def test_ctrl_c_ends_a_last_evaluation_and_says_what_was_saved(script: Made, *, driven: bool, presses: int) -> None:
    """It would be promised to stop after a step that never comes; once more would end it without the weights."""
    ended = "print('evaluation', flush=True)\nimport time\nwhile True: time.sleep(0.01)\n"
    text = (DRIVEN if driven else PLAIN).replace("epochs=5", "epochs=1").replace("range(5)", "range(1)")
    last = script("last").start(text.rpartition("done()")[0] + ended, watched=not driven)
    wait_for(lambda: (last.folder / "out").exists() and (last.folder / "out").read_text(), "the evaluation")
    os.kill(last.pid, signal.SIGINT)
    if presses == 2:
        said = "stopping before the next step, with a checkpoint; if none comes, once more ends the script"
        wait_for(lambda: said in last.err, "the answer to Ctrl-C")
        os.kill(last.pid, signal.SIGINT)
    assert last.end().code == (1 if driven else 130)
    file = last.run.checkpoint(6).absolute()
    assert last.err.rstrip().splitlines()[-2:] == ["KeyboardInterrupt", f"descent: stopped at step 6; saved: {file}"]
    assert len(Metrics(last.run.path)) == 6
    assert last.run.state() == "stopped"


def test_ctrl_c_in_mid_epoch_ends_the_script_once_pressed_again(script: Made) -> None:
    """An evaluation of ten minutes must not keep anybody; nor may the run be called lost, which somebody ended."""
    asleep = "if run.step == 4: print('asleep', flush=True); import time; time.sleep(60)"
    driven = script("driven").start(DRIVEN.replace("# MORE", f"if run.step == 3: run.save()\n    {asleep}"))
    wait_for(lambda: (driven.folder / "out").exists() and (driven.folder / "out").read_text(), "the script")
    os.kill(driven.pid, signal.SIGINT)
    wait_for(lambda: "stopping after this step" in driven.err, "the answer to Ctrl-C")
    os.kill(driven.pid, signal.SIGINT)
    driven.end()
    file = driven.run.checkpoint(3).absolute()
    said = f"stopped at step 4; saved: {file}; continue with: descent resume driven"
    assert driven.err.rstrip().splitlines()[-1] == f"descent: {said}"
    assert driven.run.state() == "stopped"


def test_an_error_at_pythons_prompt_ends_no_run(script: Made) -> None:
    """A typing mistake after the training would have its run called failed."""
    mistake = "if run.step == 3: sys.ps1 = '>>> '; sys.excepthook(NameError, NameError('mistake'), None)\n"
    typed = script("typed").start(DRIVEN.replace("# MORE", mistake)).end()
    assert "NameError: mistake" in typed.err
    assert typed.run.state() == "finished"


def test_a_stop_leaves_pythons_prompt_alone_and_no_command_starts_its_loop(script: Made) -> None:
    """The variables of a session would be gone with its process, and resume or fork would begin an empty session."""
    head, loop, tail = DRIVEN.replace("epochs=5", "epochs=10**6").partition("for x, y in run.batches")
    body = f"{loop}{tail}".replace("done()\n", "").replace("\n", "\n    ")
    text = f"{head}sys.ps1 = '>>> '\ntry:\n    {body}\nexcept KeyboardInterrupt as error:\n    print(error)\ndone()\n"
    typed = script("typed").start(text.replace("run = descent", "sys.ps1 = '>>> '\nrun = descent"))
    send(typed, "pause")
    send(typed, "step", steps=2)
    step = send(typed, "stop")["step"]
    assert typed.end().result()
    file = typed.run.checkpoint(step).absolute()
    assert (typed.folder / "out").read_text() == f"stopped at step {step}; saved: {file}\n"
    assert typed.run.state() == "stopped"
    assert "typed into a notebook" in (typed.run.last("exact") or {})["refused"]["fork"]
    before = sorted(typed.run.path.parent.iterdir())
    starts: list[Callable[[], object]] = [
        lambda: start.detach_resume(typed.run),
        lambda: start.detach_fork(typed.run),
        lambda: start.replay(str(typed.run.path), Options(quiet=True)),
    ]
    for begin in starts:
        with pytest.raises(DescentError, match=r"driven: this loop was typed into a notebook .* descent\.init"):
            begin()
    assert typed.run.state() == "stopped"
    assert sorted(typed.run.path.parent.iterdir()) == before


_FULL = """
class Full:
    def __getattr__(self, name):
        return getattr(os, name)
    def write(self, file, data):
        if os.readlink(f"/proc/self/fd/{file}").endswith(".f32"):
            raise OSError(28, "No space left on device")
        return os.write(file, data)
"""


def test_a_full_disk_says_which_and_how_to_go_on(script: Made) -> None:
    """The last line would speak of no file, and nobody would know that the training can go on."""
    begun = f"\nimport descent\nfrom descent.common import files{_FULL}"
    turn = "if run.step == 7:\n        files.os = Full()\n        run.save()"
    full = script("full").start(DRIVEN.replace("\nimport descent\n", begun).replace("# MORE", turn)).end()
    assert full.code == 1
    assert "No space left on device: " in full.err
    last = full.err.splitlines()[-1]
    assert ".f32 can't be written: the disk is full; free some space, then try again; continue with" in last
    assert last.endswith("descent resume driven")
    assert full.run.state() == "failed"


def test_a_script_that_is_called_main_is_listed_by_its_folder(tmp_path: Path) -> None:
    """Every project has a main.py; a list of runs would not tell them apart."""
    assert name_of(tmp_path / "vae" / "main.py") == "vae"
    assert name_of(tmp_path / "vae" / "train_vae.py") == "train_vae"


@pytest.mark.slow
def test_one_id_is_trained_by_one_process(script: Made) -> None:
    """Two processes would write into one another's rows."""
    first = held(script("one"))
    second = Script(first.folder)
    second.start(DRIVEN).end()
    assert second.code == 1
    assert "train.py:" in second.err
    assert "driven is training already, in process" in second.err
    assert "Watch it with: descent attach driven; another run needs another id" in second.err
    assert "Traceback" not in second.err
    send(first, "resume")
    assert first.end().code == 0
    assert len(Metrics(first.run.path)) == 30


@pytest.mark.slow
def test_a_finished_run_stays_what_it_is_when_its_script_is_started_again(script: Made) -> None:
    """A second start with the same id would write over a result, or end in an error that says nothing of the id."""
    driven = script("driven").start(DRIVEN.replace("\ndone()", "\nprint(x.shape)")).end()
    assert driven.code == 0, driven.err
    again = driven.start(DRIVEN.replace("\ndone()", "\nprint(x.shape)")).end()
    assert "driven is through with its loop, so nothing is left to train. Choose another id" in again.err
    assert "NameError" in again.err
    assert again.run.state() == "finished"

    undriven = PLAIN.replace("for epoch", WATCHED + "for epoch")
    once = script("undriven").start(undriven).end()
    assert once.code == 0, once.err
    twice = once.start(undriven).end()
    assert "train.py:" in twice.err
    assert "driven is finished, and the loop of this script begins anew" in twice.err
    assert "Choose another id, or delete that run first: descent rm driven" in twice.err
    assert "Traceback" not in twice.err
    assert (twice.run.state(), len(Metrics(twice.run.path))) == ("finished", 30)


@pytest.mark.slow
def test_what_is_not_tracked_is_named(script: Made) -> None:
    """A resumed run would end otherwise, and nobody would have said so."""
    told = (
        script("untracked").start(DRIVEN.replace(".track(scheduler=scheduler, ema=ema)", "")).end().run.last("exact")
    )
    assert told is not None
    assert "scheduler (CosineAnnealingLR)" in told["why_not"][0]
    assert "ema (AveragedModel)" in told["why_not"][0]


SETTINGS = DRIVEN.replace(
    "for x, y in run",
    """
beta = [1]
run.setting("beta", lambda: beta[0], lambda value: beta.__setitem__(0, value), minimum=0, maximum=5)
calls = []
@run.on_evaluate
def validate():
    calls.append(1)
    if len(calls) > 1:
        raise ValueError("no data")
    model.eval()
    return {"loss": torch.rand(()), "f1": 0.5}
for x, y in run""",
)


@pytest.mark.slow
def test_settings_and_evaluations_of_a_script(script: Made) -> None:
    """What a script declares could not be steered, or looking would have changed the training."""
    plain = script("plain").start(PLAIN).end().result()
    steered = held(script("settings"), SETTINGS)
    send(steered, "step", steps=4)
    found = send(steered, "evaluate")
    assert found["val_f1"] == 0.5
    with pytest.raises(RefusedError, match=r"the script's function raised ValueError: no data \(train.py:\d+\)"):
        send(steered, "evaluate")
    assert send(steered, "set", edits=["beta=3"])["set"] == {"beta": 3}
    for given in ("beta=6", "beta=1.5", "beta=true"):
        with pytest.raises(RefusedError, match="must be a whole number from 0 to 5"):
            send(steered, "set", edits=[given])
    send(steered, "resume")
    assert same(steered.end().result(), plain)
    evaluation = steered.run.last("evaluation")
    assert evaluation is not None
    assert (evaluation["step"], evaluation["f1"]) == (4, 0.5)


def test_what_no_checkpoint_can_hold_is_refused_at_once(script: Made) -> None:
    """Days later the run could not go on."""
    wrong = f"""{TASK}
import descent
class Held:
    def state_dict(self): return {{"fn": print}}
    def load_state_dict(self, state): pass
run = descent.init("wrong", id="driven", runs_dir="runs").watch(model, optimizer).track(held=Held())
"""
    failed = script("wrong").start(wrong).end()
    assert failed.code == 1
    assert "track(held=…): its state_dict() holds what no checkpoint can" in failed.err


@pytest.mark.slow
def test_a_signal_saves_and_ends_the_loop(script: Made) -> None:
    """A batch system's warning would be lost, and the work since the last checkpoint."""
    run = held(script("signal"))
    send(run, "step", steps=5)
    os.kill(run.pid, signal.SIGTERM)
    assert run.end().code == 128 + signal.SIGTERM
    assert run.run.checkpoints()[-1] == 5
    assert run.err.endswith("/checkpoints/step-5.pt; continue with: descent resume driven\n")
    assert "descent: stopped at step 5; saved: " in run.err
    assert run.run.state() == "stopped"
    plain = script("plain").start(PLAIN).end().result()
    assert same(run.start(DRIVEN).end().result(), plain)


# A library's Trainer, which knows its own length, checkpoints and end.
LED = (
    TASK
    + """
import sys, time
import descent
run = descent.init("led", id="driven", runs_dir="runs", statistics_every=2)
done, is_over = int(sys.argv[1]), False
run.lead("Mine", after=done, total_steps=30, steps_per_epoch=6)
run.watch(model, optimizer).track(scheduler=scheduler)
while len(sys.argv) > 2 and run._queue.is_empty:
    time.sleep(0.005)
for epoch in range(done // 6, 5):
    for x, y in loader:
        turn(x, y)
        is_over = run.between_steps()
        if is_over:
            break
    is_over = is_over or run.end_epoch(epoch + 1, 5)
    if is_over:
        break
run.end("finished")
done()
""".replace("\ndone()", "\nprint('ended')")
)


def test_a_loop_that_a_library_drives(script: Made) -> None:
    """The length of the training would not be known, or a stop would end the process in the library's work."""
    led = script("led").start(LED, "0", "held")
    begun = send(led, "pause")["step"]
    assert send(led, "step", steps=2)["step"] == begun + 2
    for command, arguments in (("rewind", {}), ("extend", {"epochs": 1})):
        with pytest.raises(RefusedError, match="Mine drives this loop"):
            send(led, command, **arguments)
    assert send(led, "stop", how="epoch")["ok"]
    assert led.end().code == 0, led.err
    assert (led.folder / "out").read_text() == "ended\n"
    assert (led.run.state(), led.run.checkpoints()) == ("stopped", [6])
    assert (led.run.facts()["total_steps"], led.run.facts()["steps_per_epoch"]) == (30, 6)
    # The library goes on from a checkpoint of its own, which stands at the end of the epoch.
    assert led.start(LED, "6").end().code == 0, led.err
    assert (led.run.state(), len(Metrics(led.run.path))) == ("finished", 30)
    assert [event["epoch"] for event in led.run.events() if event["event"] == "epoch"] == [1, 2, 3, 4, 5]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.add_module('more', nn.Linear(2, 2))", "more.weight has the shape (2, 2) at step 7, and had none"),
        ("model[0] = nn.Linear(4, 8, bias=False)", "0.bias has the shape none at step 7, and had (8,)"),
        ("model[3] = nn.Linear(8, 3)", "3.weight has the shape (3, 8) at step 7, and had (2, 8)"),
    ],
)
def test_a_model_that_changes_its_shape_in_training_is_refused(script: Made, change: str, told: str) -> None:
    """Its checkpoints would look whole for hours, and no resume or rewind could take one up."""
    grown = DRIVEN.replace("    # MORE", f"    if run.step == 7:\n        {change}\n        run.save()")
    watched = script("grown").start(grown).end()
    assert watched.code == 1
    assert told in watched.err
    assert watched.run.checkpoints() == [0]
    assert watched.run.state() == "failed"
