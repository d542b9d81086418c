"""If these fail, the learning rate that is drawn and applied is not the one that the preset asked for.

A live run that is made longer, or given another batch size, must not see its learning rate jump.
"""

import itertools
import json
import math
import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch.optim import lr_scheduler

from engine.preset import schedule, schema
from engine.preset.loading import load_preset
from engine.preset.schedule import HAS_HORIZON, Plan, SchedulePosition, learning_rate, planned

STEPS, PER_EPOCH = 60, 7


def section(**keys: Any) -> schema.AnySchedule:
    parsed: schema.AnySchedule = TypeAdapter(schema.AnySchedule).validate_python(keys)
    return parsed


def ours(keys: dict[str, Any], steps: int = STEPS) -> list[float]:
    parsed = section(**keys)
    return [schedule.scale(parsed, step, steps, PER_EPOCH) for step in range(steps)]


def theirs(make: Any, steps: int = STEPS, every: int = 1) -> list[float]:
    """The scales of a scheduler of torch's that is stepped each `every` updates."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(optimizer)
    scales = []
    for step in range(1, steps + 1):
        scales.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        if step % every == 0:
            scheduler.step()
    return scales


def test_step_falls_at_the_epochs_at_which_torch_falls() -> None:
    """A rate that falls an epoch too early or late spoils the comparison with other people's runs."""
    expected = theirs(lambda o: lr_scheduler.StepLR(o, step_size=3, gamma=0.5), every=PER_EPOCH)
    assert ours({"name": "step", "every": 3, "gamma": 0.5}) == pytest.approx(expected)


def test_exponential_agrees_with_torch_at_every_epoch_and_is_smooth_between() -> None:
    """The rate of an epoch would not be gamma to the power of its number."""
    expected = theirs(lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9), every=PER_EPOCH)
    got = ours({"name": "exponential", "gamma": 0.9})
    assert got[::PER_EPOCH] == pytest.approx(expected[::PER_EPOCH])
    assert all(a > b for a, b in itertools.pairwise(got))


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_is_torchs(final: float) -> None:
    """The most common schedule would be bent."""
    make = lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=STEPS - 1, eta_min=final)  # noqa: E731
    assert ours({"name": "cosine", "final": final}) == pytest.approx(theirs(make), abs=1e-9)


def test_linear_is_torchs() -> None:
    """A straight line would end too high or too low."""
    make = lambda o: lr_scheduler.LinearLR(o, start_factor=1.0, end_factor=0.2, total_iters=STEPS - 1)  # noqa: E731
    assert ours({"name": "linear", "final": 0.2}) == pytest.approx(theirs(make))


@pytest.mark.parametrize("peak", [0.3, 0.5])
def test_one_cycle_is_torchs(peak: float) -> None:
    """A recipe from a paper would not be reproduced."""
    make = lambda o: lr_scheduler.OneCycleLR(  # noqa: E731
        o, max_lr=1.0, total_steps=STEPS + 1, pct_start=peak, div_factor=25, final_div_factor=400
    )
    # torch counts one step more than it has updates; with STEPS of them its last is never used.
    got = ours({"name": "one-cycle", "peak": peak, "start": 0.04, "final": 0.0001}, STEPS + 1)
    assert got[:STEPS] == pytest.approx(theirs(make), abs=1e-9)


@pytest.mark.parametrize("steps", [2, 3, 10, 1000])
@pytest.mark.parametrize("warmup", [0, 1])
@pytest.mark.parametrize("name", ["linear", "cosine", "one-cycle"])
def test_falling_schedules_end_exactly_at_final(name: str, warmup: int, steps: int) -> None:
    """The last update would be made with a rate that nobody asked for."""
    if steps - warmup > 1:
        assert ours({"name": name, "final": 0.25, "warmup": warmup}, steps)[-1] == 0.25


@pytest.mark.parametrize("name", ["linear", "cosine", "one-cycle"])
@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (1, 5), (5, 4), (5, 5), (5, 50)])
def test_every_length_gives_a_rate_that_learns(name: str, steps: int, warmup: int) -> None:
    """A training of one step, or one that ends within its warm-up, would divide by zero or learn nothing."""
    assert all(0 < scale <= 1 for scale in ours({"name": name, "warmup": warmup}, steps))


def test_inverse_time_halves_when_decay_times_step_is_one() -> None:
    """Robbins and Monro's rate would fall at another speed."""
    got = ours({"name": "inverse-time", "decay": 0.1})
    assert got[0] == 1
    assert got[10] == pytest.approx(0.5)
    assert got[40] == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["constant", "step", "exponential", "linear", "cosine", "inverse-time", "plateau"])
