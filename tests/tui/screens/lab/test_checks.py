"""Checks on the lab screens: else a learner could not stop one, or not see what is missed and what is next."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import TextArea

from descent.run.folder import RunFolder
from engine.labs import flow, grading, progress, template
from engine.labs.grader import Tell
from engine.labs.library import find_lab
from engine.labs.submission import Submission, content
from tests.helpers import recorded_run as recorded
from tests.helpers.live_console import shown
from tests.helpers.screens import console, record
from tests.helpers.verdicts import whole
from tests.helpers.waiting import until
from tui.app import DescentApp
from tui.data.labs import look_at_lab, threshold
from tui.screens.console.screen import Console
from tui.screens.dialogs import Ask
from tui.screens.lab import grading as screen_grading
from tui.screens.lab.panel import LabPanel
from tui.screens.lab.screen import LabScreen
from tui.widgets.lab_checks import _of_one
from tui.widgets.lab_guide import Guide
from tui.widgets.panes import ConsolePanes

pytestmark = pytest.mark.slow

LAB = "slow-line"
SEVERAL = "".join(
    f"""
[[lab.checks]]
id = "{name}"
text = {{ en = "The criterion called {name}", ko = "{name}이라는 기준" }}
value = "mean(test_loss)"
least = {least}
"""
    for name, least in (("second", 0.0), ("third", 9.0), ("fourth", 0.0), ("fifth", 0.0), ("sixth", 0.0))
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: None) -> Path:
    """A folder in which a lab of six criteria is begun and predicted."""
    work = tmp_path / "work"
    (work / "labs").mkdir(parents=True)
    template.make(LAB, work / "labs")
    file = work / "labs" / LAB / "lab.toml"
    file.write_text(file.read_text() + SEVERAL)
    monkeypatch.chdir(work)
    flow.start(find_lab(LAB), work)
    flow.predict(find_lab(LAB), {"loss": 0.01})
    return work


def was_graded(here: Path, failed: Sequence[str], **verdict: Any) -> None:
    """As if the lab had been graded with the files as they are."""
    import json

    lab = find_lab(LAB)
    checks = [{"id": check.id, "value": 0.5, "passed": check.id not in failed} for check in lab.model.checks]
    met = sum(bool(check["passed"]) for check in checks)
    progress.attempted(LAB, passed=not failed, met=met, of=len(checks), checks=checks)
    found = {**whole(checks, files=content(Submission(lab, here, {}).files()), exit_code=1), **verdict}
    with grading.private_folder(lab, "graded") as place:
        (place / "verdict.json").write_text(json.dumps(found))


def lab_app(**options: Any) -> DescentApp:
    return console(lab=LAB, **options)


async def opened(pilot: Any) -> LabScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, LabScreen) and LAB in shown(pilot), "the lab")
    screen = pilot.app.screen
    assert isinstance(screen, LabScreen)
    return screen


async def test_escape_stops_a_check_and_it_counts_as_none(here: Path) -> None:
    """A learner who sees a slip would wait for a minute, with no way out but to leave the lab."""
    longer = 0
    for file in here.rglob("*.toml"):  # the lab's preset and the learner's: it is not to end before it is stopped
        text = file.read_text()
        longer += "epochs = 100\n" in text
        file.write_text(text.replace("epochs = 100\n", "epochs = 1000000\n"))
    assert longer == 2
    app = lab_app()
    async with app.run_test(size=(80, 24)) as pilot:
        lab = await opened(pilot)
        await pilot.press("k")
        text = await until(pilot, lambda: t if "being graded" in (t := shown(pilot)) else "", "the check")
        assert "slow-line" in text
        await until(pilot, lambda: "esc stop the check" in shown(pilot), "the key")
        await until(pilot, lambda: "slow-line.toml" in shown(pilot).splitlines()[-2], "what it does")
        await pilot.press("g", "b")  # would leave it behind
        assert app.screen is lab
        await pilot.press("escape")
        await until(pilot, lambda: "stop the check?" in shown(pilot), "the question")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is lab, "the lab")
        assert lab.panel.check_worker is not None
        await pilot.press("escape")
        await until(pilot, lambda: "stop the check?" in shown(pilot), "the question")
        await pilot.press("s")
        await until(pilot, lambda: "stopped after" in shown(pilot), "the end")
        await until(pilot, lambda: lab.panel.check_worker is None, "the grader's end")
        assert app.screen is lab
        assert progress.load().of(LAB).count == 0
        await until(pilot, lambda: "esc back" in shown(pilot), "the keys of the lab")
        with grading.private_folder(find_lab(LAB), "graded"):
            pass  # nobody grades any more


async def test_a_check_that_waits_for_memory_says_so(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner would see a check that stands still, without a reason, or without the key that leaves it."""

    async def wait(lab_id: str, folder: Path, tell: Tell) -> dict[str, Any]:
        tell("waiting", "waits for memory, behind 12 others")
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr(screen_grading, "grade", wait)
    async with lab_app().run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("k")
        await until(pilot, lambda: "behind 12 others" in shown(pilot), "what it waits for")
        await until(pilot, lambda: "esc stop the check" in shown(pilot), "the key")
        await pilot.press("escape")
        await until(pilot, lambda: "stop the check?" in shown(pilot), "the question")
        await pilot.press("s")
        await until(pilot, lambda: "stopped after" in shown(pilot), "the end")


