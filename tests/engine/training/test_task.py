"""A class of one's own as `train.code` must be steered, saved and resumed as a preset's run is, whatever it holds."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from descent.common.errors import DescentError, PresetError
from descent.control import send
from descent.loop import checkpoint
from descent.run import scalars
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import start as launch
from engine.launch.fork import first_difference
from engine.launch.options import Options
from engine.preset.loading import load_preset
from engine.training import learned, live_edits, pictures
from engine.training.build import build
from engine.training.step import train_step
from engine.training.task_state import TaskTrainState, difference
from engine.training.train_state import TrainState
from tests.engine.training.conftest import Train
from tests.helpers.waiting import wait_for
from tests.helpers.workers import begin, child

pytestmark = pytest.mark.slow

GAN = """
import copy
import numpy as np
import torch
from torch import nn

bce = nn.functional.binary_cross_entropy_with_logits

class Gan:
    def __init__(self, noise=4, lr=0.01, judge_lr=None):
        self.noise, self.rates = noise, (lr, judge_lr or lr)

    def setup(self, device, settings):
        self.generator = nn.Sequential(nn.Linear(self.noise, 8), nn.ReLU(), nn.Linear(8, 2))
        self.critic = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
        nets = self.generator, self.critic
        self.optimizers = [torch.optim.Adam(net.parameters(), lr=lr) for net, lr in zip(nets, self.rates)]
        self.ema = copy.deepcopy(self.generator).requires_grad_(False)
        self.drawn, self.weigh = torch.Generator().manual_seed(1), np.random.default_rng(3)
        self.mean = torch.zeros(())

    def step(self, batch):
        x, fool, judge = batch[0], *self.optimizers
        fake = self.generator(torch.randn(len(x), self.noise, generator=self.drawn))
        judge.zero_grad()
        real, false = self.critic(x), self.critic(fake.detach())
        judged = bce(real, torch.ones_like(real)) + bce(false, torch.zeros_like(false))
        judged.backward()
        judge.step()
        fool.zero_grad()
        fooled = bce(self.critic(fake), torch.ones_like(real)) * float(self.weigh.random())
        fooled.backward()
        fool.step()
        self.mean = 0.9 * self.mean + 0.1 * fooled.detach()
        for slow, fast in zip(self.ema.parameters(), self.generator.parameters()):
            slow.data.lerp_(fast.data, 0.1)
        return {"loss": judged, "fooled": fooled}

    def evaluate(self, loader):
        center = torch.cat([x for x, _ in loader]).mean(0)
        made = self.ema(torch.randn(64, self.noise, generator=self.drawn))
        return {"loss": (made.mean(0) - center).norm(), "spread": float(made.std())}
