"""A learner's own training step must train as Descent's does where it is right, and show its bug where it has one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from descent.common.errors import DescentError, PresetError
from descent.loop import checkpoint
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.preset.loading import load_preset
from engine.training.build import build
from engine.training.step import train_step
from tests.engine.training.conftest import Train

STEP = """
def train_step(model, loss_function, optimizer, x, y):
    {zero}
    loss = loss_function(model(x), y)
    loss.backward()
    {step}
    return {result}
"""
RIGHT = {"zero": "optimizer.zero_grad()", "step": "optimizer.step()", "result": "loss"}
BY_HAND = (
    "lr = optimizer.param_groups[0]['lr']\n    for p in model.parameters():\n        p.data = p.data - lr * p.grad"
)
Write = Callable[..., str]


@pytest.fixture
def own(tmp_path: Path) -> Write:
    """own(zero="pass") -> the override that names such a step."""

    def write(**parts: str) -> str:
        file = tmp_path / f"step_{len(list(tmp_path.glob('*.py')))}.py"
        file.write_text(STEP.format(**(RIGHT | parts)))
        return f"train.code={file}:train_step"

    return write


def weights(folder: RunFolder, step: int) -> list[torch.Tensor]:
    return list(checkpoint.read(folder.checkpoint(step))["model"].values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        ["linear-regression", "schedule.name=cosine"],
        ["moons-mlp", "model.dropout=0.2"],
        ["digits-mlp", "data.size=200", "optimizer.momentum=0.9", "model.batch_norm=true"],
    ],
)
def test_a_right_step_gives_the_same_run_bit_for_bit(train: Train, own: Write, settings: list[str]) -> None:
    """The exercise would be graded against another training than it copies."""
    ours = train(*settings, "train.steps=25")
    theirs = train(*settings, "train.steps=25", own())
    for one, other in zip(weights(ours, 25), weights(theirs, 25), strict=True):
        assert torch.equal(one, other)
    rows, again = Metrics(ours.path), Metrics(theirs.path)
    assert rows.layout is not None
    for name in rows.layout.columns:
        if name != "time":
            np.testing.assert_array_equal(rows.column(name), again.column(name), err_msg=name)


NOT_BACKWARD = {"zero": "return loss_function(model(x), y)"}
GATHERED = (  # over 40 batches
    "train_step.n = getattr(train_step, 'n', 0) + 1\n    if train_step.n % 40 == 0:\n        optimizer.step()"
)


@pytest.mark.slow
@pytest.mark.parametrize("members", [[], ["members.repeats=2"]])
@pytest.mark.parametrize(
    ("parts", "steps", "why"),
    [
        (NOT_BACKWARD, 120, "one of 0: train_step in step_0.py does not call loss.backward()"),
        ({"step": "pass"}, 25, "There are gradients, but train_step in step_0.py does not call optimizer.step()"),
        ({"step": "optimizer.zero_grad()\n    optimizer.step()"}, 25, "zero_grad() belongs before backward()"),
        ({}, 25, None),
        ({"step": BY_HAND}, 25, None),
        ({"step": GATHERED, "zero": "pass"}, 120, None),
    ],
)
def test_a_step_that_trains_nothing_is_told(
    train: Train, own: Write, members: list[str], parts: dict[str, str], steps: int, why: str | None
) -> None:
    """The loss would stand still for hours, as on a task that can't be learned, and nothing would say why."""
    run = train("linear-regression", f"train.steps={steps}", own(**parts), *members)
    told = [event["message"] for event in run.events() if event["event"] == "warning"]
    found = [message for message in told if message.startswith("nothing is trained: in ")]
    assert len(found) == (why is not None), told
    assert why is None or why in found[0]


@pytest.mark.slow
@pytest.mark.parametrize("step", [RIGHT["step"], BY_HAND])
def test_each_member_is_trained_by_it(train: Train, own: Write, step: str) -> None:
    """A lab is graded over several seeds at once."""
    settings = [
        "linear-regression",
        "train.steps=25",
        'members.sweep."optimizer.lr"=[0.1, 0.01]',
        "members.repeats=2",
    ]
    settings.append("data.validation=0.1")
    ours, theirs = train(*settings), train(*settings, own(step=step))
    for name in ("loss", "lr", "grad_norm", "parameter.weight", "parameter.bias"):
        for member in range(4):
            one, other = (Metrics(folder.path).column(name, member) for folder in (ours, theirs))
            np.testing.assert_allclose(one, other, rtol=1e-5, err_msg=name)


@pytest.mark.slow
def test_without_zero_grad_the_gradients_add_up(train: Train, own: Write) -> None:
    """The planted bug would have no symptom."""
    folder = train("linear-regression", "train.steps=40", "train.statistics_every=1", own(zero="pass"))
    right = train("linear-regression", "train.steps=40", "train.statistics_every=1")
    added, fresh = (Metrics(run.path).column("grad_norm") for run in (folder, right))
    assert added[0] == fresh[0]
    assert added[1] == pytest.approx(added[0] + fresh[1], rel=0.1)


CLIPPED = "torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3); optimizer.step()"


