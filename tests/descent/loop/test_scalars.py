"""What `run.log` is given by name must be in the run's folder, at the step that it was given in."""

import os
import signal
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from descent.common.errors import DescentError
from descent.loop.scalars import ScalarRecorder
from descent.run import scalars
from descent.run.metrics import Metrics, MetricsWriter
from tests.helpers.loops import DRIVEN, Script

LOGGED = DRIVEN.replace(
    "# MORE",
    """run.log(step=run.step)
    if run.step % 4 == 0: run.log({"my kl": torch.tensor(0.5 * run.step), "loss": 2.0})
    if run.step == 20: open("cell.html", "w").write(run._repr_html_())
    # MORE""",
)


@pytest.mark.slow
def test_scalars_are_at_their_steps_and_go_on_after_a_kill(tmp_path: Path) -> None:
    """A curve of a resumed run would show values twice, shifted or not at all."""
    killed = LOGGED.replace("# MORE", "if run.step == 14: run.save()\n    if run.step == 17: os.kill(os.getpid(), 9)")
    script = Script(tmp_path / "killed").start(killed).end()
    assert script.code == -signal.SIGKILL
    script.start(LOGGED).end().result()
    found = scalars.read(script.run.path)
    assert list(found) == ["step", "my kl"]
    assert found["step"].steps.tolist() == list(range(30))
    assert found["step"].values.tolist() == list(range(1, 31))
    assert found["my kl"].steps.tolist() == [3, 7, 11, 15, 19, 23, 27]
    assert found["my kl"].values[-1] == 14
    cell = ElementTree.parse(script.folder / "cell.html")
    titles = [str(chart.findtext("{*}text")) for chart in cell.findall(".//{*}svg")]
    assert [title.removesuffix(" (log axis)") for title in titles] == ["loss", "learning rate", "step", "my kl"]
    loss = Metrics(script.run.path).column("loss")
    assert np.flatnonzero(loss == 2).tolist() == found["my kl"].steps.tolist()


@pytest.mark.filterwarnings("error")
def test_a_value_is_that_of_the_moment_in_which_it_was_given(tmp_path: Path) -> None:
    """A sum that goes on would be recorded as what it came to later."""
    total = torch.tensor(1.0, requires_grad=True)
    recorder = ScalarRecorder(tmp_path)
    MetricsWriter(tmp_path, 0).close()
    recorder.begin(0)
    values = {"total": recorder.checked("total", total), "half": recorder.checked("half", np.float16(0.5))}
    with torch.no_grad():
        total += 1
    recorder.take(0, values)
    recorder.flush()
    assert {name: series.values.tolist() for name, series in scalars.read(tmp_path).items()} == {
        "total": [1.0],
        "half": [0.5],
    }
    for wrong, why in ((torch.zeros(2), r"not a tensor of shape \(2,\)"), ("much", "'much': must be a number")):
        with pytest.raises(DescentError, match=why):
            recorder.checked("total", wrong)
    recorder.close()
    assert os.listdir(tmp_path / "scalars")
