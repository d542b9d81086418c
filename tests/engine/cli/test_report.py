"""What a start prints at its end, also where it has trained nothing."""

import shutil
from pathlib import Path

import pytest

from descent.run.events import Events
from descent.run.folder import RunFolder
from engine.cli.report import print_outcome
from engine.launch.options import Outcome
from tests.helpers.old_runs import FOLDER, VERSION


def test_a_run_that_another_process_has_taken_up_has_a_receipt(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A batch job that came second would end in "this is a bug in Descent"."""
    run = RunFolder(shutil.copytree(FOLDER / VERSION / "runs" / "plain", tmp_path / "plain"))
    print_outcome(Outcome(run), as_json=False, quiet=False)
    assert "finished at step 80 after" in capsys.readouterr().out
    Events(run.path).state("running", step=10)
    print_outcome(Outcome(run), as_json=False, quiet=False)
    assert capsys.readouterr().out.startswith("at step 80 after")