"""
PLAIN = """
class Plain:
    def step(self, batch):
        x, y = batch
        self.optimizer.zero_grad()
        loss = self.loss_function(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return {"loss": loss}
"""
SETTINGS = ("train.threads=1", "train.statistics_every=5", "train.device=cpu", "data.size=200", "train.batch_size=16")
Built = Callable[..., TaskTrainState]


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """built(text of the file, name of the class, settings…) -> a run in memory at step 0."""

    def make(text: str, name: str, *settings: str, preset: str = "moons-mlp", fresh: bool = True) -> TaskTrainState:
        (tmp_path / "task.py").write_text(text)
        loaded = load_preset(preset, [*SETTINGS, f"train.code={tmp_path}/task.py:{name}", *settings])
        run = build(loaded, RunFolder(tmp_path), tmp_path, torch.device("cpu"), fresh=fresh)
        assert isinstance(run, TaskTrainState)
        return run

    return make


def steps(run: TrainState, count: int) -> list[dict[str, float]]:
    """Make steps as the loop does, and return what they tell."""
    told = []
    for _ in range(count):
        result = train_step(run, run.batches.next(), run.learning_rate(), measured=run.step % 5 == 0)
        told.append({"loss": float(result.loss), **{name: float(value) for name, value in result.scalars.items()}})
        run.step += 1
        run.batches.epoch_is_over()
    return told


def same(one: TrainState, other: TrainState) -> str | None:
    """Return the name of what differs between two runs in memory, except the time."""
    return difference(one.capture(0.0), other.capture(0.0))


SCHEDULED = (
    GAN.replace("        self.mean =", "        self.schedulers = [torch.optim.lr_scheduler.StepLR(o, 3) for o in "
                "self.optimizers]\n        self.mean =", 1)
)  # fmt: skip


@pytest.mark.parametrize("text", [GAN, SCHEDULED], ids=["two Adams and an EMA", "with schedulers"])
def test_a_gan_goes_on_from_a_checkpoint_as_if_nothing_had_been(built: Built, tmp_path: Path, text: str) -> None:
    """Its moments, its running mean, its EMA or its own generators would begin again, in silence."""
    whole, told = built(text, "Gan"), []
    told += steps(whole, 7)
    torch.save(whole.capture(0.0), tmp_path / "state.pt")
    told += steps(whole, 20)
    again = built(text, "Gan", fresh=False)
    again.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert steps(again, 20) == told[7:]
    assert same(whole, again) is None
    assert {*told[0]} == {"loss", "fooled"}


def test_what_was_made_of_it_is_seen_by_its_layers(built: Built) -> None:
    """The layers would be those of a model that nothing trains."""
    run = built(GAN, "Gan")
    assert {name.partition(".")[0] for name in run.weights()} == {"generator", "critic"}
    result = train_step(run, run.batches.next(), run.learning_rate(), measured=True)
    assert result.layers is not None
    assert result.norms is not None
    assert (result.layers[:, 0] > 0).all()  # of every layer a gradient
    assert (result.layers[:, 2] > 0).all()  # and an update


def rates(run: TaskTrainState) -> list[float]:
    return [group["lr"] for optimizer in run.task.optimizers.values() for group in optimizer.param_groups]


def test_a_rate_that_is_set_reaches_its_optimizers(built: Built) -> None:
    """`set optimizer.lr` was acknowledged and reached neither."""
    run = built(GAN, "Gan", "schedule.name=step", "schedule.every=1")
    steps(run, 1)
    assert rates(run) == [0.01, 0.01]
    live_edits.edit(run, ["optimizer.lr=0.5", "lr_scale=0.1"])
    factor = run.learning_rate() / 0.05
    steps(run, 1)
    assert rates(run) == pytest.approx([0.05 * factor] * 2)
    with pytest.raises(
        DescentError, match=r"optimizer\.beta1: task\.py:Gan makes its optimizers itself.*optimizer_for"
    ):
        live_edits.edit(run, ["optimizer.beta1=0.5"])


def test_a_rate_is_refused_where_it_would_be_anybody_s_guess(built: Built) -> None:
    """One number would replace two different rates, or be overwritten by a scheduler at the next step."""
    run = built(GAN, "Gan", "train.arguments.judge_lr=0.03")
    with pytest.raises(DescentError, match=r"have different rates \(0\.01, 0\.03\); lr_scale multiplies all"):
        live_edits.edit(run, ["optimizer.lr=0.5"])
    live_edits.edit(run, ["lr_scale=0.5"])
    steps(run, 1)
    assert rates(run) == [0.005, 0.015]
    run = built(SCHEDULED, "Gan")
    with pytest.raises(DescentError, match=r"has a scheduler of its own, which sets the rate anew; lr_scale"):
        live_edits.edit(run, ["optimizer.lr=0.5"])
    assert run.preset.optimizer.lr == 0.01  # a refused edit changes nothing


def test_lr_scale_multiplies_the_rate_of_a_scheduler_and_leaves_it_as_it_was(built: Built) -> None:
    """A scheduler that reads the last rate would go down for good after one touch of the dial."""
    plain, scaled = built(SCHEDULED, "Gan"), built(SCHEDULED, "Gan")
    live_edits.edit(scaled, ["lr_scale=0"])
    before = {name: tensor.clone() for name, tensor in scaled.weights().items()}
    steps(plain, 7)
    steps(scaled, 7)
    assert difference(before, scaled.weights()) is None
    assert rates(plain) == rates(scaled) == pytest.approx([1e-4] * 2)
    assert plain.learning_rate() == pytest.approx(1e-4)
    assert scaled.learning_rate() == 0


def test_without_more_than_a_step_it_trains_the_preset_s_model(train: Train, tmp_path: Path) -> None:
    """A class with a step alone would be another training than the function it replaces."""
    (tmp_path / "plain.py").write_text(PLAIN)
    settings = ["digits-mlp", "data.size=200", "optimizer.momentum=0.9", "train.steps=25", "schedule.name=cosine"]
    ours, theirs = train(*settings), train(*settings, f"train.code={tmp_path}/plain.py:Plain")
    one, other = (checkpoint.read(folder.checkpoint(25))["model"] for folder in (ours, theirs))
    assert difference(one, other) is None
    rows, again = Metrics(ours.path), Metrics(theirs.path)
    assert rows.layout is not None
    for name in rows.layout.columns:
        if name != "time":
            np.testing.assert_array_equal(rows.column(name), again.column(name), err_msg=name)
    found = [event for event in ours.events() if event["event"] == "evaluation"]
    told = [event for event in theirs.events() if event["event"] == "evaluation"]
    assert [event["loss"] for event in found] == [event["loss"] for event in told]
    images = np.zeros((1, 1, 8, 8), dtype=np.float32)
    assert learned.load(theirs, allow_code=True).predict(images) == learned.load(ours).predict(images)


def test_networks_of_its_own_are_not_predicted_with(train: Train, tmp_path: Path) -> None:
    """The preset's model, which nothing has trained, would predict; or a bug of Descent be told."""
    (tmp_path / "task.py").write_text(GAN)
    folder = train("moons-mlp", f"train.code={tmp_path}/task.py:Gan", "train.steps=12", "data.size=200")
    with pytest.raises(DescentError, match=r"trains networks that the class of train\.code has made"):
        learned.load(folder, allow_code=True)
    evaluated = [event for event in folder.events() if event["event"] == "evaluation"]
    assert {"loss", "spread"} <= evaluated[-1].keys()
    assert scalars.read(folder.path)["fooled"].steps.tolist() == list(range(12))
    assert evaluated[-1]["split"] == "test"


def test_a_picture_of_them_is_refused_with_the_reason(built: Built) -> None:
    run = built(GAN, "Gan")
    with pytest.raises(DescentError, match=r"picture boundary is drawn of the preset's model"):
        pictures.make(run, "boundary")


def test_an_evaluation_leaves_the_run_as_it_was(built: Built) -> None:
    """A run that somebody looked at would end otherwise."""
    run, other = built(GAN, "Gan"), built(GAN, "Gan")
    steps(run, 3)
    steps(other, 3)
    run.task.user.generator.eval()
    first, second = run.evaluate("validation")[0], run.evaluate("validation")[0]
    assert first == second
    assert not run.task.user.generator.training  # as the task has left it
    assert run.task.user.critic.training
    assert same(run, other) is None


def setup_with(lines: str, *, step: str = "", more: str = "") -> str:
    """Return a class whose setup and step have further lines."""
    return (
        PLAIN.replace("    def step", "    def setup(self, device, settings):\n        self.model = settings.model\n"
                      "        self.loss_function = settings.loss_function\n"
                      "        self.optimizer = settings.optimizer_for(self.model.parameters())\n"
                      f"        {lines}\n    def step", 1)
        .replace("        x, y = batch\n", f"        x, y = batch\n        {step}\n")
    ) + more  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (setup_with("self.calls = 0", step="self.calls += 1"), r"Plain\": calls is not in a checkpoint"),
        (setup_with("self.past = []", step="self.past.append(1)"), "past is not in a checkpoint"),
        (setup_with("pass", step="if not hasattr(self, 'late'): import torch; self.late = torch.nn.Linear(1, 1)"),
         "late is made while it trains"),
        ("import torch\nkept, zero = [], torch.zeros(1, requires_grad=True)\n"
         + setup_with("kept.append(torch.optim.SGD([zero]))"),
         r"line 9 makes an optimizer \(SGD\) that is no attribute of the task"),
        (setup_with("pass", more="\n    def state(self):\n        return {}\n"),
         r"state\(\) and load_state\(state\) belong together"),
        (setup_with("import torch; self.odd = Odd(torch)", more="\nclass Odd:\n    def __init__(self, torch):\n"
         "        self.value = torch.rand(1)\n    def state_dict(self):\n        return {'a': 1}\n    "
         "def load_state_dict(self, state):\n        raise KeyError('nothing is taken')\n"),
         r"does not take up the state of the first one.*odd does not fit.*nothing is taken"),
        (setup_with("self.odd = Odd()", more="\nclass Odd:\n    def load_state_dict(self, state):\n"
         "        pass\n    def state_dict(self):\n        return {'a': self}\n"),
         "state of odd holds what no checkpoint can"),
        (setup_with("self.optimizer = None"), "no optimizer is among its attributes"),
        (setup_with("pass", step="return {'lost': 1.0}"), r"must return \{\"loss\": …\}.*it returned \{'lost'\}"),
        (setup_with("pass", step="return x"), r"must return .*it returned a tensor of shape"),
        (setup_with("pass", step="return {'loss': x}"), r'returned a tensor of shape \(16, 2\) as "loss"'),
        (setup_with("pass", step="raise ValueError('mine')"), r"task\.py, line 10: ValueError: mine"),
    ],
    ids=["a counter", "a list", "late", "no attribute", "half a state", "not taken up", "unkeepable", "no optimizer",
         "no loss", "a tensor", "a batch", "an error"],
)  # fmt: skip
def test_what_could_not_be_resumed_is_refused_in_words(built: Built, text: str, said: str) -> None:
    """The run would be another one after each resume, rewind and fork, without a word."""
    with pytest.raises(PresetError, match=said):
        steps(built(text, "Plain"), 3)


