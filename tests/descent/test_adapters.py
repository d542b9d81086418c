"""A training that a library drives must end as without Descent, be seen whole, and obey or say why not."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent import control
from descent.control import RefusedError
from descent.run.metrics import Metrics
from tests.helpers.loops import Script, same
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.slow

# Without arguments the script is plain. With "held" it waits for a command in its first step.
_BEGIN = """
import os, sys, time, warnings, logging
warnings.simplefilter("ignore")
logging.disable(logging.WARNING)
os.environ.update(KERAS_BACKEND="torch")
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(80, 4)
y = (x.sum(1) > 0).long()
data = TensorDataset(x, y)
options = dict(id="driven", runs_dir="runs", statistics_every=1)
epochs = 10**6 if "held" in sys.argv else 3
begin = None

def hold(run):
    while "held" in sys.argv and run is not None and run.step == 0 and run._queue.is_empty:
        time.sleep(0.005)

def net():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
"""
# Two batches make an update, whose gradients are clipped, and a scheduler is known to Lightning.
LIGHTNING = (
    _BEGIN
    + """
import lightning
callback = None
if sys.argv[1:]:
    import descent
    callback = descent.lightning.DescentCallback(**options)

class Module(lightning.LightningModule):
    def __init__(self, lr=0.01):
        super().__init__()
        self.save_hyperparameters()
        self.net = net()

    def training_step(self, batch, index):
        hold(callback and callback.run)
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        open("losses", "a").write(f"{loss.item()!r}\\n")
        return loss

    def validation_step(self, batch, index):
        made = self.net(batch[0])
        self.log("val_loss", nn.functional.cross_entropy(made, batch[1]))
        self.log("val/fraction", (made.argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
        return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

module = Module()
trainer = lightning.Trainer(
    max_epochs=epochs, min_epochs=2, accumulate_grad_batches=2, gradient_clip_val=1.0, accelerator="cpu",
    callbacks=[callback] if callback else [], logger=False, enable_checkpointing="save" in sys.argv,
    enable_progress_bar=False, enable_model_summary=False,
)
loader = DataLoader(data, batch_size=8, shuffle=True)
trainer.fit(module, loader, DataLoader(data, batch_size=40), ckpt_path="last.ckpt" if "again" in sys.argv else None)
if "save" in sys.argv:
    trainer.save_checkpoint("last.ckpt")
torch.save([module.state_dict()], "ended.pt")
"""
)
TRANSFORMERS = (
    _BEGIN
    + """
import transformers
callback = None
if sys.argv[1:]:
    import descent
    callback = descent.transformers.DescentCallback(**options)

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = net()

    def forward(self, inputs, labels):
        hold(callback and callback.run)
        made = self.net(inputs)
        loss = nn.functional.cross_entropy(made, labels)
        if self.training:
            open("losses", "a").write(f"{loss.item()!r}\\n")
        return {"loss": loss, "logits": made}

rows = [{"inputs": a, "labels": b} for a, b in data]
args = transformers.TrainingArguments(
    output_dir="saved", num_train_epochs=min(epochs, 1000), per_device_train_batch_size=8, learning_rate=0.01,
    gradient_accumulation_steps=2, eval_strategy="epoch", save_strategy="no", report_to=[], use_cpu=True,
    disable_tqdm=True, lr_scheduler_type="cosine",
)
model = Model()
trainer = transformers.Trainer(
    model, args, train_dataset=rows, eval_dataset=rows, callbacks=[callback] if callback else [],
    compute_metrics=lambda made: {"fraction": (made.predictions.argmax(1) == made.label_ids).mean()},
)
trainer.remove_callback(transformers.PrinterCallback)
trainer.train()
torch.save([model.state_dict()], "ended.pt")
"""
)
KERAS = (
    _BEGIN
    + """
import keras
keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.2), keras.layers.Dense(2),
])
rate = 0.01
if "schedule" in sys.argv:
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9)
model.compile(
    keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=[keras.metrics.SparseCategoricalAccuracy(name="fraction")],
)

