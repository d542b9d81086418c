"""What lies beside a file of code must be found by it, be the run's own copy, and get in nobody's way."""

import importlib
import json
import sys
from pathlib import Path

import pytest

from descent.common import project as projects
from descent.common.errors import DescentError, PresetError
from descent.common.project import read_project
from engine.preset import code_copy, consent


def write(folder: Path, **files: str) -> None:
    """Write files by name: write(folder, parts__block="…") makes parts/block.py, and parts__ its __init__.py."""
    for name, text in files.items():
        parts = name.split("__")
        file = folder.joinpath(*parts[:-1], f"{parts[-1] or '__init__'}.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_imports_find_what_lies_beside_the_file(tmp_path: Path) -> None:
    """A model in several files would have to be copied into one."""
    write(
        tmp_path,
        task="import utils\nimport nets.blocks as b\nimport nets.blocks\nfrom nets import big\nfrom . import late\n"
        "from utils import *\n"
        "from .utils import two as second\n\ndef later():\n    import lazy\n    return lazy.x\n\n"
        "found = (utils.one, b.x, nets.blocks.x, big.x, late.x, two, second, later())\n",
        utils="one, two = 1, 2\n",
        nets__="from .blocks import x\n",
        nets__blocks="from ..utils import one\nx = one + 9\n",
        nets__big="from .parts.deep import x\n",
        nets__parts__deep="x = 20\n",  # in a folder that is no package
        late="x = 30\n",
        lazy="import task\nx = task.utils.one + 40\n",
        unused="raise RuntimeError('ran')\n",
    )
    read = read_project(tmp_path / "task.py")
    assert sorted(read.files) == [
        "late.py", "lazy.py", "nets/__init__.py", "nets/big.py", "nets/blocks.py", "nets/parts/deep.py", "task.py",
        "utils.py",
    ]  # fmt: skip
    module = read.load()
    assert module.found == (1, 10, 10, 20, 30, 2, 2, 41)
    assert read.load() is module
    assert importlib.import_module(module.__name__) is module  # as pickle does
    assert not {"utils", "nets", "late", "lazy", "task"} & sys.modules.keys()


def test_a_file_in_a_package_imports_as_part_of_it(tmp_path: Path) -> None:
    """`from ..data import x` would fail in a project that works without Descent."""
    write(tmp_path, src__="", src__models__="", src__data="x = 5\n", other="y = 6\n")
    write(tmp_path, src__models__net="from ..data import x\nfrom src.data import x as same\nimport other\n")
    read = read_project(tmp_path / "src" / "models" / "net.py")
    assert read.root == tmp_path
    assert {*read.files} == {
        "src/__init__.py",
        "src/models/__init__.py",
        "src/models/net.py",
        "src/data.py",
        "other.py",
    }
    assert (read.load().x, read.load().same, read.load().other.y) == (5, 5, 6)


def test_names_of_others_are_left_to_them(tmp_path: Path) -> None:
    """A project's random.py would be imported by torch, its engine.py by Descent, its json.py by itself."""
    write(tmp_path, task="import engine, json, numpy\nmine = engine.x, json.dumps, numpy.zeros\n", engine="x = 7\n")
    write(tmp_path, json="raise RuntimeError('shadowed')\n", numpy__="zeros = 'mine'\n")
    assert read_project(tmp_path / "task.py").load().mine == (7, json.dumps, "mine")
    assert importlib.import_module("engine").__file__ != str(tmp_path / "engine.py")
    assert importlib.import_module("numpy").zeros != "mine"


def test_two_projects_each_have_their_own(tmp_path: Path) -> None:
    """The second one's `utils` would be that of the first."""
    for name in ("one", "two"):
        write(tmp_path / name, task="import utils\nx = utils.x\n", utils=f"x = {name!r}\n")
    assert [read_project(tmp_path / name / "task.py").load().x for name in ("one", "two")] == ["one", "two"]
    write(tmp_path / "one", utils="x = 'edited'\n")
    assert read_project(tmp_path / "one" / "task.py").load().x == "edited"


def test_nothing_is_left_of_one_that_fails(tmp_path: Path) -> None:
    """A second try would find modules that were never finished."""
    write(tmp_path, task="import utils\n1 / 0\n", utils="x = 1\n")
    read = read_project(tmp_path / "task.py")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            read.load()
    assert not [name for name in sys.modules if name.startswith(read.name)]


def test_a_project_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every run would copy it."""
    monkeypatch.setattr(projects, "MOST", 2)
    write(tmp_path, task="import a, b\n", a="", b="")
    with pytest.raises(
        PresetError, match=r"task\.py: it imports more .* than a run keeps: 2 files, and 16 MiB in all"
    ):
        read_project(tmp_path / "task.py")


def test_all_files_that_will_run_are_asked_for(tmp_path: Path) -> None:
    """A file beside the one that was read and agreed to would run unseen, or change after that."""
    write(tmp_path, task="import utils\n", utils="x = 1\n")
    spec = f"{tmp_path}/task.py:Task"
    with pytest.raises(DescentError, match=r"in 2 files: \S+task\.py, \S+utils\.py\.\nRead them"):
        consent.agreed_project(spec, False, key="train.code")
    consent.agreed_project(spec, True, key="train.code")
    consent.agreed_project(spec, False, key="train.code")
    write(tmp_path, utils="x = 2\n")
    with pytest.raises(DescentError, match=r"not agreed to yet: \S+utils\.py \(SHA-256"):
        consent.agreed_project(spec, False, key="train.code")


def test_a_run_knows_what_has_changed_since_it_began(tmp_path: Path) -> None:
    """Its author would look for an edit's effect that a resumed run does not have."""
    write(tmp_path, task="import utils\n", utils="x = 1\n")
    read = read_project(tmp_path / "task.py")
    run, fork = tmp_path / "run", tmp_path / "fork"
    for folder in (run, fork):
        source = read if folder == run else read_project(run / "code" / "task.py")
        write(folder / "code", **{name.removesuffix(".py"): text.decode() for name, text in source.files.items()})
        noted = code_copy.noted(source.files, code_copy.origins(source))
        (folder / code_copy.FILE).write_text(json.dumps(noted))
    assert code_copy.changed_since(run) == code_copy.changed_since(fork) == []
    write(tmp_path, utils="x = 2\n")
    assert code_copy.changed_since(run) == code_copy.changed_since(fork) == [str(tmp_path / "utils.py")]
    (tmp_path / "task.py").unlink()
    assert len(code_copy.changed_since(run)) == 2
    assert code_copy.changed_since(tmp_path) == []  # a run of an older Descent