async def test_the_question_whether_to_stop_a_check_goes_when_the_check_is_over(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner would be asked about what has ended, with the result behind the question."""
    is_graded = asyncio.Event()

    async def grade(*_: Any) -> dict[str, Any]:
        await is_graded.wait()
        return {"passed": False, "met": 1, "of": 6}

    monkeypatch.setattr(screen_grading, "grade", grade)
    async with lab_app().run_test(size=(80, 24)) as pilot:
        lab = await opened(pilot)
        await pilot.press("k")
        await until(pilot, lambda: "being graded" in shown(pilot), "the check")
        await pilot.press("escape")
        await until(pilot, lambda: "stop the check?" in shown(pilot), "the question")
        is_graded.set()
        await until(pilot, lambda: "1 of 6 criteria met" in shown(pilot), "the result")
        assert pilot.app.screen is lab


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_what_is_not_met_comes_first(here: Path, size: tuple[int, int]) -> None:
    """A learner would have to scroll through all that is right to find what is wrong."""
    was_graded(here, ["third"])
    app = lab_app()
    async with app.run_test(size=size) as pilot:
        lab = await opened(pilot)
        lab.panel.show_criteria()
        failed = "✗ The criterion called third"  # a frame before it scrolls there shows it elsewhere
        text = await until(pilot, lambda: t if failed in (t := shown(pilot)) else "", "the criterion")
        if size == (80, 24):
            assert "5 met" in text
            assert "called fourth" not in text
        else:
            assert text.index("called third") < text.index("called second")


async def test_what_was_graded_and_not_changed_is_to_be_edited(here: Path) -> None:
    """Enter would have the same work graded again and again."""
    was_graded(here, ["third"])
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        lab = await opened(pilot)
        await until(pilot, lambda: "enter train" in shown(pilot), "what is next")
        await pilot.press("k")
        await until(
            pilot, lambda: isinstance(app.screen, Ask) and "nothing has changed" in shown(pilot), "the question"
        )
        assert "5 of 6 met" in shown(pilot)
        await pilot.press("escape", "w")
        await until(pilot, lambda: next(iter(app.screen.query(TextArea)), None), "the editor")
        (here / f"{LAB}.toml").write_text((here / f"{LAB}.toml").read_text() + "# changed\n")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is lab and "enter k check" in shown(pilot), "what is next")


async def test_a_text_that_changes_behind_the_editor_keeps_nothing_waiting(here: Path) -> None:
    """A verdict would not be told in the editor until a key is pressed."""
    async with lab_app().run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, LabScreen), "the lab")
        panel, guide = pilot.app.screen.query_one(LabPanel), pilot.app.screen.query_one(Guide)
        await until(pilot, lambda: "Task" in guide._text, "the text")
        await pilot.press("w")
        await until(pilot, lambda: pilot.app.screen.query("#write-task"), "the editor")
        text = guide._text
        was_graded(here, ["second"])
        flow.hint(find_lab(LAB))
        await panel.look_again()
        assert panel.status.record.count == 1
        assert guide._text == text
        await pilot.press("escape")
        await until(pilot, lambda: guide._text != text, "the new text")


async def test_why_it_could_not_be_graded_stays_on_the_screen(here: Path) -> None:
    """The reason would be gone with the next key, and the criteria look as if nothing had been graded."""
    was_graded(here, ["third"], problem="slow-line.toml: data.name: this lab leaves it at line", exit_code=2)
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "this lab leaves" in shown(pilot), "the reason")


def line_of(text: str, word: str) -> str:
    """The line of the way that is about this step."""
    return next(line for line in text.splitlines() if f" {word} " in line and any(sign in line for sign in "✓▶·"))


async def test_the_way_says_trained_only_of_what_was_trained(here: Path) -> None:
    """The first training would look as if it was done, and g offer to do it again."""
    was_graded(here, ["third"])
    record(here / "runs", f"{LAB}-260921-131000-kqzt", "finished", preset="digits-mlp")  # of another preset
    app = lab_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        text = await until(pilot, lambda: t if "enter train" in (t := shown(pilot)) else "", "the way")
        assert "✓ train" not in text
        assert "▶ check" in text
        run = RunFolder(record(here / "runs", f"{LAB}-260921-131000-aaaa", "finished", preset="digits-mlp"))
        run.preset.write_text(f'lab = "{LAB}"\n{run.preset.read_text()}')
        await pilot.press("h", "enter")
        await until(pilot, lambda: "✓ train" in shown(pilot), "the run")


async def test_charts_come_first_where_there_is_little_room(here: Path) -> None:
    """After a check, training again would show the text, and no chart to watch."""
    was_graded(here, ["third"])
    run = recorded.record(here / "runs")
    run.preset.write_text(f'lab = "{LAB}"\n{run.preset.read_text()}')
    app = console(run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await until(pilot, lambda: app.screen if isinstance(app.screen, Console) else None, "the console")
        await until(pilot, lambda: "t text" in shown(pilot).splitlines()[-1], "the key of the text")
        console_panes, guide = screen.query_one(ConsolePanes), screen.query_one(Guide)
        assert console_panes.display
        assert not guide.display
        screen.query_one(LabPanel).show_criteria()
        await until(pilot, lambda: "✗ The criterion called third" in shown(pilot), "the criteria")
        assert "t charts" in shown(pilot)
        await pilot.press("t")
        await until(pilot, lambda: console_panes.display and "t text" in shown(pilot), "the charts")


async def test_presets_are_chosen_in_the_order_of_the_tasks(here: Path) -> None:
    """A learner would train the second task's preset first, and not know how to leave the question."""
    file = here / "labs" / LAB / "lab.toml"
    text = file.read_text().replace("Change the preset so", "Train `slow-line-flat.toml`, then `slow-line.toml`, so")
    part = '[lab.parts.flat]\npreset = "flat.toml"\ntitle = { en = "A flat one", ko = "평평한 것" }\n'
    file.write_text(text + part)
    preset = text[text.index("[data]") : text.index("[lab]")]
    (file.parent / "flat.toml").write_text(preset)
    flow.start(find_lab(LAB), here, again=True)
    app = lab_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("g")
        text = await until(pilot, lambda: t if "Which preset?" in (t := shown(pilot)) else "", "the question")
        assert text.index("slow-line-flat.toml  A flat one") < text.index("slow-line.toml")
        assert "A line, too slowly" in text[text.index("Which preset?") :]
        assert "esc" in text


def test_the_text_of_a_criterion_has_all_of_the_width(here: Path) -> None:
    """Beside its number, which stands behind the last line, it was folded to five lines of three words."""
    standing = look_at_lab(LAB)
    check = next(check for check in standing.lab.model.checks if check.id == "second")
    drawn = [["".join(piece.text for piece in line) for line in _of_one(check, standing, w)] for w in (60, 32, 22)]
    number = threshold(check)
    assert [len(lines) for lines in drawn] == [1, 2, 2]
    assert drawn[1][0] == "· The criterion called second"
    assert drawn[2][0] == "· The criterion called"
    assert all(lines[-1].endswith(number) for lines in drawn)
