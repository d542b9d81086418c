"""A plan fixes every job before anything trains: what is wrong is said at once, what is planned stays as it is."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from engine import cli
from engine.preset.loading import load_preset
from engine.study.folder import Study, find, load

PLAN = ("study", "plan")
WIDTHS = ("--vary", "model.widths=[[16],[64]]")
NET = """
from torch import nn
class Net(nn.Linear):
    def __init__(self, input_shape, outputs):
        super().__init__(64, outputs)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(capsys: pytest.CaptureFixture[str], *words: str) -> Study:
    assert cli.main([*PLAN, *words, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return load(Path(answer["dir"]))


def settings_of(study: Study, index: int) -> Any:
    """What the job's command would train, read as `descent run` reads it."""
    words = study.words(study.jobs[index])
    return load_preset(words[1], [words[at + 1] for at, word in enumerate(words) if word == "--set"]).settings


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--vary", "model.width=[[16]]"), "--vary: model.width: unknown key of mlp; allowed: name,"),
        (("--vary", "optimizer.lr=[0.1, -1]"), "at lr=-1: --vary: optimizer.lr = -1: must be a number > 0"),
        (("--vary", "model.widths=[16, 64]"), "at widths=16: --vary: model.widths = 16: must be a list"),
        ((*WIDTHS, "--set", "model.widths=[8]"), "model.widths is given with --set and with --vary"),
        (("--vary", "train.seed=[1, 2]", "--repeats", "2"), "--repeats sets train.seed itself"),
        (("--repeats", "0"), "--repeats 0: must be 1 or more"),
        (("--repeats", "10001"), "would have 10,001 runs; at most 10,000 are allowed"),
        ((*WIDTHS, "--id", "last"), "choose another id"),
    ],
)
def test_a_wrong_study_is_refused_whole(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    """A typo would be found after a night's training, by the one job that has it."""
    assert cli.main([*PLAN, "digits-mlp", *words]) == 2
    assert says in capsys.readouterr().err
    assert not (here / "studies").exists()


def test_missing_data_are_said_once(capsys: pytest.CaptureFixture[str], here: Path) -> None:
    """Every job would fail for itself."""
    assert cli.main([*PLAN, "mnist-mlp", *WIDTHS]) == 4
    assert "descent data fetch mnist" in capsys.readouterr().err
    assert not (here / "studies").exists()


def test_a_job_is_what_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """The table would say one thing and the runs be another."""
    words = ("--repeats", "2", "--set", "train.epochs=3")
    study = planned(capsys, "digits-mlp", "--vary", 'optimizer.name=["sgd", "adam"]', *WIDTHS, *words, "--id", "mine")
    assert [job.id for job in study.jobs] == [f"mine-{index:04}" for index in range(8)]
    assert [job.seed for job in study.jobs] == [0] * 4 + [1] * 4
    asked = ["train.epochs=3", 'optimizer.name="adam"', "model.widths=[64]", "train.seed=1"]
    assert study.jobs[7].values == {"optimizer.name": "adam", "model.widths": [64]}
    assert settings_of(study, 7) == load_preset("digits-mlp", asked).settings
    plan = json.loads((study.folder / "study.json").read_text())
    assert plan["jobs"][7]["command"] == ["descent", *study.words(study.jobs[7])]


def test_later_edits_change_no_job(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of a study would train something else, or nothing, once its preset or its code is edited or it is started
    from another folder."""
    (here / "net.py").write_text(NET)
    cli.main(["presets", "copy", "digits-mlp", "own.toml"])
    capsys.readouterr()
    words = ("--vary", "optimizer.lr=[0.1, 0.2]", "--set", "model.code=net.py:Net", "--allow-code", "--id", "mine")
    study = planned(capsys, "own.toml", *words)
    (here / "net.py").write_text("nonsense")
    (here / "own.toml").write_text("nonsense")
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    file, _, name = settings_of(study, 1).model.code.rpartition(":")
    assert (Path(file).read_text(), name) == (NET, "Net")
    assert study.preset_file.name == "own.toml"
    assert find("mine", here / "elsewhere" / "studies") == study  # noted, so found from any folder


def test_the_same_command_again_is_the_same_study(capsys: pytest.CaptureFixture[str]) -> None:
    """A batch job that is queued again would be refused, or begin from the start; another study would be mixed in."""
    words = ("digits-mlp", *WIDTHS, "--id", "mine")
    assert planned(capsys, *words) == planned(capsys, *words)
    assert cli.main([*PLAN, *words, "--repeats", "2"]) == 2
    assert "already has a study of this name" in capsys.readouterr().err


@pytest.mark.slow
def test_a_word_that_is_no_study(capsys: pytest.CaptureFixture[str]) -> None:
    """Someone who mistyped a study's name, or forgot --vary, would not be told which it was."""
    planned(capsys, "digits-mlp", *WIDTHS, "--id", "widths")
    assert cli.main(["study", "run", "widhts"]) == 2
    assert "no such study; did you mean widths?" in capsys.readouterr().err
    assert cli.main(["study", "run", "widths", "--set", "train.epochs=1"]) == 2
    assert "--set: widths continues as planned" in capsys.readouterr().err
    assert cli.main(["study", "job", "widths", "2"]) == 2
    assert "widths has the jobs 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("keys", "value", "says"),
    [
        ((), [], "it must hold an object, not []"),
        (("version",), 2, "has version 2; this Descent reads version 1"),
        (("jobs",), [], "jobs must be a list that is not empty"),
        (("jobs", 1), None, "jobs[1] must be an object, not null"),
        (("jobs", 1, "index"), 0, "jobs[1] is not the job that its values and repeats make"),
        (("jobs", 1, "set", 0), "optimizer.lr=3", "jobs[1] is not the job"),
        (("jobs", 1, "values"), {"model.widths": [16]}, "jobs[1] is not the job"),
        (("jobs", 1, "seed"), 3, "jobs[1] is not the job"),
        (("jobs", 1, "threads"), "all", "jobs[1].threads must be a whole number"),
        (("vary", "model.widths"), 3, "vary.model.widths must be a list that is not empty, not 3"),
        (("repeats",), 3, "it has 4 jobs, but its values and repeats make 6"),
        (("set",), ["\x1b[2J"], "jobs[0] is not the job"),
        (("data_root",), {}, "data_root must be a text"),
    ],
)
def test_a_damaged_plan(
    keys: tuple[str | int, ...], value: Any, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`study list` would end in a traceback, or a job would train what its label does not say."""
    study = planned(capsys, "digits-mlp", *WIDTHS, "--repeats", "2", "--id", "widths")
    plan = {"plan": json.loads((study.folder / "study.json").read_text())}
    inside: Any = plan
    for key in ("plan", *keys)[:-1]:
        inside = inside[key]
    inside[("plan", *keys)[-1]] = value
    (study.folder / "study.json").write_text(json.dumps(plan["plan"]))
    for command in ("show", "run"):
        assert cli.main(["study", command, "widths"]) == 2
        assert says in capsys.readouterr().err
    assert cli.main(["study", "list"]) == 0
    assert "damaged" in capsys.readouterr().out


def test_a_plan_that_is_no_json_or_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    """One broken file would end `study list` in a traceback, and a pipe would hang it."""
    file = planned(capsys, "digits-mlp", *WIDTHS, "--id", "widths").folder / "study.json"
    file.write_text("[" * 100_000)
    assert cli.main(["study", "show", "widths"]) == 2
    assert "study.json is damaged: lists are nested too deep" in capsys.readouterr().err
    file.unlink()
    os.mkfifo(file)
    assert cli.main(["study", "show", "widths"]) == 2
    assert "no such study" in capsys.readouterr().err