@pytest.mark.parametrize("members", [1, 2])
@pytest.mark.parametrize("step", [CLIPPED, "optimizer.step(); optimizer.zero_grad()"])
def test_the_gradient_norm_is_the_one_that_backward_left(train: Train, own: Write, step: str, members: int) -> None:
    """The chart would show the limit of a step that clips, and nothing of one that clears its gradients last."""
    settings = ["linear-regression", "train.steps=1", "train.statistics_every=1", f"members.repeats={members}"]
    ours, theirs = train(*settings), train(*settings, own(zero="import torch; optimizer.zero_grad()", step=step))
    for member in range(members):
        one, other = (Metrics(run.path).column("grad_norm", member)[0] for run in (ours, theirs))
        assert one == pytest.approx(other, rel=1e-6)
        assert one > 1e-3
    if step != CLIPPED:
        name = "layer.linear.grad_norm"
        assert Metrics(theirs.path).column(name)[0] == pytest.approx(Metrics(ours.path).column(name)[0], rel=1e-6)


RETURNS = """
import types, torch

class Net(torch.nn.Module):
    def __init__(self, input_shape, outputs):
        super().__init__()
        self.head = torch.nn.Linear(64, outputs)

    def forward(self, x):
        logits = self.head(x.flatten(1))
        return {returned} if self.training else logits

def train_step(model, loss_function, optimizer, x, y):
    optimizer.zero_grad()
    loss = loss_function(model(x){logits}, y)
    loss.backward()
    optimizer.step()
    return loss
"""


@pytest.mark.parametrize(
    ("returned", "logits", "is_counted"),
    [("(logits, x.mean())", "[0]", True), ("types.SimpleNamespace(logits=logits)", ".logits", False)],
)
def test_a_model_may_return_anything_to_its_own_step(
    train: Train, tmp_path: Path, returned: str, logits: str, is_counted: bool
) -> None:
    """A model with an auxiliary output could not be trained, and its author's line would be blamed."""
    file = tmp_path / "both.py"
    file.write_text(RETURNS.format(returned=returned, logits=logits))
    folder = train("digits-mlp", "train.steps=20", f'model={{code="{file}:Net"}}', f"train.code={file}:train_step")
    rows = Metrics(folder.path)
    assert np.isfinite(rows.column("loss")).all()
    assert np.isfinite(rows.column("accuracy")).all() == is_counted


@pytest.mark.parametrize("members", [1, 2])
def test_a_run_goes_on_with_the_gradients_it_had(tmp_path: Path, own: Write, members: int) -> None:
    """A resumed run with that bug would take another way than one that was not interrupted."""
    settings = ["train.threads=1", own(zero="pass"), f"members.repeats={members}"]
    preset = load_preset("linear-regression", settings)
    ends = []
    for interrupted in (False, True):
        run = build(preset, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
        for step in range(10):
            if interrupted and step == 5:
                torch.save(run.capture(0.0), tmp_path / "state.pt")
                run = build(preset, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)
                run.restore(torch.load(tmp_path / "state.pt", weights_only=False))
            train_step(run, run.batches.next(), run.learning_rate(), measured=False)
            run.step += 1
            run.batches.epoch_is_over()
        ends.append([tensor.clone() for tensor in run.weights().values()])
    assert all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def test_a_member_that_diverges_keeps_its_last_finite_weights(train: Train, own: Write) -> None:
    """One bad rate would end the grading of all."""
    sweep = 'members.sweep."optimizer.lr"=[0.1, 1e30]'
    folder = train("linear-regression", "train.steps=25", sweep, "data.validation=0.1", own())
    ended = [event["member"] for event in folder.events() if event["event"] == "member"]
    assert ended == [1]
    assert np.isfinite(Metrics(folder.path).column("loss", 0)).all()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"result": "loss.item()"}, r"must return the loss of the batch, a scalar tensor; it returned float"),
        ({"result": "model(x)"}, r"a scalar tensor; it returned a tensor of shape \(80, 1\)"),
        ({"result": "None"}, "it returned NoneType"),
        ({"step": "raise ValueError('mine')"}, r"step_0\.py, line 6: ValueError: mine"),
        ({"step": "exit()"}, r"step_0\.py, line 6: the code called exit"),
    ],
)
def test_what_is_wrong_with_it_is_said_in_its_own_words(
    train: Train, own: Write, parts: dict[str, str], said: str
) -> None:
    """A learner would read a traceback through Descent."""
    with pytest.raises(AssertionError, match=said):
        train("linear-regression", "train.steps=5", own(**parts))


@pytest.mark.parametrize(
    ("key", "value"),
    [("accumulate", "2"), ("clip_norm", "1.0"), ("compile", "true"), ("precision", "bf16")],
)
def test_what_belongs_to_the_built_in_step_is_refused_with_it(own: Write, key: str, value: str) -> None:
    """A setting would be taken and do nothing."""
    with pytest.raises(PresetError, match=rf"train\.{key} = \S.*train\.code replaces that step"):
        load_preset("digits-mlp", [own(), f"train.{key}={value}"])


def test_a_penalty_is_left_to_the_learner_s_step(tmp_path: Path, own: Write) -> None:
    """A setting would be taken and do nothing."""
    preset = load_preset("linear-regression", [own(), "loss.l2=0.1"])
    with pytest.raises(DescentError, match=r"loss\.l2 .* train\.code replaces"):
        build(preset, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=True)


def test_samples_changed_in_place_are_the_step_s_own(train: Train, own: Write) -> None:
    """`x *= 2` would change the data set a little more at every step."""
    folder = train("linear-regression", "train.steps=3", own(zero="optimizer.zero_grad(); x *= 2"))
    once = train("linear-regression", "train.steps=3", own(zero="optimizer.zero_grad(); x = x * 2"))
    assert Metrics(folder.path).column("loss").tolist() == Metrics(once.path).column("loss").tolist()
