"""A live run that is made longer, or given another batch size, must not see its learning rate jump."""

import json

import pytest

from engine.preset import schema
from engine.preset.loading import load_preset
from engine.preset.schedule import HAS_HORIZON, Plan, SchedulePosition, learning_rate, planned

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
