"""A newcomer who has typed a command as other tools have it would be told that it is wrong, not what to type."""

import shlex
from pathlib import Path

import pytest

from descent.common.settings import parse
from engine.cli import main


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a script and a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DESCENT_RUNS", str(tmp_path / "runs"))
    (tmp_path / "train.py").write_text("")
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "preset.toml").write_text("")
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("stop", "descent stop last"),
        ("set", "descent set last optimizer.lr=0.01"),
        ("set lr_scale=0.5", "descent set last lr_scale=0.5"),
        ("set mine --lr 0.1", "descent set mine lr=0.1"),
        ("extend mine 5", "descent extend mine --epochs 5 or descent extend mine --steps 5"),
        ("rewind mine step 100", "descent rewind mine 100"),
        ("rewind mine --to 100", "descent rewind mine 100"),
        ("export mine csv", "descent export mine --csv"),
        ("export mine --csv x.csv", "descent export mine --csv --out x.csv"),
        ("stop mine now", "descent stop mine --now"),
        ("fork mine --lr 0.1 --id other", "descent fork mine --id other -- --lr 0.1, or --set KEY=VALUE"),
        ("run train.py --lr 0.1", "descent run train.py -- --lr 0.1"),
        ("run train.py --lr 0.1 --detach --id a", "descent run train.py --detach --id a -- --lr 0.1"),
        ("run python train.py", "descent run train.py"),
        ("train.py --lr 0.1", "descent run train.py -- --lr 0.1"),
        ("mine", "descent attach mine or descent show mine"),
        ("ls", "descent runs"),
        ("kill mine", "descent stop mine"),
        ("help set", "descent set --help"),
        ("digits-mpl", "descent run digits-mlp"),
        ("atach mine", "descent attach mine"),
        ("presets lst", "descent presets list"),
    ],
)
def test_what_was_meant(typed: str, meant: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(typed)) == 2
    assert capsys.readouterr().err.rstrip().endswith(f"\nDid you mean: {meant}")


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("run tain.py", '"tain.py": no such file; did you mean train.py?'),
        ("run train", "no preset of this name; did you mean train.py?"),
        ("show latest", "did you mean last?"),
        ("compare mine mine", "2 to 8 runs can be compared, not 1; mine was named twice"),
        ("run digits-mlp --set optimizer.lr=0,1", "a number has a decimal point (0.1), a list has brackets ([0,1])"),
    ],
)
def test_what_is_wrong(typed: str, told: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(typed)) == 2
    assert told in capsys.readouterr().err


def test_a_setting_of_a_live_run_is_not_told_as_an_option() -> None:
    """`descent set` has no --set."""
    assert parse(["lr"], "")[1] == ['"lr": must have the form section.key=value, such as optimizer.lr=0.1']
