"""The screen of the learner's code drawn: without it a number tells that code is wrong, and nothing shows how."""

from pathlib import Path
from typing import Any

import pytest

from engine.labs import flow, template
from engine.labs.library import find_lab
from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.waiting import until
from tui.screens.lab.drawn import Drawn
from tui.screens.lab.screen import LabScreen
from tui.widgets.code_editor import CodeEditor

LAB = "slow-line"
CODE = "def f(x):\n    for one in x:\n        if one:\n            y = 1 / 0\n    return y\n"
DRAW = """
[[lab.draw]]
id = "f"
title = { en = "Drawn here", ko = "그림" }

[[lab.draw.rows]]
text = { en = "the only row", ko = "한 줄" }
yours = 'learner("f", 1)'
right = "2"
"""
PAIR = [[0.0, 0.0], [1.0, 1.0]]
WALK = {
    "names": ["b", "w"], "x": [-1.0, 0.0, 1.0, 2.0], "y": [-1.0, 0.0, 1.0, 2.0], "loss": [[1.0, 2.0, 3.0, 4.0]] * 4,
    "right": PAIR, "yours": PAIR[:1], "error": f"f raised ZeroDivisionError ({LAB}.py, line 4)", "steps": [],
    "gradients": [{"at": [0.0, 0.0], "yours": [1.0, 0.5], "right": [-1.0, -0.5], "agree": False}],
}  # fmt: skip
GRAPH = {
    "nodes": [
        {"name": "a", "inputs": [], "value": 3.0, "gradient": 3.0, "right": [3.0, 2.0], "agree": False},
        {"name": "a · a", "inputs": ["a", "a"], "value": 9.0, "gradient": 1.0, "right": [9.0, 1.0], "agree": True},
    ],
    "error": "",
}  # fmt: skip
FOUND = {
    "drawings": [
        {"id": "f", "title": "a path", "walk": WALK},
        {"id": "g", "title": "a table",
         "rows": [{"text": "sum", "yours": "3", "right": "3", "agree": True, "error": ""}]},
        {"id": "h", "title": "a graph", "graph": GRAPH},
    ],
    "printed": "",
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder with the files of a lab whose code is drawn."""
    work = tmp_path / "work"
    (work / "labs").mkdir(parents=True)
    template.make(LAB, work / "labs")
    lab = work / "labs" / LAB
    (lab / "start.py").write_text(CODE)
    (lab / "lab.toml").write_text((lab / "lab.toml").read_text() + DRAW)
    monkeypatch.chdir(work)
    flow.start(find_lab(LAB), work)
    flow.predict(find_lab(LAB), {"loss": 0.01})
    return work


@pytest.mark.slow
@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_drawings_and_the_way_to_the_line_that_raised(
    here: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """The error's line would be looked for by hand, or the numbers would find no room."""

    async def draw(*_: Any) -> dict[str, Any]:
        return FOUND

    monkeypatch.setattr("tui.screens.lab.drawn.draw", draw)
    app = console(lab=LAB)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and LAB in shown(pilot), "the lab")
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, Drawn) and "a path" in shown(pilot), "the drawing")
        seen = shown(pilot)
        assert "✗ does not" in seen
        assert "1.00, 0.500" in seen
        assert "-1.00, -0.500" in seen
        assert "line 4" in seen
        assert "━ yours" in seen
        await pilot.press("down")
        await until(pilot, lambda: "a table" in shown(pilot) and "✓ agrees" in shown(pilot), "the table")
        await pilot.press("down")
        await until(pilot, lambda: "a graph" in shown(pilot) and "∂ 3 ✗ 2" in shown(pilot), "the graph")
        assert "a · a" in shown(pilot)
        assert "1 of 2 numbers do not agree" in shown(pilot)
        await pilot.press("up", "up", "enter")
        editor = await until(pilot, lambda: next(iter(app.screen.query(CodeEditor)), None), "the editor")
        await until(pilot, lambda: "1 / 0" in editor.text and editor.cursor_location[0] == 3, "the line")
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, Drawn), "the drawing, from the editor")
