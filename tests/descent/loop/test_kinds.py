"""Loops as people write them must go on exactly: mixed precision, two optimizers, gathered gradients, closures."""

import signal

import numpy as np
import pytest

from descent.loop import checkpoint
from descent.run import scalars
from descent.run.metrics import Metrics
from tests.helpers.loops import Made, Script, same, send

pytestmark = pytest.mark.slow

# Run without arguments a script is plain; with "driven" it is a run, and with "killed" it kills itself in step 11.
_BEGIN = """
import os, sys, torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

torch.manual_seed(0)
torch.set_num_threads(1)
x = torch.randn(80, 4)
y = (x.sum(1) > 0).long()
loader = DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True)
is_run = len(sys.argv) > 1

def begin(model, optimizers, **kept):
    import descent
    run = descent.init("kinds", id="driven", runs_dir="runs", statistics_every=3)
    return run.watch(model, optimizers).track(**kept)

def after(run):
    if sys.argv[1:] == ["killed"] and run.step == 9:
        run.save()
    if sys.argv[1:] == ["killed"] and run.step == 11:
        os.kill(os.getpid(), 9)
"""
# Mixed precision with a scaler, gradients of two batches in one update, two optimizers, a schedule, an average.
AMP = (
    _BEGIN
    + """
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
body, head = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2)), nn.Linear(8, 2)
one, two = torch.optim.AdamW(body.parameters(), lr=0.01), torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
scheduler = torch.optim.lr_scheduler.OneCycleLR(one, 0.02, total_steps=40)
scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=4)
ema = AveragedModel(head, multi_avg_fn=get_ema_multi_avg_fn(0.9))
if is_run:
    run = begin(body, [one, two], head=head, scheduler=scheduler, scaler=scaler, ema=ema)
    batches = run.batches(loader, epochs=4)
else:
    batches = (batch for epoch in range(4) for batch in loader)
turn = 2 * run.step if is_run else 0
for inputs, targets in batches:
    turn += 1
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nn.functional.cross_entropy(head(body(inputs)), targets) / 2
    scaler.scale(loss).backward()
    if turn % 2 == 0:
        scaler.step(one)
        scaler.step(two)
        scaler.update()
        scheduler.step()
        ema.update_parameters(head)
        one.zero_grad()
        two.zero_grad()
        if is_run:
            after(run)
kept = [body, head, ema, scaler, scheduler]
torch.save([one.state_dict() for one in kept], "ended.pt")
"""
)
# A generator and a discriminator, each with its own loss; an own generator of random numbers draws the noise.
GAN = (
    _BEGIN
    + """
import numpy as np
maker, judge = nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
one, two = torch.optim.Adam(maker.parameters(), lr=0.01), torch.optim.Adam(judge.parameters(), lr=0.02)
noise = np.random.default_rng(0)
loss_of = nn.functional.binary_cross_entropy_with_logits
if is_run:
    run = begin([maker, judge], [one, two], noise=noise)
    turns = run.steps(20)
else:
    turns = range(20)
for turn in turns:
    made = maker(torch.from_numpy(noise.standard_normal((8, 3))).float())
    judged = judge(torch.cat([x[torch.randint(80, (8,))], made.detach()]))
    two.zero_grad()
    loss_of(judged[:, 0], torch.cat([torch.ones(8), torch.zeros(8)])).backward()
    two.step()
    one.zero_grad()
    loss = loss_of(judge(made)[:, 0], torch.ones(8))
    loss.backward()
    one.step()
    open("losses", "a").write(f"{loss.item()!r}\\n")
    if is_run:
        after(run)
torch.save([maker.state_dict(), judge.state_dict(), torch.from_numpy(noise.standard_normal(2))], "ended.pt")
"""
)
# An optimizer that evaluates the loss several times in one step.
CLOSURE = (
    _BEGIN
    + """
model = nn.Linear(4, 2)
optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
turns = range(20)
if is_run:
    run = begin(model, optimizer)
    turns = run.steps(20)

def closure():
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    norms.append(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()]).item())
    return loss

for turn in turns:
    norms = []
    loss = optimizer.step(closure)
    open("norms", "a").write(f"{norms[0]!r}\\n")
    open("losses", "a").write(f"{loss.item()!r}\\n")
    if is_run:
        after(run)
torch.save([model.state_dict()], "ended.pt")
"""
)


@pytest.mark.parametrize("text", [AMP, GAN, CLOSURE], ids=["amp", "gan", "closure"])
def test_a_killed_loop_of_any_kind_ends_as_the_plain_one(script: Made, text: str) -> None:
    """What a loop keeps beside its model would be lost: the scale, the other optimizer, the history of LBFGS."""
    plain = script("plain").start(text).end()
    killed = script("killed").start(text, "killed").end()
    assert killed.code == -signal.SIGKILL, killed.err
    assert killed.run.checkpoints()[-1] == 9
    again = killed.start(text, "driven").end()
    assert same(again.result(), plain.result())
    assert killed.run.last("resumed")["to"] == 9  # type: ignore[index]
    told = killed.run.last("exact")
    assert told is not None
    assert told["why_not"] == []
    assert len(Metrics(killed.run.path)) == 20


@pytest.mark.parametrize("text", [GAN, CLOSURE], ids=["gan", "closure"])
def test_the_loss_of_a_row_is_that_of_the_main_optimizers_step(script: Made, text: str) -> None:
    """A generator's curve would show the discriminator's losses, that of LBFGS the sum of its tries."""
    driven = script("driven").start(text, "driven").end()
    assert driven.code == 0, driven.err
    losses = [float(line) for line in (driven.folder / "losses").read_text().split()]
    assert np.allclose(Metrics(driven.run.path).column("loss"), losses, rtol=1e-6)


