"""Who goes back through a training must see the picture of that moment, and not one of a future that was left."""

import os
from pathlib import Path

import numpy as np
import pytest

from engine import pictures
from engine.pictures import kept


def keep(run: Path, *steps: int, kind: str = "boundary", size: int = 1) -> None:
    for step in steps:
        kept.write(run, step, {kind: {"x": np.full(size, float(step))}})


def step_at(run: Path, until: int | None = None) -> int | None:
    found = kept.latest(run, "boundary", until)
    return None if found is None else found.step


def test_the_picture_is_the_last_one_before_the_step(tmp_path: Path) -> None:
    keep(tmp_path, 0, 20, 100)
    assert [step_at(tmp_path, until) for until in (None, 100, 99, 20, 19, 0)] == [100, 100, 20, 20, 0, 0]
    found = kept.latest(tmp_path, "boundary", 50)
    assert found is not None
    assert found.arrays["x"].tolist() == [20.0]
    assert kept.latest(tmp_path, "fit") is None
    assert all(path.stat().st_mode & 0o77 == 0 for path in (tmp_path / "pictures" / "kept").iterdir())


def test_those_that_stay_lie_evenly_over_a_run_of_any_length(tmp_path: Path) -> None:
    """The disk would fill, or only the end of a long run could be looked at."""
    known: list[int] = []
    for step in range(0, 10_000, 7):
        known.append(step)
        for gone in kept.spare(known, kept.MOST):
            known.remove(gone)
    gaps = np.diff(known)
    assert len(known) == kept.MOST
    assert (known[0], known[-1]) == (0, 9996)
    assert gaps.max() <= 3 * 10_000 / kept.MOST
    keep(tmp_path, *range(kept.MOST + 5))
    assert len(kept.steps(tmp_path)) == kept.MOST == len(list((tmp_path / "pictures" / "kept").iterdir()))
    assert kept.steps(tmp_path)[0] == 0


def test_large_pictures_are_fewer(tmp_path: Path) -> None:
    keep(tmp_path, *range(20), size=kept.MOST_BYTES // 10 // 8)
    sizes = [path.stat().st_size for path in (tmp_path / "pictures" / "kept").iterdir()]
    assert len(sizes) == 9
    assert sum(sizes) <= kept.MOST_BYTES


def test_a_rewind_voids_what_came_after_it(tmp_path: Path) -> None:
    keep(tmp_path, 0, 10, 20)
    keep(tmp_path, 0, 10, 20, kind="fit")
    kept.forget_beyond(tmp_path, 10)
    assert kept.steps(tmp_path) == [0, 10]
    assert len(list((tmp_path / "pictures" / "kept").iterdir())) == 4
    pictures.write(tmp_path, "boundary", 20, {"x": np.zeros(1)})  # of before the rewind, asked for by a client
    keep(tmp_path, 30)
    assert step_at(tmp_path, 25) == 10


def test_the_newer_one_of_those_kept_and_asked_for_is_shown(tmp_path: Path) -> None:
    keep(tmp_path, 10)
    asked = pictures.write(tmp_path, "boundary", 15, {"x": np.zeros(1)})
    made = (tmp_path / "pictures" / "kept" / "boundary-step-10.npz").stat().st_mtime_ns
    os.utime(asked, ns=(made + 1, made + 1))
    assert step_at(tmp_path) == 15
    os.utime(asked, ns=(made - 1, made - 1))
    assert step_at(tmp_path) == 10
    pictures.write(tmp_path, "confusion", 15, {"x": np.zeros(1)})
    found = kept.latest(tmp_path, "confusion", 20)  # the worker keeps none of that kind
    assert found is not None
    assert found.step == 15


@pytest.mark.parametrize("left", [b"", b"PK\x03\x04 cut short"])
def test_a_torn_file_is_passed_over(tmp_path: Path, left: bytes) -> None:
    """The machine has lost its power: the board would have no picture at all."""
    keep(tmp_path, 10, 20)
    (tmp_path / "pictures" / "kept" / "boundary-step-20.npz").write_bytes(left)
    assert step_at(tmp_path) == 10


def test_a_fork_has_the_past_that_it_shares(tmp_path: Path) -> None:
    keep(tmp_path / "parent", 0, 10, 20)
    kept.copy(tmp_path / "parent", tmp_path / "fork", 15)
    assert kept.steps(tmp_path / "fork") == [0, 10]
    kept.copy(tmp_path / "fork", tmp_path / "other", -1)
    assert not (tmp_path / "other").exists()
