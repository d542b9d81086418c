"""What goes wrong must be said once, clearly, with the exit code that a batch system can act on."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from descent.common.errors import ExitCode
from descent.loop import checkpoint
from descent.run import folder
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.training import row_writer
from tests.helpers.full_disk import full_once
from tests.helpers.processes import Child, Done
from tests.helpers.waiting import wait_for

Descent = Callable[..., Child]


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_the_run_and_says_when(descent: Descent, runs: Path) -> None:
    """A batch job would train on NaN through the night, and call it finished."""
    done = descent("run", "digits-mlp", "--set", "optimizer.lr=1e20", "--id", "mine", "--json").end()
    assert done.code == ExitCode.NON_FINITE, done
    assert re.search(r"at step \d+ \(lr 1e20\)", done.err)
    assert "lower optimizer.lr" in done.err
    assert done.json["state"] == RunFolder(runs / "mine").state() == "failed"
    assert "NaN or infinite" in done.json["error"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 640 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=640k", "tmpfs", folder], capture_output=True, check=False
    )
    if not mounted or mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def assert_whole(run: RunFolder, like: RunFolder) -> None:
    """Nothing half-written lies in the folder, and what is there is what `like`, of the same preset, has."""
    assert not list(run.path.rglob("*.tmp"))
    for step in run.checkpoints():
        assert checkpoint.read(run.checkpoint(step))["step"] == step
    rows = Metrics(run.path).column("loss")
    assert rows.tobytes() == Metrics(like.path).column("loss")[: len(rows)].tobytes()
    assert len(rows) >= run.checkpoints()[-1] > 0


FREQUENT = ("--set", "train.checkpoint_every={ steps = 50 }", "--set", "train.keep=100", "--id", "mine", "--json")


@pytest.mark.slow
def test_a_full_disk_costs_nothing_that_was_saved(
    finished: tuple[Done, Path], small_disk: Path, descent: Descent
) -> None:
    """A disk quota would destroy the checkpoints and rows of days."""
    whole, run = RunFolder(finished[1] / "runs" / "whole"), RunFolder(small_disk / "runs" / "mine")
    done = descent("run", "digits-mlp", *FREQUENT, "--runs-dir", str(run.path.parent)).end()
    assert done.code == ExitCode.CANNOT_GO_ON, done
    assert "the disk is full" in done.err
    assert f"the checkpoint of step {run.checkpoints()[-1]} is intact" in done.err
    assert done.json["state"] == "failed"
    assert_whole(run, whole)

    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = descent("resume", str(run.path)).end()
    assert done.code == 0, done
    assert_whole(run, whole)
    assert len(Metrics(run.path)) == 800


@pytest.mark.parametrize(("owner", "name"), [(folder, "remove_leftovers"), (row_writer.RowWriter, "sync")])
def test_a_run_that_a_full_disk_lets_not_begin_leaves_nothing(
    descent: Descent, runs: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    """Its id would be taken, or it would be said to go on from a checkpoint that is gone with it."""
    done = descent("run", "digits-mlp", "--id", "mine", prepare=lambda: full_once(monkeypatch, owner, name)).end()
    assert done.code == ExitCode.CANNOT_GO_ON, done
    assert "the disk is full" in done.err
    assert "descent resume" not in done.err
    assert not list(runs.iterdir())


@pytest.mark.slow
def test_a_run_whose_folder_is_moved_says_so(descent: Descent, runs: Path) -> None:
    """Tidying up under a live run would look like a bug of Descent."""
    settings = ("--set", "train.epochs=400", "--set", "train.checkpoint_every={ steps = 50 }")
    live = descent("run", "digits-mlp", "--id", "mine", *settings)
    wait_for(lambda: 50 in RunFolder(runs / "mine").checkpoints(), "a checkpoint, and its event")
    (runs / "mine").rename(runs / "moved")
    done = live.end()
    assert done.code == ExitCode.CANNOT_GO_ON, done
    assert f"{runs / 'mine'} is gone: it was moved or deleted while the run trained" in done.err
    assert RunFolder(runs / "moved").state() == "failed"
    assert RunFolder(runs / "moved").checkpoints()[-1] >= 50


@pytest.mark.slow
def test_a_file_that_may_not_grow_costs_nothing_that_was_saved(
    finished: tuple[Done, Path], descent: Descent, runs: Path
) -> None:
    """As a full disk, met in the middle of a row."""
    import resource

    whole, run = RunFolder(finished[1] / "runs" / "whole"), RunFolder(runs / "mine")
    most = int(Metrics(whole.path).layout.row_bytes * 798.5)  # of 800 rows; a checkpoint takes less

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    done = descent("run", "digits-mlp", *FREQUENT, prepare=limited).end()
    assert done.code == ExitCode.CANNOT_GO_ON, done
    assert "File too large" in done.err
    assert RunFolder(runs / "mine").state() == "failed"
    assert_whole(run, whole)
    done = descent("resume", "mine").end()
    assert done.code == 0, done
    assert_whole(run, whole)
    assert len(Metrics(run.path)) == 800


# --- what can't be started -------------------------------------------------------------------------------


def refused(done: Done, code: int, text: str, runs: Path) -> None:
    """One clear message, the exit code, and nothing left behind."""
    assert done.code == code, done
    assert "Traceback" not in done.err
    assert len(re.findall("^descent: ", done.err, re.MULTILINE)) == 1
    assert re.search(text, done.err.split("descent: ", 1)[1], re.DOTALL), done
    assert done.json == {"error": done.err.split("descent: ", 1)[1].strip(), "exit_code": code}
    assert not runs.exists() or not list(runs.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["digits-mpl"], "did you mean digits-mlp"),
        (["digits-mlp", "--set", "train.epoch=3"], "did you mean epochs"),
        (["digits-mlp", "--set", "optimizer.lr=0"], "optimizer.lr = 0"),
        (["digits-mlp", "--set", "optimizer.lr=-0.1"], "optimizer.lr = -0.1"),
        (["digits-mlp", "--set", "data.validation=0.0001"], "data.validation = 0.0001"),
        (["digits-mlp", "--device", "cuda:7"], 'train.device = "cuda:7": no such GPU'),
        (["digits-mlp", "--id", "last"], "means the latest run"),
        (["digits-mlp", "--id", "a/b"], "without '/'"),
        (["digits-mlp", "--id", "x" * 300], "at most 100 characters"),
    ],
)
def test_a_wrong_setting_is_one_message(words: list[str], message: str, descent: Descent, runs: Path) -> None:
    """A newcomer would face a traceback, and find a broken run of that id in the way of the next try."""
    refused(descent("run", *words, "--json").end(), ExitCode.WRONG_USE, message, runs)


def test_processes_that_can_not_find_each_other_are_refused(descent: Descent, runs: Path) -> None:
    """Each would wait for the others for ever, or all would write one run."""
    done = descent("run", "digits-mlp", "--json", environment={"WORLD_SIZE": "2"}).end()
    refused(done, ExitCode.WRONG_USE, "WORLD_SIZE = 2, but RANK, MASTER_ADDR, MASTER_PORT is not set", runs)
    done = descent("run", "digits-mlp", "--detach", "--json", environment={"WORLD_SIZE": "2"}).end()
    refused(done, ExitCode.WRONG_USE, "WORLD_SIZE = 2.*without torchrun or srun", runs)


@pytest.mark.slow
def test_a_runs_folder_that_can_not_be_made(descent: Descent, tmp_path: Path, runs: Path) -> None:
    """A run would train and have nowhere to write."""
    (tmp_path / "file").touch()
    done = descent("run", "digits-mlp", "--runs-dir", "file/runs", "--json").end()
    refused(done, ExitCode.WRONG_USE, r"the run folder can't be made: .*--runs-dir", runs)
    done = descent("run", "digits-mlp", "--runs-dir", "file", "--json").end()
    refused(done, ExitCode.WRONG_USE, r"file is not a folder; .*--runs-dir", runs)


@pytest.mark.slow
def test_missing_data_are_noticed_before_torch_is_loaded(tmp_path: Path) -> None:
    """A person would wait for torch to learn that there is nothing to train on."""
    words = ["run", "mnist-mlp", "--json", "--runs-dir", str(tmp_path / "runs")]
    for more in ([], ["--data-root", "nowhere"]):
        code = f"import sys; sys.modules['torch'] = None; from engine.cli import main; sys.exit(main({words + more}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        message = "mnist is missing: looked in .*descent data fetch mnist.*--data-root"
        refused(Done(done.returncode, done.stdout, done.stderr), ExitCode.DATA_MISSING, message, tmp_path / "runs")


def preset(folder: Path, data: str) -> str:
    """A preset file with that data section; its path."""
    file = folder / "mine.toml"
    file.write_text(
        f'[data]\n{data}\n[model]\nname = "mlp"\n[loss]\nname = "cross-entropy"\n'
        '[optimizer]\nname = "sgd"\nlr = 0.1\n[train]\nepochs = 1\nbatch_size = 4\n'
    )
    return str(file)


def images(folder: Path, sizes: dict[str, tuple[int, int]]) -> None:
    from PIL import Image

    for name, size in sizes.items():
        file = folder / "pictures" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.r_[[np.nan], np.zeros(39)][:, None]}, "NaN, in"),
        ({"y": np.r_[[-1], np.arange(39) % 2]}, "not labels 0, 1, 2 …: the lowest is -1"),
        ({"y": np.r_[[7], np.arange(39) % 2]}, "there is no 2, but a 7: set data.classes"),
        ({"y": np.arange(30) % 2}, "40 inputs but 30 targets"),
    ],
)
def test_bad_arrays_are_one_message(
    change: dict[str, np.ndarray], message: str, descent: Descent, tmp_path: Path, runs: Path
) -> None:
    """A broken data set would be trained on, or end in a traceback of torch's."""
    np.savez(tmp_path / "data.npz", **{"x": np.zeros((40, 1)), "y": np.arange(40) % 2, **change})
    file = preset(tmp_path, 'name = "npz"\npath = "data.npz"\ntask = "classification"')
    refused(descent("run", file, "--json").end(), ExitCode.WRONG_USE, message, runs)


@pytest.mark.slow
def test_bad_folders_of_images_are_one_message(descent: Descent, tmp_path: Path, runs: Path) -> None:
    """One bad image among thousands, or a class without images, would not be named."""
    sizes = {f"{kind}/{i}.png": (8, 8) for kind in ("cat", "dog") for i in range(9)}
    file = preset(tmp_path, 'name = "images"\npath = "pictures"')
    refused(descent("run", file, "--json").end(), ExitCode.DATA_MISSING, "pictures.*no such", runs)
    images(tmp_path, sizes | {"dog/3.png": (9, 8)})
    refused(descent("run", file, "--json").end(), ExitCode.WRONG_USE, r"dog/3\.png has the size 9 × 8", runs)
    images(tmp_path, sizes)
    (tmp_path / "pictures" / "cow").mkdir()
    refused(descent("run", file, "--json").end(), ExitCode.WRONG_USE, "no images in .?cow", runs)
    shutil.make_archive(str(tmp_path / "pictures"), "zip", tmp_path / "pictures")
    file = preset(tmp_path, 'name = "images"\npath = "pictures.zip"')
    refused(descent("run", file, "--json").end(), ExitCode.WRONG_USE, "no images in .?cow", runs)
