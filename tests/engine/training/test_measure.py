"""Too few statistics are no curve, and too many cost the training time."""

from engine.training.measure import NICE, cadence_of_points


def test_even_a_short_run_has_points_enough_for_a_curve() -> None:
    """Of 720 steps two were measured: the gradient's norm was a line between two points."""
    assert cadence_of_points(720, extra=1e-3) == 10
    assert cadence_of_points(860, extra=1e-3) == 20  # more would cost a run of two seconds some percent
    assert cadence_of_points(60, extra=1e-3) == 1
    assert cadence_of_points(720, extra=1.0) == NICE[-1]  # too dear: the share of the time decides
