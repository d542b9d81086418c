"""A run whose model is broken would stand as a success in every list of runs."""

from typing import Any

import pytest

from descent.run.health import Broken, Health, state_sign

NAN = {"event": "anomaly", "step": 23, "what": "loss"}
COLLAPSE = {"event": "collapse", "step": 50, "since": 4, "why": "loss"}


@pytest.mark.parametrize(
    ("state", "is_finite", "events", "broken"),
    [
        ("finished", True, [], None),
        ("finished", True, [COLLAPSE], Broken("collapsed", 4)),
        ("running", True, [COLLAPSE], Broken("collapsed", 4)),
        ("finished", True, [COLLAPSE, {"event": "recovered", "step": 90}], None),
        ("finished", True, [COLLAPSE, {"event": "rewound", "to": 0}], None),
        ("failed", False, [NAN], Broken("broken", 23)),
        ("paused", False, [NAN], Broken("broken", 23)),
        ("paused", True, [NAN, {"event": "state", "state": "running"}], None),  # somebody has gone on
        ("finished", True, [NAN], None),  # it went on by itself, and came right
        ("finished", False, [NAN], Broken("broken", 23)),
        ("failed", True, [NAN | {"member": 3}], None),  # one of several, which is frozen
    ],
)
def test_a_broken_model_is_known_by_the_events(
    state: str, is_finite: bool, events: list[dict[str, Any]], broken: Broken | None
) -> None:
    """A collapsed run would be a green ✓, or a healthy one would be marked."""
    health = Health()
    health.take(events, 0)
    assert health.broken(state, is_finite=is_finite) == broken


def test_the_sign_of_an_ended_run_with_a_broken_model_is_that_of_a_failure() -> None:
    """While it trains it must still be seen to train."""
    broken = Broken("collapsed", 4)
    assert [state_sign(state, broken) for state in ("finished", "stopped", "running")] == ["✗", "✗", "▶"]
    assert state_sign("finished", None) == "✓"
