"""Hosts: what one answers is listed as it is, and one that can't answer says why."""

import json
from pathlib import Path

import pytest

from descent.run.note import Note
from tui.data.hosts import Host, HostRuns, ask, host_of

ENTRY = {
    "run": "night", "dir": "/home/me/runs/night", "state": "finished", "step": 800, "epoch": 20, "seconds": 12.5,
    "metrics": {"train_loss": 0.01, "val_loss": 0.1, "val_accuracy": 0.97, "test_loss": 0.2},
    "device": "cuda:0", "preset": "digits-mlp", "started": 1790000000.0,
    "note": "wide #demo", "tags": ["demo"], "pinned": True, "script": None, "changed": {"optimizer.lr": 0.5},
}  # fmt: skip


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name that does what a test writes into it, in front of the real one."""
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def test_a_host_has_a_command_of_its_own() -> None:
    assert host_of("gpu1") == Host("gpu1", "descent")
    assert host_of(" me@gpu2  ~/venv/bin/descent ") == Host("me@gpu2", "~/venv/bin/descent")
    assert host_of("gpu2 ~/bin/descent").attach("a b", read_only=True) == [
        "ssh", "-t", "gpu2", "~/bin/descent attach 'a b' --read-only"
    ]  # fmt: skip


def test_its_runs_are_listed_as_it_tells_of_them(ssh: Path) -> None:
    of_script = {"preset": "digits", "script": "train.py", "changed": None}
    mine = ENTRY | {"run": "mine", "dir": "/home/me/runs/mine"} | of_script
    damaged = {"run": "bad", "dir": "/home/me/runs/bad", "state": "damaged", "error": "events\x1b[2J.jsonl"}
    told = json.dumps({"runs": [ENTRY, mine, damaged]})
    ssh.write_text(f"#!/bin/sh\necho Welcome to gpu1\ncat <<'END'\n{told}\nEND\n")
    answer = ask(Host("gpu1"))
    assert answer.problem == ""
    assert answer.runs is not None
    assert [(there.script, there.changed) for there in answer.runs] == [
        (None, {"optimizer.lr": 0.5}), ("train.py", None), (None, None)
    ]  # fmt: skip
    night, _mine, bad = (there.run for there in answer.runs)
    assert (night.folder.id, night.state, night.step, night.preset) == ("night", "finished", 800, "digits-mlp")
    assert night.last("validation") == (0.1, 0.97)
    assert night.last("test") == (0.2, None)
    assert night.last_loss == 0.01
    assert night.note == Note("wide #demo", pinned=True)
    assert (bad.state, bad.problem) == ("damaged", "events[2J.jsonl")


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'bash: descent: command not found' >&2; exit 127", 'hosts = ["gpu1 ~/venv/bin/descent"]'),
        ("echo 'ssh: Could not resolve hostname gpu1' >&2; exit 255", "Could not resolve hostname gpu1"),
        ("echo 'descent: runs.toml: is damaged' >&2; exit 2", "exit code 2: descent: runs.toml: is damaged"),
        ("echo hello", "printed no list of runs: hello"),
        ("echo '{\"runs\": 7}'", "printed no list of runs"),
        ("true", "printed no list of runs"),
    ],
)
def test_one_that_can_t_answer_says_why_and_keeps_what_it_told(ssh: Path, script: str, problem: str) -> None:
    """Runs would vanish from the list with every broken line, without a word."""
    ssh.write_text(f"#!/bin/sh\necho '{json.dumps({'runs': [ENTRY]})}'\n")
    before = ask(Host("gpu1"))
    ssh.write_text(f"#!/bin/sh\n{script}\n")
    answer = ask(Host("gpu1"), before)
    assert problem in answer.problem
    assert answer == HostRuns(Host("gpu1"), before.runs, answer.problem)


def test_without_ssh_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask(Host("gpu1")).problem == "there is no ssh on this machine"
