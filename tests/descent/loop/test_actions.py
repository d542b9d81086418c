"""A script's own actions must be called between two steps, be kept in the log, and do no harm when they fail."""

import signal

import pytest

from descent.control import RefusedError
from descent.run.events import to_give_again
from tests.helpers.loops import DRIVEN, Made, held, same, send

_ACTIONS = """
def resample():
    torch.nn.init.normal_(model[3].weight)
def broken():
    torch.rand(3)
    model.eval()
    torch.nn.init.zeros_(model[0].weight)
    raise KeyError("no such row")
run.action("resample", resample)
run.action("broken", broken)
for x, y in run"""
WITH = DRIVEN.replace("\nfor x, y in run", _ACTIONS)
KILLS = "if run.step == 14 and not os.path.exists('killed'): open('killed', 'w').close(); os.kill(os.getpid(), 9)\n"


@pytest.mark.slow
def test_an_action_is_called_between_steps_and_once_more_after_a_crash(script: Made) -> None:
    """Data that were drawn anew by hand would be the old ones in a resumed run, without a word."""
    straight = held(script("straight"), WITH)
    send(straight, "step", steps=9)
    assert send(straight, "action", name="resample")["action"] == "resample"
    send(straight, "resume")
    wanted = straight.end().result()

    killed = held(script("killed"), WITH.replace("# MORE", KILLS))
    send(killed, "step", steps=9)
    send(killed, "action", name="resample")
    send(killed, "resume")
    assert killed.end().code == -signal.SIGKILL
    (lost,) = to_give_again(killed.run.path, 0)
    assert (lost["step"], lost["command"], lost["arguments"]) == (9, "action", {"name": "resample"})
    assert same(killed.start(WITH).end().result(), wanted)
    again = killed.run.last("command", command="action")
    assert again is not None
    assert (again["step"], again["again"]) == (9, True)
    assert "made again at their steps: step 9: action resample" in killed.err


@pytest.mark.slow
def test_an_action_that_fails_changes_nothing(script: Made) -> None:
    """A typing mistake in a function that somebody tries out would have spoilt hours of training."""
    plain = script("plain").start(DRIVEN).end().result()
    steered = held(script("steered"), WITH)
    send(steered, "step", steps=4)
    for name, why in [
        ("broken", r"the script's function raised KeyError: 'no such row' \(train.py:\d+\)"),
        ("resampel", "no such action; allowed: resample, broken; did you mean resample?"),
        (None, "no such action"),
    ]:
        with pytest.raises(RefusedError, match=why):
            send(steered, "action", name=name)
    send(steered, "resume")
    assert same(steered.end().result(), plain)
    assert steered.run.last("command", command="action") is None
    assert steered.run.facts()["actions"] == ["resample", "broken"]


def test_an_action_needs_a_name_that_can_be_typed(script: Made) -> None:
    """Nobody could call it from the command line."""
    failed = script("wrong").start(WITH.replace('"broken", broken', '"to break", broken')).end()
    assert failed.code == 1
    assert "action('to break', …): needs a name of letters, digits, - and _" in failed.err