def test_warm_up_grows_in_equal_steps_to_the_schedules_first_value(name: str) -> None:
    """A rate that diverges from the start is tamed by warm-up only if it does start near 0."""
    got = ours({"name": name, "warmup": 10})
    assert got[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert got[10:] == pytest.approx(ours({"name": name}, STEPS - 10))


def test_warm_up_of_one_cycle_leads_to_its_start() -> None:
    """Warm-up before one-cycle would overshoot the cycle's own low start."""
    got = ours({"name": "one-cycle", "start": 0.5, "warmup": 4})
    assert got[:5] == pytest.approx([0.125, 0.25, 0.375, 0.5, 0.5])


def test_beyond_the_planned_end_the_rate_stays() -> None:
    """A run that is extended would jump to a rate outside the plan."""
    parsed = section(name="cosine", final=0.1)
    assert schedule.scale(parsed, STEPS + 30, STEPS, PER_EPOCH) == pytest.approx(0.1)


def test_a_growing_schedule_does_not_crash() -> None:
    """A learning-rate range test that runs on for long would end in an OverflowError."""
    assert math.isfinite(schedule.scale(section(name="exponential", gamma=10.0), 10_000, 10_000, 1))


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_plateau_falls_when_torchs_does(patience: int) -> None:
    """The rate would fall an evaluation early or late."""
    losses = [3.0, 2.0, 2.0, 2.1, 1.5, 1.6, 1.7, 1.5, 1.8, 1.4, 1.4, 1.4, 1.4, 1.4, 1.4, 1.4, 1.3, 1.3]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    # torch waits for more than `patience` evaluations, Descent for `patience`.
    torchs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience - 1, threshold=0.0, min_lr=0.2)
    plateau = schedule.Plateau(plateau_section(factor=0.5, patience=patience, floor=0.2))
    for loss in losses:
        torchs.step(loss)
        before = plateau.scale
        assert plateau.observe(loss) == (plateau.scale < before)
        assert plateau.scale == pytest.approx(optimizer.param_groups[0]["lr"])
    assert plateau.scale < 1


def plateau_section(**keys: Any) -> schema.PlateauSchedule:
    return schema.PlateauSchedule(name="plateau", **keys)


def test_plateau_goes_on_after_a_resume_as_if_it_had_not_stopped() -> None:
    """A resumed run would wait anew, and train with another rate than one that was not interrupted."""
    losses = [1.0, 1.1, 1.2, 0.9, 0.9, 0.9, 0.9, 0.8, 0.9, 0.9]
    whole = schedule.Plateau(plateau_section(patience=2))
    expected = [(whole.observe(loss), whole.scale) for loss in losses]
    for cut in range(len(losses)):
        first = schedule.Plateau(plateau_section(patience=2))
        got = [(first.observe(loss), first.scale) for loss in losses[:cut]]
        second = schedule.Plateau(plateau_section(patience=2))
        second.restore(first.state())
        assert got + [(second.observe(loss), second.scale) for loss in losses[cut:]] == expected


def test_plateau_counts_nan_as_no_progress() -> None:
    """One NaN would be taken for the best loss ever, or stop the waiting."""
    plateau = schedule.Plateau(plateau_section(patience=2))
    assert [plateau.observe(loss) for loss in (1.0, math.nan, math.nan, 0.5)] == [False, False, True, False]


@pytest.mark.parametrize(("steps", "points"), [(1, 10), (5, 10), (1000, 11), (1000, 1), (3, 3)])
def test_curve_spans_the_training(steps: int, points: int) -> None:
    """The drawn plan would end before the training does, or have more points than were asked for."""
    parsed = section(name="cosine", warmup=2)
    curve = schedule.curve(parsed, steps, PER_EPOCH, points)
    assert curve[0][0] == 0
    assert curve[-1][0] == steps - 1
    assert len(curve) <= max(points, 2)
    assert all(scale == schedule.scale(parsed, step, steps, PER_EPOCH) for step, scale in curve)
    assert [step for step, _ in curve] == sorted({step for step, _ in curve})


def test_importing_schedules_loads_no_torch() -> None:
    """The screen draws schedules, and would take seconds to open."""
    check = "import sys, engine.preset.schedule; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


LINEAR = schema.FallingSchedule(name="linear")


