"""If these fail, a learner's mistake in their own file ends in a traceback, or is blamed on Descent."""

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from descent.common.errors import DataError, PresetError
from engine.training.user_code import _modules_folder, call_user_code, load_object, user_code

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write `mine.py` and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "mine.py"
        path.write_text(text)
        return str(path)

    return write


def test_an_object_is_loaded_from_its_file(write: Write) -> None:
    """Own code would not run at all."""
    file = write("class Net:\n    value = 3\n\ndef load():\n    return Net()\n")
    assert load_object(f"{file}:Net").value == 3
    assert isinstance(load_object(f"{file}:load")(), load_object(f"{file}:Net"))


def test_an_edited_file_is_loaded_anew(write: Write) -> None:
    """A learner would edit the file and see the old version run."""
    assert load_object(f"{write('value = 1')}:value") == 1
    assert load_object(f"{write('value = 2')}:value") == 2


def test_neighbours_and_names_of_the_standard_library_are_not_shadowed(tmp_path: Path) -> None:
    """A student's random.py would be imported by torch, or a file would run that nobody agreed to."""
    (tmp_path / "random.py").write_text("raise RuntimeError('shadowed')")
    (tmp_path / "tools.py").write_text("import random\nname = __name__\nx = random.random()\n")
    (tmp_path / "mine.py").write_text("import random\nimport tools\nvalue = random.random() + tools.x\n")
    path = list(sys.path)
    assert 0 <= load_object(f"{tmp_path / 'mine.py'}:value") < 2
    assert sys.path == path
    assert "tools" not in sys.modules
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("tools")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import tensorbored", "line 1: ModuleNotFoundError.*if tensorbored is a package, install it for .*python"),
        ("def load():\n    import utils.deep\n\nload()", "if utils is a package.* put it beside this one"),
        ("from .utils import x", "line 1: ModuleNotFoundError: No module named 'utils'; .*put it beside this one"),
        ("from ..utils import x", "line 1: ImportError.*a relative import begins from the folder of this file"),
        ("from pathlib import Path\nopen(Path(__file__).parent / 'config.json')",
         r"line 2: FileNotFoundError.*only the Python code that it imports.*model\.arguments"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_said_to_be_so_with_a_way_on(write: Write, text: str, said: str) -> None:
    """A package that is not installed would be looked for beside the file, and a file beside it in the package."""
    with pytest.raises(PresetError, match=said):
        load_object(f"{write(text)}:load")


def test_a_file_elsewhere_that_is_missing_is_no_matter_of_the_copy(write: Write) -> None:
    """A mistyped path to the data would be explained by the run's copy of the code."""
    file = write("open('/nowhere/data.csv')")
    with pytest.raises(PresetError, match="FileNotFoundError") as caught:
        load_object(f"{file}:load")
    assert "copy" not in str(caught.value)


def test_missing_file_and_missing_name_suggest_what_is_there(write: Write) -> None:
    """A typing error would be hard to find."""
    file = write("import os\nclass Network: pass\n")
    with pytest.raises(PresetError, match=r'mine\.py has no "Netwerk"; did you mean "Network"\?'):
        load_object(f"{file}:Netwerk")
    with pytest.raises(PresetError, match=r'has no "x"; it has Network$'):
        load_object(f"{file}:x")
    with pytest.raises(PresetError, match=r'mihe\.py: no such file; did you mean "mine\.py"\?'):
        load_object(f"{file.replace('mine', 'mihe')}:Network")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nclass Net\n", "mine.py, line 2: SyntaxError: expected ':'"),
        ("x = 1\n\ny = x / 0\n", "mine.py, line 3: ZeroDivisionError: division by zero"),
        ("import torch\ntorch.zeros(2) + torch.zeros(3)\n", "mine.py, line 2: RuntimeError: The size"),
        ("import sys\nsys.exit(0)\n", "mine.py, line 2: the code called exit()"),
        ("assert False\n", "mine.py, line 1: AssertionError"),
        ("x = '\0'", "source code string cannot contain null bytes"),
    ],
)
def test_what_goes_wrong_while_loading_names_the_line(write: Write, text: str, message: str) -> None:
    """The learner would not learn which line of theirs was wrong, or the worker would exit with code 0."""
    file = write(text)
    for _ in range(2):  # a failed module must not be found half-made the second time
        with pytest.raises(PresetError) as caught:
            load_object(f"{file}:Net")
        assert message in str(caught.value)


