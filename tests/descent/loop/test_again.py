"""A loop that nothing drives must go back to its checkpoints where it begins at run.step, by starting anew."""

import pytest

from descent.control import RefusedError
from descent.run.metrics import Metrics
from tests.helpers.loops import PLAIN, TASK, Made, same, send
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.slow
# The batch of a step depends on the step alone.
_LOOP = """
model[2].p = 0.0
def batch(step):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
    return x, (x.sum(1) > 0).long()
"""
STRAIGHT = f"""{TASK}{_LOOP}
for step in range(24):
    turn(*batch(step))
done()
"""
FROM_STEP = f"""{TASK}{_LOOP}
import descent, time
run = descent.init("driven", id="driven", runs_dir="runs", statistics_every=2)
run.watch(model, optimizer).track(scheduler=scheduler, ema=ema)
while run._queue.is_empty and not os.path.exists("waited"): time.sleep(0.005)
open("waited", "w").close()
print("from", run.step)
for step in range(run.step, 24):
    turn(*batch(step))
done()
"""


def test_a_loop_from_run_step_goes_back_by_starting_anew(script: Made) -> None:
    """Who writes their own counter could never leave what they had tried."""
    wanted = script("straight").start(STRAIGHT).end().result()
    steered = script("steered").start(FROM_STEP, watched=True)
    run = steered.run
    send(steered, "pause")
    send(steered, "step", steps=9)
    send(steered, "set", edits=["lr_scale=0.5"])
    send(steered, "checkpoint")
    send(steered, "set", edits=["lr_scale=1"])
    send(steered, "checkpoint")
    send(steered, "step", steps=5)
    send(steered, "set", edits=["lr_scale=0"])
    send(steered, "step", steps=3)
    assert send(steered, "rewind", to=9)["to"] == 9
    wait_for(
        lambda: (run.last("resumed") or {}).get("to") == 9 and run.state() == "paused", "the script, paused again"
    )
    send(steered, "resume")
    assert same(steered.end().result(), wanted)  # the same process has ended
    assert run.state() == "finished"
    assert len(Metrics(run.path)) == 24
    assert (steered.folder / "out").read_text() == "from 0\nfrom 9\n"
    told = run.last("exact")
    assert told is not None
    assert told["driver"] == "script"


def test_an_unchanged_script_is_not_given_a_checkpoint(script: Made) -> None:
    """An unchanged script that is started again under its id would train on from other weights, in silence."""
    plain = script("plain").start(PLAIN).end().result()
    unchanged = script("unchanged").start(PLAIN.replace("range(5)", "range(10**6)"), watched=True)
    send(unchanged, "pause")
    with pytest.raises(RefusedError, match=r"it can't go back; write it over run\.batches"):
        send(unchanged, "rewind")
    send(unchanged, "stop")
    unchanged.end()
    (unchanged.folder / "train.py").write_text(PLAIN)
    words = [str(unchanged.run.path), "train.py"]
    assert same(unchanged.go_on(words).end().result(), plain)
    assert len(Metrics(unchanged.run.path)) == 30
