"""The labs on Home: without them a learner would not see what the course holds, and what comes next."""

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from descent.common.i18n import use
from engine.labs import flow, progress
from engine.labs.library import find_lab
from tests.helpers.screens import console, place, record_some, seen, text
from tests.helpers.small_lab import make_lab
from tests.helpers.waiting import until
from tui.screens.lab.screen import LabScreen

__all__ = ["place"]

SIZES = [(80, 24), (120, 40), (200, 60)]


def make_course(shipped: Path, *ids: str) -> None:
    for lab_id in ids:
        make_lab(shipped / "labs", lab_id)


@pytest.fixture
def course(place: Path) -> Path:
    """A passed lab, a started one, and one that was not looked at; the current folder."""
    make_course(place.parent / "shipped", "a-line", "b-curve", "c-fold")
    flow.start(find_lab("a-line"), place)
    progress.attempted("a-line", passed=True, met=1, of=1, checks=[{"id": "loss", "value": 0.01, "passed": True}])
    flow.start(find_lab("b-curve"), place)
    flow.predict(find_lab("b-curve"), {"bias": "1"})
    return place


def on_line(shown: str, what: str) -> str:
    return next(line for line in shown.splitlines() if what in line).partition("▏")[0].rstrip()


async def test_a_learner_sees_how_far_the_course_is(course: Path) -> None:
    """Passed and open labs would look alike, or runs and presets would push them out."""
    record_some(course / "runs")
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        for part in ("1 of 3", "runs  2 running", "your files of labs"):  # each comes when it is read
            shown = await seen(pilot, part)
        assert on_line(shown, "a-line ").startswith(" ✓ a-line            A slow line")
        assert on_line(shown, "b-curve ").startswith(" ▸ b-curve")
        assert on_line(shown, "c-fold").startswith("   c-fold")
        assert shown.index("runs  2 running") < shown.index("labs  1 of 3") < shown.index("images")
        assert "a-line" in shown[shown.index("your files of labs") :]  # the learner's own, below all presets


@pytest.mark.parametrize("size", SIZES)
async def test_wide_letters_break_no_column(course: Path, size: tuple[int, int]) -> None:
    """In Korean the right half of the screen would be shifted, line by line, by what stands in the left."""
    use("ko")
    app = console()
    async with app.run_test(size=size) as pilot:
        await seen(pilot, "3개 중 1개 통과")
        shown = await seen(pilot, "설정 하나.")  # beside the list, in its own words
        assert "느린 직선" in on_line(shown, " a-line ")
        rules = {cell_len(line.partition("▏")[0]) for line in shown.splitlines() if "▏" in line}
        assert len(rules) <= 1
        assert all(cell_len(line) <= size[0] for line in shown.splitlines())


@pytest.mark.slow
async def test_what_comes_next_can_be_copied(course: Path) -> None:
    """A learner would have to remember the commands, and from which folder they work."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        assert "next        passed: read why" in await seen(pilot, "$ descent lab explain a-line")
        await pilot.press("down")
        assert "then        have it graded: descent lab check b-curve" in await seen(
            pilot, "$ descent console b-curve"
        )
        await pilot.press("down", "y")
        assert app.clipboard == "descent lab start c-fold"


@pytest.mark.slow
async def test_how_far_a_lab_came_is_said_as_on_its_own_screen(course: Path) -> None:
    """Home would give a share of the best attempt, the lab the count of the latest."""
    for met in (3, 5, 3):
        progress.attempted("b-curve", passed=False, met=met, of=8, checks=[])
    app = console()
    async with app.run_test(size=(200, 60)) as pilot:
        assert "3 of 8 met, best 5" in on_line(await seen(pilot, "1 of 3"), " b-curve ")
        await pilot.press("down")
        await seen(pilot, "graded 3 ×: 3 of 8 met, best 5")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen), "the lab")
        assert "3 of 8 met, best 5" in await seen(pilot, "3 of 8 met")


@pytest.mark.slow
async def test_enter_opens_the_lab(course: Path) -> None:
    """The list would show labs that can't be begun from it."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "1 of 3")
        await pilot.press("slash", *"c-f", "enter", "enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen), "the lab")
        assert app.screen.lab_id == "c-fold"


@pytest.mark.parametrize("typed", ["b-curve", "bcrv", "느린 직선", "slow"])
async def test_labs_are_found_by_name_and_title_in_both_languages(course: Path, typed: str) -> None:
    """A learner who knows the Korean title would look for it in vain on an English screen."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await seen(pilot, "1 of 3")
        await pilot.press("slash")
        app.screen.focused.value = typed
        shown = await until(pilot, lambda: text(app) if "digits-cnn" not in text(app) else "", "the presets to go")
        assert "▸ b-curve" in shown


async def test_a_broken_lab_is_listed_with_its_reason(course: Path) -> None:
    """An instructor's slip would hide the lab, or the whole course."""
    file = course.parent / "shipped" / "labs" / "c-fold" / "lab.toml"
    file.write_text(file.read_text().replace('topic = "lines"', 'topic = "line"'))
    app = console()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        assert on_line(await seen(pilot, "1 of 2"), "c-fold").startswith(" ! c-fold")
        await pilot.press("down", "down")
        assert "lab.topic" in await seen(pilot, "c-fold  broken")


@pytest.mark.slow
async def test_a_long_course_leaves_room_for_presets(place: Path) -> None:
    """On a small screen the presets would be pages below the labs; what was passed is the least wanted."""
    make_course(place.parent / "shipped", *(f"lab-{n:02}" for n in range(20)))
    for n in range(12):
        progress.attempted(f"lab-{n:02}", passed=True, met=1, of=1, checks=[])
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        shown = await seen(pilot, "13 more labs")
        assert "lab-10" not in shown
        assert on_line(shown, "lab-11").startswith(" ✓")
        assert "lab-12" in shown
        await pilot.press(*["down"] * 7, "enter")
        await until(pilot, lambda: "more labs" not in text(app), "all of them")


@pytest.mark.slow
async def test_unreadable_progress_is_told_and_hides_nothing(course: Path, tmp_path: Path) -> None:
    """A damaged file would empty the screen, or progress would seem lost without a word."""
    [file] = tmp_path.rglob("labs.json")
    file.write_text("{")
    app: Any = console()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        assert "labs  0 of 3" in await seen(pilot, "labs.broken-1.json")