def test_what_the_code_prints_stays_out_of_stdout(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """`descent run --json` would no longer print exactly one JSON object."""
    file = write("print('loading')\ndef function():\n    print('running')\n    return 4\n")
    assert call_user_code(f"{file}:function", load_object(f"{file}:function")) == 4
    seen = capsys.readouterr()
    assert seen.out == ""
    assert "loading" in seen.err
    assert "running" in seen.err


def test_what_goes_wrong_while_running_names_the_line(write: Write) -> None:
    """An error deep inside torch would hide the learner's line that led to it."""
    file = write(
        "import torch, sys\n"
        "def function(kind):\n"
        "    if kind == 'exit':\n"
        "        sys.exit(3)\n"
        "    torch.nn.Linear(2, 3)(torch.zeros(1, 5))\n"
    )
    spec = f"{file}:function"
    function = load_object(spec)
    with pytest.raises(PresetError, match=r"mine\.py, line 5: RuntimeError: .*mat1 and mat2"):
        call_user_code(spec, function, "forward")
    with pytest.raises(PresetError, match=r"mine\.py, line 4: the code called exit\(\)"):
        call_user_code(spec, function, "exit")
    with pytest.raises(PresetError, match=r"mine\.py, line 2: TypeError: .*missing 1 required"):
        call_user_code(spec, function)
    with pytest.raises(PresetError, match=r"mine\.py, line 5"), user_code(spec):
        function("forward")


def test_what_goes_wrong_in_a_helper_names_its_callers(write: Write) -> None:
    """Of a function that is called in many places, the learner would not know which call was wrong."""
    file = write(
        "def inner(x):\n    return 1 / x\n\n"
        "def outer(x):\n    inner(1)\n    return inner(x)\n\n"
        "def again(x):\n    return again(x - 1) if x else inner(x)\n"
    )
    with pytest.raises(PresetError, match=r"mine\.py, line 2 \(called from line 6 in outer\): ZeroDivisionError"):
        call_user_code(f"{file}:outer", load_object(f"{file}:outer"), 0)
    with pytest.raises(PresetError, match=r"line 2 \(called from line 9 in again(, line 9 in again){2}\): Zero"):
        call_user_code(f"{file}:again", load_object(f"{file}:again"), 90)


def test_errors_of_others_are_not_blamed_on_the_user(write: Write) -> None:
    """A bug of ours would be shown as a mistake in the learner's preset."""
    file = write("def call(function):\n    function()\n")
    spec = f"{file}:call"
    call = load_object(spec)
    with pytest.raises(KeyError), user_code(spec):
        raise KeyError("ours")

    def raiser(error: BaseException) -> Callable[[], None]:
        def function() -> None:
            raise error

        return function

    for error in (DataError("theirs already"), torch.OutOfMemoryError("full"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            call_user_code(spec, call, raiser(error))
        with pytest.raises(type(error)), user_code(spec):
            call(raiser(error))


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        ("import math\nfrom engine import build\n", 2, "engine"),
        ("import math\nimport engine.models\n", 2, "engine"),
        ("import tui\n\ndef load():\n    return tui.draw()\n\nload()\n", 1, "tui"),
        ("def load():\n    import descent as d\n    return d.down_the_slope()\n\nload()\n", 2, "descent"),
    ],
)
def test_a_module_of_the_user_s_with_a_name_of_ours_is_told(write: Write, text: str, line: int, name: str) -> None:
    """Its author would search in Descent's package for what is in their own file."""
    file = write(text)
    with pytest.raises(PresetError, match=rf"the {name} that is imported in {file}, line {line} is Descent's own"):
        load_object(f"{file}:load")


def test_so_is_one_that_another_file_imports(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message would name a file that does not mention that module."""
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "own_helper.py").write_text("import engine\n\ndef wide():\n    return engine.WIDTH\n")
    file = write("import own_helper\n\ndef load():\n    return own_helper.wide()\n")
    with pytest.raises(
        PresetError, match=r"mine\.py, line 4: .*imported in .*own_helper\.py, line 1 is Descent's own"
    ):
        call_user_code(f"{file}:load", load_object(f"{file}:load"))


def test_an_error_about_another_module_is_left_as_it_is(write: Write) -> None:
    """A slip with torch would be put down to Descent."""
    file = write("import torch\n\ndef load():\n    return torch.lineer\n\nload()\n")
    with pytest.raises(PresetError) as caught:
        load_object(f"{file}:load")
    assert "Descent" not in str(caught.value)


def test_modules_of_a_process_that_was_killed_are_removed(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each killed run would leave a folder in /tmp for ever."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _modules_folder.cache_clear()
    ended = subprocess.Popen(["true"])
    ended.wait()
    left, kept, foreign = (
        tmp_path / f"descent-code-{name}" for name in (f"{ended.pid}-abc", f"{os.getppid()}-abc", "mine-abc")
    )
    for folder in (left, kept, foreign):
        folder.mkdir()
    load_object(f"{write('VALUE = 1')}:VALUE")
    assert [folder.exists() for folder in (left, kept, foreign)] == [False, True, True]
    _modules_folder.cache_clear()