STATE = """
    def state(self):
        return {"calls": self.calls}

    def load_state(self, state):
        self.calls = state["calls"]
"""


@pytest.mark.parametrize(
    "text",
    [
        setup_with("self.calls = 0", step="self.calls += 1; self._seen = self.calls", more=STATE),
        setup_with("import torch; self.calls = torch.zeros(2)", step="self.calls = self.calls + 1"),
        "import torch\n" + setup_with("self.calls = 0").replace("class Plain:", "class Plain(torch.nn.Module):"),
    ],
    ids=["state()", "a tensor", "an nn.Module"],
)
def test_what_is_said_to_be_its_state_is_kept(built: Built, tmp_path: Path, text: str) -> None:
    whole = built(text, "Plain")
    steps(whole, 3)
    torch.save(whole.capture(0.0), tmp_path / "state.pt")
    steps(whole, 9)
    again = built(text, "Plain", fresh=False)
    again.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    steps(again, 9)
    assert same(whole, again) is None
    assert torch.equal(torch.as_tensor(whole.task.user.calls), torch.as_tensor(again.task.user.calls))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["members.repeats=2"], r"is a class, which trains in a run of its own: leave \[members\] out"),
        (["train.arguments.width=3"], r"Descent calls Gan\(width=3\), and Gan does not take these arguments"),
        (["loss.l2=0.1"], r"loss\.l2 is added to the loss by Descent's own training step"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(built: Built, settings: Sequence[str], said: str) -> None:
    with pytest.raises(PresetError, match=said):
        built(GAN, "Gan", *settings)
    with pytest.raises(PresetError, match=r"train\.arguments = .* are those of train\.code, and there is none"):
        load_preset("moons-mlp", ["train.arguments.width=3"])


def test_a_mask_may_be_infinite_and_a_weight_may_not(built: Built) -> None:
    """A network with a mask of its own would never be saved."""
    mask = GAN.replace(
        "        nets = ",
        "        self.critic.register_buffer('mask', torch.full((2,), -torch.inf))\n        nets = ",
    )
    assert built(mask, "Gan").broken() == {}
    broken = GAN.replace(
        "        nets = ", "        nn.init.constant_(self.critic[0].bias, torch.nan)\n        nets = "
    )
    with pytest.raises(PresetError, match=r"critic\.0\.bias holds NaN or infinite numbers before the first step"):
        built(broken, "Gan")


def test_a_class_without_a_step_is_told_so(built: Built) -> None:
    with pytest.raises(PresetError, match=r"a class must have a method step\(self, batch\)"):
        built("class Empty:\n    pass\n", "Empty")
    with pytest.raises(PresetError, match=r"Descent calls Odd\.step\(self, batch\), and Odd\.step does not take"):
        built("class Odd:\n    def step(self):\n        pass\n", "Odd")
    with pytest.raises(
        PresetError, match=r"has a scheduler of its own, and the preset has schedule\.name = \"cosine\""
    ):
        built(SCHEDULED, "Gan", "schedule.name=cosine")


LOADERS = """
import random
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

class Points(Dataset):
    def __init__(self, count):
        self.x = torch.linspace(-1, 1, 2 * count).reshape(count, 2)

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        noise = torch.rand(2) + random.random() + np.random.rand()  # as augmentation draws it
        return self.x[i] + noise.float(), int(i % 2)

class Own:
    def setup(self, device, settings):
        self.model, self.loss_function = settings.model, settings.loss_function
        self.optimizer = settings.optimizer_for(self.model.parameters())
        self.order = torch.Generator().manual_seed(5)
        self.seen = []

    def loaders(self):
        train = DataLoader(Points(50), batch_size=8, shuffle=True, generator=self.order)
        return {"train": train, "validation": DataLoader(Points(12), batch_size=5, shuffle=True)}

    def step(self, batch):
        x, y = batch
        loss = self.loss_function(self.model(x), y) * (1 + torch.rand(()))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": loss, "x": x.sum()}

    def evaluate(self, loader):
        return {"loss": sum(float(self.loss_function(self.model(x), y)) for x, y in loader) / len(loader)}
"""


@pytest.mark.parametrize("at", [0, 5, 7, 10])
def test_its_own_loaders_go_on_in_the_middle_of_an_epoch(built: Built, tmp_path: Path, at: int) -> None:
    """A resumed run would see samples twice, in another order, or augmented in another way."""
    text = LOADERS.replace("        self.seen = []\n", "")
    whole = built(text, "Own")
    assert whole.batches.per_epoch == 7
    told = steps(whole, at)
    torch.save(whole.capture(0.0), tmp_path / "state.pt")
    told += steps(whole, 16 - at)
    assert len({step["x"] for step in told}) == 16
    again = built(text, "Own", fresh=False)
    again.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert steps(again, 16 - at) == told[at:]
    assert same(whole, again) is None
    assert whole.batches.epoch == 2


def test_it_is_evaluated_on_its_own_loaders(train: Train, tmp_path: Path) -> None:
    """The preset's data, which it does not train on, would score it."""
    (tmp_path / "own.py").write_text(LOADERS.replace("        self.seen = []\n", ""))
    folder = train("moons-mlp", f"train.code={tmp_path}/own.py:Own", "train.epochs=2", "data.size=300")
    evaluated = [event for event in folder.events() if event["event"] == "evaluation"]
    assert {event["split"] for event in evaluated} == {"validation"}  # there is no loader for a test
    assert folder.facts()["samples"] == {"train": 50}
    assert folder.facts()["steps_per_epoch"] == 7
    assert len(Metrics(folder.path)) == 14


@pytest.mark.parametrize(
    ("loaders", "said"),
    [
        ("{'validation': []}", r'loaders\(\) must return \{"train": …\}.*it returned \{\'validation\'\}'),
        ("iter([])", r'loaders\(\) must return \{"train": …\}'),
        ("{'train': iter([])}", "the training loader must have a length"),
        ("{'train': []}", "the training loader has no batches"),
    ],
)
def test_loaders_that_are_none_are_refused(built: Built, loaders: str, said: str) -> None:
    text = PLAIN + f"\n    def loaders(self):\n        return {loaders}\n"
    with pytest.raises(PresetError, match=said):
        built(text, "Plain")


def test_a_loader_that_ends_early_and_a_size_that_is_set_are_told(built: Built) -> None:
    short = "[1, 2, 3]\nclass Short(list):\n    def __iter__(self):\n        return iter([])\n"
    run = built(PLAIN + "\n    def loaders(self):\n        return {'train': Short(kept)}\n\nkept = " + short, "Plain")
    with pytest.raises(DescentError, match=r"train\.batch_size: the class of train\.code makes its loaders itself"):
        live_edits.edit(run, ["train.batch_size=4"])
    with pytest.raises(PresetError, match=r"says that it has 3 batches, and epoch 1 ended after 0"):
        steps(run, 1)


def test_a_killed_run_of_a_gan_is_resumed_rewound_and_forked_bit_for_bit(tmp_path: Path) -> None:
    """Two Adams made by the user's own code were lost at each of these."""
    (tmp_path / "task.py").write_text(GAN)
    common = [*SETTINGS, f"train.code={tmp_path}/task.py:Gan", "train.checkpoint_every.steps=10"]

    def start(run_id: str, *settings: str) -> int:
        options = Options(run_id, tmp_path / "runs", quiet=True, allow_code=True)
        return launch.run("moons-mlp", [*common, *settings], options)

    def folder(name: str) -> RunFolder:
        return RunFolder(tmp_path / "runs" / name)

    def options(**more: Any) -> Options:
        return Options(runs_dir=tmp_path / "runs", quiet=True, allow_code=True, **more)

    assert child(lambda: start("whole", "train.steps=60")) == 0
    pid = begin(lambda: start("hit", "train.steps=100000"))
    wait_for(lambda: folder("hit").path.exists() and len(Metrics(folder("hit").path)) > 25, "its first rows")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    again = begin(lambda: launch.resume(str(folder("hit").path), options()))
    wait_for(lambda: folder("hit").last("resumed") and folder("hit").state() == "running", "the resumed run")
    send(folder("hit").path, "pause")
    first = folder("hit").checkpoints()[0]
    assert send(folder("hit").path, "rewind", {"to": first})["ok"]
    send(folder("hit").path, "step", {"steps": 60})
    send(folder("hit").path, "stop")
    assert os.waitstatus_to_exitcode(os.waitpid(again, 0)[1]) == 0
    assert first_difference(folder("whole"), folder("hit")) is None
    fork = options(run_id="forked")
    assert child(lambda: launch.fork(str(folder("whole").path), 50, [], fork)) == 0
    assert first_difference(folder("whole"), folder("forked")) is None
    curves = [scalars.read(folder(name).path)["fooled"] for name in ("whole", "hit", "forked")]
    assert all(one.steps.tolist() == list(range(60)) for one in curves)
    assert all(one.values.tolist() == curves[0].values.tolist() for one in curves)
    assert child(lambda: launch.replay(str(folder("whole").path), options(run_id="again"))) == 0
    states = [checkpoint.read(folder(name).checkpoint(60)) for name in ("whole", "hit", "forked", "again")]
    for key in ("model", "update", "task"):
        assert all(difference(states[0][key], state[key]) is None for state in states[1:])
