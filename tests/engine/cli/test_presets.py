"""The command line is what a batch job, a script and a newcomer meet: words, exit codes, one JSON line."""

import functools
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from descent.common import paths
from descent.common.errors import ExitCode
from engine import cli
from engine.cli import doctor
from engine.labs.sandbox.enclosure import ENOUGH, protection
from engine.preset import find, listing
from engine.preset.listing import schema_text
from engine.preset.loading import load_preset

DESCENT = [sys.executable, "-m", "descent"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def last_line(text: str) -> dict[str, object]:
    found = json.loads(text.splitlines()[-1])
    assert isinstance(found, dict)
    return found


def test_the_schema_file_is_current() -> None:
    """Editors would accept other keys than the program. `descent presets schema` writes the file."""
    assert (find.shipped_presets() / "preset.schema.json").read_text(encoding="utf-8") == schema_text()


def test_list_as_a_table_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Presets could not be found from a script."""
    assert cli.main(["presets", "list", "linear-reg"]) == 0
    assert "linear-regression" in capsys.readouterr().out
    assert cli.main(["presets", "list", "linear-reg", "--json"]) == 0
    [entry] = json.loads(capsys.readouterr().out)["presets"]
    assert entry["name"] == "linear-regression"
    assert entry["error"] is None


def test_show_prints_what_would_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What `show` prints would not be a preset, or not the one that runs."""
    assert cli.main(["presets", "show", "digits-mlp", "--set", "optimizer.name=adam"]) == 0
    shown = here / "shown.toml"
    shown.write_text(capsys.readouterr().out)
    assert load_preset(shown).settings == load_preset("digits-mlp", ["optimizer.name=adam"]).settings


def test_copy_keeps_the_file_and_never_overwrites(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copy would lose its comments or its schema, or destroy an earlier copy."""
    assert cli.main(["presets", "copy", "digits-mlp"]) == 0
    first, rest = (here / "digits-mlp.toml").read_text().split("\n", 1)
    schema = find.shipped_presets() / "preset.schema.json"
    assert first == f"#:schema {schema.as_uri()}"
    assert rest == (find.shipped_presets() / "digits-mlp.toml").read_text().split("\n", 1)[1]
    assert cli.main(["presets", "copy", "linear-regression", "digits-mlp"]) == ExitCode.WRONG_USE
    assert "exists already" in capsys.readouterr().err
    assert (here / "digits-mlp.toml").read_text().endswith(rest)
    assert cli.main(["presets", "copy", "digits-mlp", "mine"]) == 0
    assert load_preset("mine").settings == load_preset("digits-mlp").settings


def test_check_says_all_and_fails(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An instructor's batch of presets would pass with a broken one in it."""
    (here / "bad.toml").write_text("[train]\nepochs = 0\n")
    good = str(find.find_preset("digits-mlp"))
    assert cli.main(["presets", "check", good]) == 0
    assert cli.main(["presets", "check", "bad.toml", good]) == ExitCode.WRONG_USE
    said = capsys.readouterr()
    assert said.out.count(f"{good}: ok") == 2
    assert "bad.toml: train.epochs = 0: must be a whole number ≥ 1" in said.err


def test_an_error_is_one_message_and_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    """A script could not tell what went wrong."""
    assert cli.main(["run", "digits-mpl", "--json"]) == ExitCode.WRONG_USE
    said = capsys.readouterr()
    assert said.err.startswith("descent: ")
    assert "did you mean digits-mlp?" in said.err
    assert last_line(said.out)["exit_code"] == 2


def test_wrong_use_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    """A typo would end without a hint."""
    assert cli.main(["run", "digits-mlp", "--devise", "cpu"]) == ExitCode.WRONG_USE
    assert "--device" in capsys.readouterr().err
    assert cli.main(["preset", "--json"]) == ExitCode.WRONG_USE
    said = capsys.readouterr()
    assert "presets" in said.err
    assert last_line(said.out)["exit_code"] == 2


def test_a_bug_of_ours_leaves_a_log(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A user would face a traceback, or we would never learn of the bug."""

    def broken(_containing: str) -> None:
        raise RuntimeError("a bug for this test")

    monkeypatch.setattr(listing, "presets", broken)
    assert cli.main(["presets", "list", "--json"]) == ExitCode.BUG
    [log] = paths.state_dir().glob("crash-*.log")
    said = capsys.readouterr()
    assert str(log) in said.err
    assert "Traceback" not in said.err
    assert last_line(said.out)["exit_code"] == 70
    assert "in broken" in log.read_text()


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell script would go on after Ctrl-C."""

    def interrupted(_containing: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "presets", interrupted)
    assert cli.main(["presets", "list"]) == ExitCode.INTERRUPTED


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_error() -> None:
    """`descent presets schema | head -1` would end in a traceback."""
    process = subprocess.Popen([*DESCENT, "presets", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.wait()


@pytest.mark.slow
def test_a_terminal_without_utf8_is_no_error() -> None:
    """`LC_ALL=C` on a cluster's node would turn a message with ≥ in it into a traceback."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [*DESCENT, "run", "digits-mlp", "--set", "train.epochs=0"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == ExitCode.WRONG_USE
    assert "must be a whole number" in done.stderr


@pytest.mark.slow
def test_the_version_and_no_words_at_all() -> None:
    """A newcomer's first two commands would fail."""
    done = subprocess.run([*DESCENT, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("descent ")
    done = subprocess.run(DESCENT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Usage: descent" in done.stdout


@pytest.mark.slow
def test_on_a_terminal_that_can_not_draw_it_says_what_to_do_instead() -> None:
    """`descent` in an editor's shell would fill it with escape sequences."""
    main_end, worker_end = pty.openpty()
    done = subprocess.run(
        DESCENT,
        stdin=worker_end,
        stdout=worker_end,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(worker_end)
    os.close(main_end)
    assert done.returncode == 2
    assert "descent run" in done.stderr


def test_data_list(real_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Data that are there would be fetched again."""
    assert cli.main(["data", "list", "--data-root", str(real_data), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {known["name"]: known["there"] for known in found["data"]}["mnist"]
    assert cli.main(["data", "fetch", "mnist", "--data-root", str(real_data)]) == 0
    assert str(real_data) in capsys.readouterr().out
    assert cli.main(["data", "fetch", "minst"]) == ExitCode.WRONG_USE


@pytest.mark.slow
def test_doctor_finds_what_is_broken(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that can't write its folder would be found out only after the queue."""
    monkeypatch.setattr(doctor, "probe_torch", functools.cache(doctor.probe_torch))  # it loads torch anew: once
    assert cli.main(["doctor", "--json"]) == 0
    subjects = {check["subject"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert {"Python", "PyTorch", "CPUs", "OpenMP", "runs folder", "mnist"} <= set(subjects)
    kept = protection()
    assert subjects["learners' code"]["text"] == kept.text()
    assert subjects["learners' code"]["state"] == ("ok" if kept.is_at_least(ENOUGH) else "note")
    (here / "file").touch()
    assert cli.main(["doctor", "--runs-dir", "file/runs"]) == ExitCode.CHECK_FAILED
    assert "is a file" in capsys.readouterr().out
