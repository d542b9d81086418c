"""Pictures of a lab's run: they show what was learned, and not what is to be found out."""

from pathlib import Path

import pytest

from engine.labs import flow, template
from engine.labs.library import find_lab
from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.waiting import until
from tui.screens.console.screen import Console
from tui.screens.lab.screen import LabScreen

LAB = "slow-line"


@pytest.mark.slow
async def test_the_optimizers_have_the_run_s_rate_and_not_their_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: None
) -> None:
    """The legend would tell the rate that the learner is to find."""
    (tmp_path / "labs").mkdir()
    template.make(LAB, tmp_path / "labs")
    monkeypatch.chdir(tmp_path)
    flow.start(find_lab(LAB), tmp_path)
    flow.predict(find_lab(LAB), {"loss": 0.01})
    file = tmp_path / f"{LAB}.toml"
    file.write_text(file.read_text().replace("epochs = 100", "epochs = 1000000"))
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and LAB in shown(pilot), "the lab")
        await pilot.press("g")
        run = await until(pilot, lambda: app.screen if isinstance(app.screen, Console) else None, "the run")
        await until(pilot, lambda: run.snapshot is not None and run.snapshot.step > 0, "its steps")
        await pilot.press("i")
        await until(pilot, lambda: "▶ Fit" in shown(pilot), "the first picture")
        await pilot.press("down", "down")
        text = await until(pilot, lambda: t if "A GD " in (t := shown(pilot)) else "", "the ways")
        assert "A GD 0.01" in text
        assert "0.5" not in next(line for line in text.splitlines() if "A GD " in line)
        await pilot.press("escape", "x")
        await until(pilot, lambda: "stop without saving" in shown(pilot), "the question")
        await pilot.press("d")
        await until(pilot, lambda: run.snapshot.state == "stopped", "the end")
