"""What a learner has done must survive a kill, a second window, a broken file and a full home."""

import json
import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pytest

from descent.common.errors import DescentError
from descent.common.paths import state_dir
from engine.labs import progress
from tests.helpers.waiting import wait_for


def kept() -> dict[str, object]:
    found = json.loads((state_dir() / "labs.json").read_text())
    assert isinstance(found, dict)
    return found


def attempt(met: int, *, passed: bool = False) -> progress.Progress:
    checks = [{"id": "loss", "value": float("nan"), "passed": passed}]
    return progress.attempted("a", passed=passed, met=met, of=4, checks=checks)


def test_a_learners_way_is_kept(tmp_path: Path) -> None:
    """A learner would have to begin anew each day."""
    assert progress.load() == progress.Progress()
    assert progress.load().of("a").state == "new"
    progress.started("a", tmp_path)
    assert progress.load().of("a").state == "started"
    progress.predicted("a", {"bias": 1.0})
    progress.hinted("a", 2)
    progress.hinted("a", 1)
    attempt(3)
    attempt(1)
    record = progress.load().of("a")
    assert (record.predictions, record.hints, record.count, record.best) == ({"bias": 1.0}, 2, 2, 0.75)
    assert (record.folder, record.state, record.passed) == (str(tmp_path), "started", None)
    assert record.attempts[0].checks[0].value is None  # what JSON can't hold
    attempt(4, passed=True)
    first = progress.load().of("a").passed
    attempt(2)
    record = progress.load().of("a")
    assert (record.state, record.passed, record.best, record.read) == ("passed", first, 1.0, False)
    progress.read("a")
    assert progress.load().of("a").read
    assert progress.load().last == "a"
    assert progress.load().of("b").state == "new"


def test_a_prediction_is_final() -> None:
    """A learner could predict what came out."""
    progress.predicted("a", {"bias": 1.0})
    progress.predicted("a", {"bias": 2.0, "weight": 3.0})
    assert progress.load().of("a").predictions == {"bias": 1.0, "weight": 3.0}


def test_the_attempts_of_a_long_term_stay_few() -> None:
    """The file would grow until each command waits for it."""
    for _ in range(progress.KEPT_ATTEMPTS + 3):
        attempt(1)
    record = progress.load().of("a")
    assert (len(record.attempts), record.count) == (progress.KEPT_ATTEMPTS, progress.KEPT_ATTEMPTS + 3)


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_the_file_whole() -> None:
    """A learner whose machine is switched off would have lost everything."""
    progress.predicted("a", {"bias": 1.0})
    for _ in range(5):
        before = progress.load().of("a").count
        child = multiprocessing.get_context("fork").Process(target=_attempt_for_ever)
        child.start()
        wait_for(lambda count=before: progress.load().of("a").count > count + 3, "attempts")
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        assert progress.load().notes == ()
        assert progress.load().of("a").predictions == {"bias": 1.0}
    attempt(1)
    assert sorted(file.name for file in state_dir().iterdir()) == ["labs.json", "labs.lock"]


def _attempt_for_ever() -> None:
    while True:
        attempt(1)


@pytest.mark.slow
def test_two_windows_at_once_lose_nothing() -> None:
    """What one console keeps, another one's write would take away."""
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=_predict_many, args=(name,)) for name in ("a", "b", "c")]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    found = progress.load()
    assert {name: len(found.of(name).predictions) for name in ("a", "b", "c")} == {"a": 20, "b": 20, "c": 20}


def _predict_many(name: str) -> None:
    for number in range(20):
        progress.predicted(name, {f"p{number}": number})


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{", "labs.broken-1.json"),
        ("[]", "labs.broken-1.json"),
        ('{"version": 1, "labs": {"a": {"hints": 9}}}', "labs.broken-1.json"),
        ("\udcff", "labs.broken-1.json"),
        ('{"version": 2, "labs": {"a": 3}}', "labs.newer-1.json"),
    ],
)
def test_a_file_that_is_not_understood_is_kept_aside_and_said_once(text: str, name: str) -> None:
    """Every command would fail for ever, or the file be lost."""
    state_dir().mkdir(parents=True)
    (state_dir() / "labs.json").write_text(text, errors="surrogateescape")
    found = progress.load()
    assert found.of("a").state == "new"
    assert name in found.notes[0]
    assert progress.load().notes == ()
    assert (state_dir() / name).read_text(errors="surrogateescape") == text
    (state_dir() / "labs.json").write_text("{")
    progress.hinted("a", 1)
    assert progress.load().of("a").hints == 1


def test_a_home_that_cannot_be_written_says_so_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner with a full quota would meet a traceback, or lose what was kept."""
    progress.predicted("a", {"bias": 1.0})
    before = kept()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(DescentError, match=r"labs\.json can't be written.*No space left"):
            progress.hinted("a", 1)
    assert kept() == before
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(DescentError, match=r"labs\.json can't be .*XDG_STATE_HOME"):
        progress.hinted("a", 1)


def test_nobody_else_reads_it() -> None:
    """On a shared machine, one's attempts would be open to all."""
    progress.hinted("a", 1)
    assert stat.S_IMODE((state_dir() / "labs.json").stat().st_mode) == 0o600
