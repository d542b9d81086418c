"""Numbers of the user's own must be those of the whole split, of each member, and may choose the model."""

from pathlib import Path

import pytest
import torch

from descent.common.errors import PresetError
from descent.run.results import result_of
from engine.training.own_metrics import OwnMetrics
from engine.training.user_code import load_object
from tests.engine.training.conftest import Train

CODE = """
import torch

def count(outputs, targets):
    assert outputs.shape[:1] == targets.shape[:1], (outputs.shape, targets.shape)
    return len(targets)

def shares(outputs, targets):
    torch.rand(3)  # must not change the training
    return {"recall of 0": (outputs.argmax(1) == targets)[targets == 0].float().mean(), "worst": outputs.min()}

def chosen(outputs, targets, seen=[0]):
    seen[0] += 1
    return 5.0 if seen[0] == 2 else 1.0

def fails(outputs, targets):
    return outputs[10**9]

def text(outputs, targets):
    return "much"

def taken(outputs, targets):
    return {"step": 1}
"""


TASK = """
import torch

class Mine:
    def setup(self, device, settings):
        self.model = settings.model
        self.optimizers = torch.optim.SGD(self.model.parameters(), lr=0.1)
    def step(self, batch):
        loss = self.model(batch[0]).square().mean()
        self.optimizers.zero_grad()
        loss.backward()
        self.optimizers.step()
        return {"loss": loss}
    def evaluate(self, loader):
        return {"loss": 1.0}
"""


@pytest.fixture
def code(tmp_path: Path) -> str:
    file = tmp_path / "mine.py"
    file.write_text(CODE)
    return f"metrics.code={file}"


def test_each_member_is_measured_over_its_whole_split(train: Train, code: str) -> None:
    """A metric that is no mean over batches, as F1 is none, would be wrong, and one of folds of other samples."""
    plain = train("digits-mlp", "data.size=200", "train.epochs=2", "members.folds=3")
    mine = train("digits-mlp", "data.size=200", "train.epochs=2", "members.folds=3", f"{code}:count,shares")
    members = result_of(mine).members
    counts = [entry.metrics["val_count"] or 0 for entry in members]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == mine.facts()["samples"]["validation"]
    assert all(0 <= (entry.metrics["val_recall of 0"] or 0) <= 1 for entry in members)
    assert result_of(mine).spread["val_worst"].n == 3
    for entry, before in zip(members, result_of(plain).members, strict=True):
        assert entry.metrics["val_loss"] == before.metrics["val_loss"]


def test_the_best_by_a_metric_is_tested(train: Train, code: str) -> None:
    """train.best would be accepted and the last model tested all the same."""
    run = train("digits-mlp", "data.size=200", "train.epochs=4", f"{code}:chosen",
                'train.best={metric = "chosen", mode = "max"}')  # fmt: skip
    steps = [e["step"] for e in run.events() if e["event"] == "evaluation" and e["split"] == "validation"]
    result = result_of(run)
    assert result.best is not None
    assert result.best.step == steps[1]
    assert result.metrics["val_chosen"] == 5
    assert result.best.checkpoint.exists()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("fails", r"mine.py, line 17: IndexError"),
        ("text", r"must return a number, or numbers by name; it returned str for text"),
        ("taken", r"step: this name can't be a metric's"),
    ],
)
def test_an_error_is_told_as_that_of_the_users_function(code: str, name: str, why: str) -> None:
    """The user would look for it in Descent."""
    from engine.preset import consent

    file = Path(code.partition("=")[2])
    consent.check_consent(f"{file}:{name}", allow=True)
    with pytest.raises(PresetError, match=why):
        OwnMetrics(f"{file}:{name}", load_object).measure(torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64))


def test_it_is_refused_where_it_would_measure_nothing(train: Train, code: str, tmp_path: Path) -> None:
    """metrics.code would be accepted beside a task that evaluates by itself, and never be called."""
    file = tmp_path / "task.py"
    file.write_text(TASK)
    with pytest.raises(AssertionError, match="return the numbers from its evaluate"):
        train("moons-mlp", "train.epochs=1", f"{code}:count", f"train.code={file}:Mine")
