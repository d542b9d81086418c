"""A setting that is written short must be understood well enough to say its whole name."""

import pytest

from engine.training.live_edits import _meant


@pytest.mark.parametrize("typed", ["lr", "rate", "learning_rate", "optimizer.learning_rate", "optimizer.l"])
def test_the_rate_is_known_by_all_its_names(typed: str) -> None:
    assert "did you mean optimizer.lr?" in _meant(typed)
