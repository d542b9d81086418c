"""One import in the wrong place, and `descent --help` or a screen takes seconds for torch."""

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; "


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(code: str) -> set[str]:
    return set(python(f"{code}; import sys; print(*sys.modules)").split())


ENGINE = (
    "import descent, engine.cli, engine.preset.loading, engine.preset.find, engine.preset.listing, "
    "engine.cli.doctor, engine.cli.tables"
)


@pytest.mark.slow
@pytest.mark.parametrize("code", ["import descent", "import engine.cli", "import tui", ENGINE])
def test_no_torch_but_in_the_worker(code: str) -> None:
    """Every command and screen would wait for torch."""
    assert not {"torch", "numpy", "sklearn"} & loaded_by(code)


@pytest.mark.slow
def test_the_library_is_light() -> None:
    """A notebook would wait for the libraries of the command, and its own `engine` would be in the way."""
    used = "import descent; descent.start, descent.Run, descent.Metrics, descent.sync"
    assert not {"torch", "pydantic", "engine", "tui", "typer"} & loaded_by(used)


@pytest.mark.slow
def test_the_engine_knows_no_screen() -> None:
    """A batch job would load the screen's library."""
    assert not {"textual", "tui"} & loaded_by(ENGINE)


def test_the_command_line_starts_light() -> None:
    """`descent --help` would wait for libraries that it does not use."""
    assert not {"pydantic", "rich", "tui", "engine.preset.schema"} & loaded_by("import descent, engine.cli")


@pytest.mark.slow
def test_runs_are_listed_without_the_schema() -> None:
    """`descent runs` would take half as long again."""
    assert not {"pydantic", "engine.preset.schema"} & loaded_by("import engine.cli.runs_view")


@pytest.mark.slow
def test_home_is_drawn_without_the_schema() -> None:
    """The first frame would take twice as long. Presets and labs are read after it, in a thread."""
    home = "import tui.app, tui.screens.home.screen"
    assert not {"pydantic", "engine.preset.schema", "engine.labs.format", "numpy", "markdown_it"} & loaded_by(home)


@pytest.mark.slow
def test_several_members_train_without_sympy(tmp_path: Path) -> None:
    """Their first step, and so each grading, would take a second and 70 MB more."""
    words = ["run", "digits-mlp", "--repeats", "2", "--set", "train.steps=1", "--quiet", "--runs-dir", str(tmp_path)]
    loaded = loaded_by(f"from engine.cli import main; main({words})")
    assert "torch" in loaded
    assert "sympy" not in loaded


@pytest.mark.slow
def test_presets_load_without_the_json_schema() -> None:
    """Each start of a run and each grading would take a tenth of a second longer."""
    code = "from engine.preset.loading import load_preset; load_preset('digits-mlp', ['schedule.warmup=3'])"
    made = "from engine.preset.schema import describe; print(describe.json_schema.cache_info().misses)"
    assert python(f"{code}; {made}") == "0\n"


@pytest.mark.slow
def test_help_works_without_torch() -> None:
    """Someone with a broken torch could not even ask what to do, nor call the doctor."""
    help_text = python(WITHOUT_TORCH + "from engine.cli import main; sys.exit(main(['--help']))")
    assert "doctor" in help_text
    python(WITHOUT_TORCH + "from engine.cli import main; sys.exit(main(['presets', 'list']))")


def test_the_public_names() -> None:
    """The documented Python API would not be there."""
    import descent

    assert [name for name in descent.__all__ if not hasattr(descent, name)] == []
    assert set(descent.__all__) <= set(dir(descent))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        descent.nothing  # noqa: B018


LIBRARIES = ("accelerate", "keras", "lightning", "transformers")
CALLBACKS = f"""
import sys
sys.modules |= dict.fromkeys({LIBRARIES})
import descent
for library in {LIBRARIES}:
    try:
        getattr(descent, library)
    except ImportError as error:
        print(error)
"""


@pytest.mark.slow
def test_a_callback_whose_library_is_missing_says_what_to_install() -> None:
    """A person would look for a module of a strange name."""
    said = python(CALLBACKS).splitlines()
    assert len(said) == len(LIBRARIES)
    for library, line in zip(LIBRARIES, said, strict=True):
        assert f"pip install 'descent-console[{library}]'" in line