@pytest.mark.parametrize("watched", [False, True])
def test_the_other_optimizer_has_its_losses_and_its_place_in_the_checkpoint(script: Made, *, watched: bool) -> None:
    """Of a GAN one half would be seen and saved. Unchanged, the judge, which steps first, is the main one."""
    told = GAN.replace("    loss_of(judged", "    first = loss_of(judged").replace(
        "torch.zeros(8)])).backward()", "torch.zeros(8)]))\n    first.backward()"
    )
    told = told.replace("{loss.item()!r}", "{first.item()!r} {loss.item()!r}")
    gan = script("both").start(told, *(() if watched else ("driven",)), watched=watched)
    assert gan.end().code == 0, gan.err
    lines = (gan.folder / "losses").read_text().split()
    of_judge, of_maker = np.array([float(one) for one in lines]).reshape(-1, 2).T
    main, other = (of_judge, of_maker) if watched else (of_maker, of_judge)
    assert np.allclose(Metrics(gan.run.path).column("loss"), main, rtol=1e-6)
    found = scalars.read(gan.run.path)["loss2"]
    assert np.allclose(found.values, other[found.steps], rtol=1e-6)
    assert len(found.steps) == 20
    if watched:
        steered, _rates = rates_of(script, (), ["lr_scale=1"])
        saved = checkpoint.read(steered.run.checkpoint(steered.run.checkpoints()[-1]))["objects"]
        assert sorted(saved) == ["model", "model2", "optimizer", "optimizer2"]
        assert set(saved["model2"]) == {"weight", "bias"}


def test_a_loss_of_which_two_optimizers_step_is_that_of_both(script: Made) -> None:
    """The main one would have no loss where the other steps before it."""
    shared = GAN.replace("    two.step()\n    one.zero_grad()\n", "    one.zero_grad()\n    two.zero_grad()\n")
    shared = shared.replace("    one.step()\n", "    two.step()\n    one.step()\n")
    driven = script("driven").start(shared, "driven").end()
    assert driven.code == 0, driven.err
    losses = [float(line) for line in (driven.folder / "losses").read_text().split()]
    assert driven.run.last("warning") is None
    assert len(Metrics(driven.run.path).column("loss")) == len(losses)
    assert np.isfinite(Metrics(driven.run.path).column("loss")).all()


def test_the_gradients_of_a_row_are_those_that_the_closure_found_first(script: Made) -> None:
    """They would be those of the step before, or none, wherever a closure calls backward()."""
    driven = script("driven").start(CLOSURE, "driven").end()
    assert driven.code == 0, driven.err
    norms = np.array([float(line) for line in (driven.folder / "norms").read_text().split()])
    assert np.allclose(Metrics(driven.run.path).column("grad_norm")[::3], norms[::3], rtol=1e-5)


def test_the_loss_of_gathered_gradients_is_their_sum(script: Made) -> None:
    """A loop that halves the loss of each of two batches would be shown with half of its loss."""
    told = AMP.replace(
        "    scaler.scale(loss)", '    open("losses", "a").write(f"{loss.item()!r}\\n")\n    scaler.scale(loss)'
    )
    driven = script("driven").start(told, "driven").end()
    assert driven.code == 0, driven.err
    halves = np.array([float(line) for line in (driven.folder / "losses").read_text().split()])
    assert np.allclose(Metrics(driven.run.path).column("loss"), halves.reshape(-1, 2).sum(1), rtol=1e-5)
    assert (driven.run.facts()["total_steps"], driven.run.facts()["steps_per_epoch"]) == (20, 5)


ENDLESS = GAN.replace("(20)", "(10**6)").replace(
    "    if is_run:\n        after(run)",
    '    print(one.param_groups[0]["lr"], two.param_groups[0]["lr"], flush=True)',
)


def rates_of(script: Made, arguments: tuple[str, ...], edits: list[str]) -> tuple[Script, list[float]]:
    """The rates of both optimizers in the step after some edits, and the script, stopped."""
    steered = script("gan").start(ENDLESS, *arguments, watched=not arguments)
    send(steered, "pause")
    send(steered, "set", edits=edits)
    send(steered, "step", steps=2)
    send(steered, "stop")
    assert steered.end().code == 0, steered.err
    return steered, [float(rate) for rate in (steered.folder / "out").read_text().splitlines()[-1].split()]


def test_each_of_two_optimizers_has_its_rate(script: Made) -> None:
    """Somebody who lowers a discriminator's rate would lower the generator's, or none."""
    steered, rates = rates_of(script, ("driven",), ["optimizer2.lr=0.5", "optimizer2.weight_decay=0.1"])
    assert rates == [0.01, 0.5]
    told = {one["name"]: one["value"] for one in steered.run.facts()["settings"]}
    assert told == {"optimizer2.lr": 0.02, "optimizer2.weight_decay": 0.0}


def test_a_rate_that_only_one_optimizer_of_an_unchanged_script_gets_is_told_so(script: Made) -> None:
    """The other one would train on at the old rate, though the change was acknowledged."""
    steered, rates = rates_of(script, (), ["optimizer.lr=0.5"])
    assert sorted(rates) == [0.01, 0.5]
    assert "lr_scale reaches all optimizers" in steered.run.last("warning")["message"]  # type: ignore[index]