def _rates(pace: SchedulePosition, section: schema.AnySchedule, steps: range) -> list[float]:
    return [pace.scale(section, step) for step in steps]


def test_a_schedule_with_an_end_stretches_to_the_new_one() -> None:
    pace = SchedulePosition(total=101, per_epoch=10)
    before = pace.scale(LINEAR, 50)
    pace.extend(LINEAR, 50, left_before=51, left_now=151)
    rates = _rates(pace, LINEAR, range(50, 201))
    assert rates[0] == before == pytest.approx(0.5)
    assert rates[-1] == pytest.approx(0.0, abs=1e-12)
    assert rates == sorted(rates, reverse=True)
    assert pace.scale(LINEAR, 125) == pytest.approx(0.25)


def test_a_schedule_without_an_end_goes_on_as_it_was() -> None:
    section = schema.InverseTimeSchedule(name="inverse-time")
    pace, untouched = SchedulePosition(100, 10), SchedulePosition(100, 10)
    pace.extend(section, 50, left_before=50, left_now=500)
    assert _rates(pace, section, range(50, 90)) == _rates(untouched, section, range(50, 90))


def test_another_batch_size_keeps_the_place_in_the_epochs() -> None:
    section = schema.StepSchedule(name="step", every=2, gamma=0.5)
    pace = SchedulePosition(total=100, per_epoch=10)
    pace.resize(section, 10, 10 / 5, left_before=90, left_now=45)  # after one epoch: batches twice as large
    assert [pace.scale(section, step) for step in (10, 14, 15, 24, 25)] == [1.0, 1.0, 0.5, 0.5, 0.25]


@pytest.mark.parametrize("left_now", [90, 45, 360])
@pytest.mark.parametrize("name", HAS_HORIZON)
def test_with_another_batch_size_a_schedule_with_an_end_still_ends_with_the_run(name: str, left_now: int) -> None:
    """With train.steps, which is kept, the rate would be down at its end long before the run is."""
    kind = schema.OneCycleSchedule if name == "one-cycle" else schema.FallingSchedule
    section = kind(name=name)  # type: ignore[arg-type]
    pace, untouched = SchedulePosition(total=100, per_epoch=10), SchedulePosition(total=100, per_epoch=10)
    pace.resize(section, 10, 10 / 5, left_before=90, left_now=left_now)
    rates = _rates(pace, section, range(10, 10 + left_now))
    assert rates[0] == untouched.scale(section, 10)
    assert rates[-1] == pytest.approx(untouched.scale(section, 99))
    assert rates[-2] > rates[-1]
    if left_now == 90:
        assert rates == _rates(untouched, section, range(10, 100))


def test_the_rate_of_a_step_before_the_pace_changed_can_be_asked_for() -> None:
    """The message about a loss that is not finite names it, some steps late."""
    pace = SchedulePosition(total=100, per_epoch=10)
    pace.change(10, 10)
    assert pace.scale(LINEAR, 8) == 1.0


def test_it_comes_back_from_a_checkpoint() -> None:
    pace = SchedulePosition(100, 10)
    pace.change(10, 3)
    assert SchedulePosition.restore(pace.state()) == pace


def test_untouched_it_is_the_schedule_itself_to_the_bit() -> None:
    from engine.preset import schedule

    section = schema.OneCycleSchedule(name="one-cycle")
    pace = SchedulePosition(1000, 10)
    assert _rates(pace, section, range(1000)) == [schedule.scale(section, s, 1000, 10) for s in range(1000)]


def test_a_client_draws_the_rates_that_the_worker_trains_with() -> None:
    preset = load_preset("digits-mlp", ["schedule.name=linear", "schedule.warmup=3"])
    pace = SchedulePosition(total=100, per_epoch=10)
    pace.extend(preset.schedule, 40, left_before=60, left_now=110)
    plan = Plan(preset.schedule, pace, base=0.2, hand=0.5, plateau=1.0, total_steps=150)
    events = [
        {"event": "plan", "step": 0, "lr": 9.0},
        {"event": "plan", "step": 40, **json.loads(json.dumps(plan.state()))},
    ]

    drawn = planned(preset, [*events, {"event": "state", "state": "running"}])

    assert drawn is not None
    trained = [learning_rate(preset.schedule, pace, step, base=0.2, hand=0.5, plateau=1.0) for step in range(150)]
    assert [drawn.rate(step) for step in range(150)] == trained
    assert trained[-1] == 0


def test_a_run_that_has_not_begun_has_no_plan() -> None:
    assert planned(load_preset("digits-mlp"), []) is None
