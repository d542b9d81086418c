"""A run whose script was moved, deleted or changed must say so, and what to do."""

import json
from pathlib import Path

import pytest

from descent.common.errors import DescentError
from descent.loop.folder import make
from descent.loop.project import changes, check_there, moved
from descent.run.events import Events
from descent.run.folder import RunFolder
from engine.launch import script as launch
from engine.launch import start
from engine.launch.options import Options


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that can go on, of the script tmp_path/project/src/train.py."""
    script = tmp_path / "project" / "src" / "train.py"
    script.parent.mkdir(parents=True)
    script.write_text("print('mine')")
    begun = {
        "script": str(script),
        "arguments": ["--rate", "0.1"],
        "command": ["python", "src/train.py", "--rate", "0.1"],
        "folder": str(tmp_path / "project"),
    }
    folder = make("train", "mine", tmp_path / "runs", begun)
    events = Events(folder.path)
    events.write("exact", step=0, driver="batches", why_not=[])
    events.state("stopped")
    return folder


def stored(run: RunFolder) -> dict[str, object]:
    found = json.loads((run.path / "loop.json").read_text())
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("gone", ["project", "project/src/train.py"])
def test_what_is_gone_is_named_with_the_way_out(tmp_path: Path, run: RunFolder, gone: str) -> None:
    """A traceback of the file system, or a new process that ends at once, would be all that somebody sees."""
    (tmp_path / gone).rename(tmp_path / "elsewhere")
    for command, begin in (
        ("resume", lambda: start.detach_resume(run)),
        ("replay", lambda: start.replay(str(run.path), Options(quiet=True))),
    ):
        with pytest.raises(DescentError, match=f"{gone} is gone.* descent {command} mine --folder DIR"):
            begin()


def test_a_moved_project_is_started_where_it_lies_now(
    tmp_path: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project that was renamed would have cost all its runs their future."""
    started: list[tuple[list[str], Path]] = []
    monkeypatch.setattr(launch, "_start", lambda _run, command, _env, cwd, **_: started.append((command[5:], cwd)))
    there = tmp_path / "renamed"
    (tmp_path / "project").rename(there)
    with pytest.raises(DescentError, match="nowhere is gone"):
        start.detach_resume(run, Options(folder=tmp_path / "nowhere"))
    start.detach_resume(run, Options(folder=there))
    start.detach_resume(run)  # the run knows it from now on
    assert started == 2 * [([str(there / "src" / "train.py"), "--rate", "0.1"], there)]
    assert stored(run)["folder"] == str(there)


def test_paths_in_the_project_move_with_it() -> None:
    """Arguments that name files of the project would lead nowhere."""
    begun = {"script": None, "folder": "/old", "command": ["/old/bin/python", "/old/train.py", "--data", "/data/x"]}
    found = moved(begun, Path("/new"))
    assert found["command"] == ["/old/bin/python", "/new/train.py", "--data", "/data/x"]


def test_a_script_that_changed_is_told_of(run: RunFolder) -> None:
    """A resumed run would differ, and nobody would know from where on."""
    begun = stored(run)
    assert changes(begun) == []
    Path(str(begun["script"])).write_text("print('another')")
    assert changes(begun) == ["train.py has changed since this run began"]
    check_there("mine", "resume", begun)