class Losses(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        hold(callbacks[1].run if len(callbacks) > 1 else None)
        model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        open("losses", "a").write(f"{logs['loss']!r}\\n")

callbacks = [Losses()]
if sys.argv[1:]:
    import descent
    callbacks.append(descent.keras.DescentCallback(**options))
model.fit(x.numpy(), y.numpy(), batch_size=16, epochs=epochs, validation_data=(x.numpy(), y.numpy()), verbose=0,
          callbacks=callbacks)
torch.save([torch.from_numpy(weight).clone() for weight in model.get_weights()], "ended.pt")
"""
)
ACCELERATE = (
    _BEGIN
    + """
import accelerate
tracker = None
if sys.argv[1:]:
    import descent
    tracker = descent.accelerate.DescentTracker(**options)
accelerator = accelerate.Accelerator(
    cpu=True, gradient_accumulation_steps=2, log_with=[tracker] if tracker else None
)
accelerator.init_trackers("moons", config={"lr": 0.01})
model = net()
optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
loader = DataLoader(data, batch_size=8, shuffle=True)
model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
for epoch in range(epochs):
    for a, b in loader:
        hold(tracker and tracker.run)
        with accelerator.accumulate(model):
            loss = nn.functional.cross_entropy(model(a), b)
            open("losses", "a").write(f"{loss.item()!r}\\n")
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
    accelerator.log({"train/seen": 80, "val_loss": loss.item(), "val_fraction": 0.5})
accelerator.end_training()
torch.save([accelerator.unwrap_model(model).state_dict()], "ended.pt")
"""
)
TEXTS = {"lightning": LIGHTNING, "transformers": TRANSFORMERS, "keras": KERAS, "accelerate": ACCELERATE}
UPDATES, BATCHES = 15, {"lightning": 2, "transformers": 2, "keras": 1, "accelerate": 2}  # batches of an update
DRIVES = {"lightning": "Lightning", "transformers": "Transformers", "keras": "Keras"}


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Any]:
    """`script(library, name)`: a script of that library. The test is skipped where it is not installed."""
    made: list[Script] = []
    os.environ["KERAS_BACKEND"] = "torch"

    def make(library: str, name: str) -> Script:
        pytest.importorskip(library, reason=f"{library} is not installed: pip install -e '.[{library}]'")
        made.append(Script(tmp_path / name))
        return made[-1]

    yield make
    for one in made:
        if one.pid and not one.has_ended():
            os.kill(one.pid, signal.SIGKILL)
            one.end()


def _send(script: Script, command: str, **arguments: Any) -> dict[str, Any]:
    wait_for(lambda: (script.run.path / "control.sock").exists() or script.has_ended(), "the run's socket")
    assert not script.has_ended(), script.err
    return control.send(script.run.path, command, arguments)


@pytest.mark.parametrize("library", TEXTS)
def test_a_library_watched_ends_as_unwatched_and_is_seen_whole(script: Any, library: str) -> None:
    """Nobody could trust what the training came to, or its curves."""
    plain = script(library, "plain").start(TEXTS[library]).end()
    watched = script(library, "watched").start(TEXTS[library], "run").end()
    assert same(watched.result(), plain.result())
    run, rows = watched.run, Metrics(watched.run.path)
    assert run.state() == "finished"
    losses = np.array([float(line) for line in (watched.folder / "losses").read_text().split()])
    assert rows.column("loss") == pytest.approx(losses.reshape(UPDATES, -1).mean(1), rel=1e-5)
    assert losses.size == UPDATES * BATCHES[library]
    assert rows.column("lr")[0] == pytest.approx(0.01)
    assert (rows.column("grad_norm") > 0).all()
    assert (rows.column(next(c for c in rows.layout.columns if c.endswith("update_ratio"))) > 0).all()
    evaluations = [event for event in run.events() if event["event"] == "evaluation"]
    assert [event["step"] for event in evaluations] == [5, 10, 15]
    assert {"loss", "fraction"} <= evaluations[-1].keys()
    if library in DRIVES:
        assert (run.facts()["total_steps"], run.facts()["steps_per_epoch"]) == (15, 5)
        assert [event["epoch"] for event in run.events() if event["event"] == "epoch"] == [1, 2, 3]


@pytest.mark.parametrize("library", TEXTS)
def test_commands_reach_a_library(script: Any, library: str) -> None:
    """A command would be acknowledged and reach nothing, or end the process in the middle of the library's work."""
    steered = script(library, "steered").start(TEXTS[library], "held")
    begun = _send(steered, "pause")["step"]
    assert begun <= 1
    _send(steered, "set", edits=["lr_scale=0.5"])
    assert _send(steered, "step", steps=2)["step"] == begun + 2
    for command in ("rewind", "extend"):
        if library in DRIVES:
            why = f"{DRIVES[library]} drives this loop"
        else:
            why = "the loop of this script begins anew" if command == "rewind" else "nothing drives this loop"
        with pytest.raises(RefusedError, match=why):
            _send(steered, command, **({"steps": 1} if command == "extend" else {}))
    saved = Path(_send(steered, "checkpoint")["checkpoint"])
    answer = _send(steered, "stop")
    assert Path(answer["checkpoint"]) == saved
    assert steered.end().code == 0, steered.err
    assert steered.run.state() == "stopped"
    assert (steered.folder / "ended.pt").exists() == (library in DRIVES)  # after the library's own end
    rates = Metrics(steered.run.path).column("lr")
    assert len(rates) == begun + 2
    assert rates[begun:] == pytest.approx([0.005] * 2, rel=0.05)


def test_a_training_that_lightning_goes_on_with_goes_on_in_its_run(script: Any) -> None:
    """A resumed training would begin its curves anew, over those that were there."""
    first = script("lightning", "first").start(LIGHTNING, "save").end()
    assert first.code == 0, first.err
    again = first.start(LIGHTNING.replace("else 3", "else 5"), "again").end()
    assert again.code == 0, again.err
    assert again.run.last("resumed")["to"] == UPDATES  # type: ignore[index]
    seconds = Metrics(again.run.path).column("time")
    assert len(seconds) == 25
    assert (np.diff(seconds) > 0).all()
    assert len([event for event in again.run.events() if event["event"] == "evaluation"]) == 5


def test_a_schedule_of_keras_is_kept_while_a_hand_is_on_the_rate(script: Any) -> None:
    """The rate would stay what one command had made of it."""
    plain = script("keras", "plain").start(KERAS, "run", "schedule").end()
    steered = script("keras", "steered").start(KERAS.replace("10**6", "4"), "held", "schedule")
    begun = _send(steered, "pause")["step"]
    with pytest.raises(RefusedError, match="a schedule of its own"):
        _send(steered, "set", edits=["optimizer.lr=0.5"])
    _send(steered, "set", edits=["lr_scale=0.5"])
    _send(steered, "step", steps=2)
    _send(steered, "set", edits=["lr_scale=1"])
    _send(steered, "resume")
    assert steered.end().code == 0, steered.err
    rates = [Metrics(one.run.path).column("lr") for one in (plain, steered)]
    assert rates[0] == pytest.approx(0.01 * 0.9 ** (np.arange(15) / 5), rel=1e-5)
    expected = rates[0].copy()
    expected[begun : begun + 2] *= 0.5
    assert rates[1][:15] == pytest.approx(expected)
