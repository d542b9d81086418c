"""A lab in Korean: without these a Korean learner would meet English in the middle of a Korean screen."""

import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from descent.common.i18n import _, use
from engine.labs import flow, template
from engine.labs.library import find_lab
from engine.pictures import KINDS
from tests.helpers.live_console import shown
from tests.helpers.screens import console
from tests.helpers.waiting import until
from tui.data.words import said
from tui.screens.console.screen import Console
from tui.screens.lab.screen import LabScreen

LAB = "slow-line"
NAMES = {"slow", "line", "toml", "cpu", "esc", "enter", "space", "torch", "pytorch", "sgd", "mib", "gib"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder with the files of a lab, and its question answered."""
    work = tmp_path / "work"
    (work / "labs").mkdir(parents=True)
    template.make(LAB, work / "labs")
    monkeypatch.chdir(work)
    use("ko")
    flow.start(find_lab(LAB), work)
    flow.predict(find_lab(LAB), {"loss": 0.01})
    return work


def english(text: str) -> set[str]:
    """Words that no Korean screen should have."""
    return {word for word in re.findall(r"[A-Za-z_]{3,}", text) if word.lower() not in NAMES}


@pytest.mark.slow
async def test_a_run_of_a_korean_lab_speaks_korean(here: Path) -> None:
    """State, titles, log, bottom line and dialogs would be English as soon as anything runs."""
    file = here / f"{LAB}.toml"
    file.write_text(file.read_text().replace("epochs = 100", "epochs = 100000"))
    app = console(lab=LAB)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and LAB in shown(pilot), "the lab")
        await pilot.press("g")
        run = await until(pilot, lambda: app.screen if isinstance(app.screen, Console) else None, "the console")
        await until(pilot, lambda: run.snapshot is not None and run.snapshot.step > 100, "its steps")
        await pilot.press("space")
        await until(pilot, lambda: run.snapshot.state == "paused" and "일시정지" in shown(pilot), "the pause")
        for size in ((80, 24), (120, 40), (200, 60)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda size=size: is_drawn(pilot, size), f"the screen of {size}")
            speaks_korean(shown(pilot), run.snapshot.short_id, size[0])
        await pilot.press("i")
        await until(
            pilot, lambda: "학습 손실과 학습이 지나온 경로" in shown(pilot) or "손실 곡면" in shown(pilot), "pictures"
        )
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is run, "the console again")
        await pilot.press("x")
        await until(pilot, lambda: "저장하지 않고 중단" in shown(pilot), "the question")
        await pilot.press("d")
        await until(pilot, lambda: run.snapshot.state == "stopped" and "중단" in shown(pilot), "the end")
        await pilot.press("f1")
        await until(pilot, lambda: "이 화면" in shown(pilot), "help")


def is_drawn(pilot: Any, size: tuple[int, int]) -> bool:
    """Whether the paused console fills a terminal of that size."""
    lines = shown(pilot).splitlines()
    longest = max(map(cell_len, lines))
    return len(lines) == size[1] and size[0] - 2 <= longest <= size[0] and "일시정지" in "".join(lines)


def speaks_korean(text: str, run_id: str, width: int) -> None:
    top, *_, status, keys = text.splitlines()
    assert not english(top.replace(run_id, "")), top
    assert not english(status), status
    assert not english(keys), keys
    titles = [line for line in text.splitlines() if "╭" in line]
    assert titles
    assert not english(" ".join(titles)), titles
    assert "손실" in " ".join(titles)
    assert max(cell_len(line) for line in text.splitlines()) <= width


@pytest.mark.slow
async def test_what_can_t_be_started_is_told_in_korean(here: Path) -> None:
    """The first dialog that a learner meets after a slip would be English."""
    file = here / f"{LAB}.toml"
    file.write_text(file.read_text().replace("lr = 0.01", "lr = fast"))
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and LAB in shown(pilot), "the lab")
        await pilot.press("g")
        await until(pilot, lambda: "시작할 수 없습니다" in shown(pilot), "the dialog")


@pytest.mark.parametrize(
    ("event", "korean"),
    [
        ({"event": "command", "command": "set", "arguments": {"edits": ["lr_scale=0.5"]}}, "나: 학습률 × 0.5"),
        ({"event": "anomaly", "what": "loss", "layer": "hidden1"}, "손실 값이 유한하지 않습니다(층 hidden1)"),
        (
            {"event": "evaluation", "step": 9, "split": "validation", "epoch": 3.0, "loss": 0.088, "accuracy": 0.974},
            "에포크 3  검증 0.0880  97.4%",
        ),
        ({"event": "resumed", "to": 1200}, "1,200스텝에서 이어 감"),
    ],
)
def test_the_log_is_in_korean_with_what_was_filled_in(
    event: dict[str, Any], korean: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers would be lost or swapped, or the log would stay English."""
    monkeypatch.setenv("DESCENT_LANG", "ko")
    words = said(event, {})
    assert words is not None
    assert words[0] == korean


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_picture_has_a_korean_title(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of pictures would be half English."""
    monkeypatch.setenv("DESCENT_LANG", "ko")
    assert not english(_(kind.title))
    assert _(kind.shows) != kind.shows
