"""Runs over one another: a person must be able to tell which curve is whose, and see live ones go on."""

import queue
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from textual.pilot import Pilot

from descent.run.comparison import Comparison, compared
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from engine.training import worker  # noqa: F401 - loaded once here, not in each child
from tests.helpers.live_console import shown, start
from tests.helpers.processes import Child, kill
from tests.helpers.screens import console, place, record
from tests.helpers.waiting import DEADLINE, until
from tui.plot import compare, legend
from tui.plot.compare import overlaid
from tui.plot.sampling import scale
from tui.screens.compare import Compare
from tui.screens.console.screen import Console
from tui.screens.home.screen import Home
from tui.widgets.chart import Chart
from tui.widgets.compare_tables import WhoLine, names_beside, narrowed

__all__ = ["place"]
SIZES = [(80, 24), (120, 40), (200, 60)]


async def on_screen(pilot: Pilot[Any], text: str) -> None:
    await until(pilot, lambda: text in shown(pilot), f"{text!r} on the screen")


def three(place: Path) -> list[RunFolder]:
    runs = place / "runs"
    found = [
        record(runs, "fast", "finished", overrides=["optimizer.lr=0.5"], accuracy=0.99),
        record(runs, "slow", "stopped", steps=400),
    ]
    found.append(record(runs, "digits-cnn-260921-130000-aefg", "failed", preset="digits-cnn", steps=100))
    return [RunFolder(path) for path in found]


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
async def test_letters_numbers_and_settings_are_there_at_each_size(place: Path, size: tuple[int, int]) -> None:
    app = console(compare=three(place))
    async with app.run_test(size=size) as pilot:
        await on_screen(pilot, "A fast ✓")
        await on_screen(pilot, "99.0%*")
        if size == (80, 24):
            await pilot.press("p")
        await on_screen(pilot, "optimizer.lr")
        lines = shown(pilot).splitlines()
        assert all(len(line) <= size[0] for line in lines)
        assert any("0.5" in line and "0.1" in line for line in lines if "optimizer.lr" in line)


@pytest.mark.slow
async def test_a_terminal_without_colours_and_signs_tells_them_apart(place: Path) -> None:
    from tui.terminal import Terminal

    app = console(compare=three(place), terminal=Terminal(unicode=False, colour=False))
    async with app.run_test(size=(120, 40)) as pilot:
        await on_screen(pilot, "A fast v")
        await until(pilot, lambda: app.screen.query_one("#loss", Chart).data.lines, "the curves")
        await pilot.pause()
        inside = shown(pilot)
        assert inside.isascii()
        assert all(letter in inside for letter in "ABC")


def test_each_line_has_a_colour_and_a_letter_of_its_own_and_ends_where_its_run_does(place: Path) -> None:
    followers = [Follower(folder) for folder in three(place)]
    data = overlaid(followers, "loss", 100, None, 0.6, "step")
    train = [line for line in data.lines if not line.dashed]
    assert [(line.name, line.style, line.marker) for line in train] == [
        ("A", "run1", "A"), ("B", "run2", "B"), ("C", "run3", "C"),
    ]  # fmt: skip
    assert [line.name for line in data.lines if line.dashed] == ["a", "b", "c"]
    assert data.x_range == (0.0, 800.0)
    ends = [float(np.max(line.xs)) for line in train if line.xs is not None]
    assert ends[0] > 790
    assert 390 <= ends[1] <= 410
    assert data.exact is not None
    assert set(data.exact(300.0)[1]) == {"A", "B"}  # the third has ended by then


@pytest.mark.slow
async def test_from_home_marked_runs_are_compared_and_q_leads_back(place: Path) -> None:
    three(place)
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.runs is not None and len(app.runs) == 3, "the runs")
        await on_screen(pilot, "o compare")
        await pilot.press("space", "space")
        await on_screen(pilot, "o compare 2")
        await pilot.press("o")
        await until(pilot, lambda: isinstance(app.screen, Compare), "the comparison")
        await on_screen(pilot, "results")
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Home), "Home")


def test_the_table_of_live_runs_is_what_their_logs_tell_and_each_line_is_parsed_once(
    tmp_path: Path, parsed: Counter[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A comparison of long runs would take a processor, and the screen stand still."""
    monkeypatch.setattr(compare, "TABLES_EVERY", 0)
    monkeypatch.setattr(compare, "FASTEST", 1000)
    names = {"a": 100, "b": 200}  # steps and seconds, so that no line is in both
    runs = [record(tmp_path, n, "running", steps=many, ended=many, host="elsewhere") for n, many in names.items()]
    folders = [RunFolder(path) for path in runs]
    logs = [Events(folder.path) for folder in folders]
    seen: queue.SimpleQueue[Comparison] = queue.SimpleQueue()
    comparing = compare.Together(folders, 1000, seen.put)
    comparing.start()
    for step in range(200, 230):
        for which, log in enumerate(logs):
            log.write("evaluation", step=step, split="validation", member=0, loss=step + which, accuracy=0.5)
        while [final.metrics.get("val_loss") for final in seen.get(timeout=DEADLINE).finals] != [step, step + 1]:
            pass
    comparing.end()
    assert comparing.comparison is not None
    assert max(parsed.values()) == 1
    assert comparing.comparison == compared(folders)


@pytest.mark.slow
async def test_one_run_alone_asks_for_the_others(place: Path) -> None:
    three(place)
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await on_screen(pilot, "o compare")
        await pilot.press("o")
        await on_screen(pilot, "compare which runs?")
        await pilot.press("enter")
        await on_screen(pilot, "2 to 8 runs can be compared. Marked: 1")
        await pilot.press("space", "enter")
        await until(pilot, lambda: isinstance(app.screen, Compare), "the comparison")


@pytest.fixture
def live(tmp_path: Path) -> Iterator[tuple[Child, RunFolder]]:
    child, run = start(tmp_path)
    yield child, run
    kill(child)


@pytest.mark.slow
async def test_a_live_run_and_its_fork_grow_while_they_are_compared(live: tuple[Child, RunFolder]) -> None:
    from descent.control import send
    from engine.launch.options import Options
    from engine.launch.start import detach_fork
    from tui.app import DescentApp

    _, run = live
    at = send(run.path, "checkpoint")["step"]
    fork = detach_fork(run, at, ["optimizer.lr=0.01"], Options("fork"))
    app = DescentApp(run=run, runs_dir=run.path.parent)
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await on_screen(pilot, "▶ running")
            await until(pilot, lambda: app.runs and len(app.runs) == 2, "both runs")
            await pilot.press("o")
            await on_screen(pilot, "compare which runs?")
            await pilot.press("enter")  # the fork is marked already
            await on_screen(pilot, f"B fork of A @ step {at:,}")
            chart = app.screen.query_one("#loss", Chart)
            await until(pilot, lambda: len(chart.data.lines) >= 2, "both curves")
            before = {line.name: line.latest for line in chart.data.lines}
            await until(pilot, lambda: all(n.latest != before.get(n.name) for n in chart.data.lines[:2]), "growth")
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, Console), "the run alone")
    finally:
        send(fork.path, "stop", {"how": "discard"})


def test_by_share_of_the_run_a_short_run_is_as_wide_as_a_long_one(place: Path) -> None:
    """Beside a run of many steps a short one is a dot."""
    followers = [Follower(folder) for folder in three(place)[:2]]
    for follower in followers:
        follower.look()
    by_step, by_share = (
        overlaid(followers, "loss", 100, None, 0.0, mode, which="train") for mode in ("step", "share")
    )
    assert by_share.x_unit == "share"
    assert by_share.x_range == (0, 100)
    assert by_share.end == pytest.approx(100, abs=1)  # the first has ended by its plan
    ends = [scale(follower, "share").at(np.array([follower.step]))[0] for follower in followers]
    planned = [follower.facts["total_steps"] for follower in followers]
    assert ends == [100 * f.step / max(total, f.step) for f, total in zip(followers, planned, strict=True)]
    assert by_step.x_range[1] > 100
    assert legend.reading(12.5, "share", 20, unicode=True) == "12.5%"


def test_names_beside_each_other_leave_out_what_they_share() -> None:
    """On 80 columns the names of five runs of a preset were the beginning of its name, five times."""
    ids = [f"mnist-mlp-231114-22132{n}-kqz{n}" for n in range(3)]
    assert names_beside(ids) == ("mnist-mlp", ["kqz0", "kqz1", "kqz2"])
    assert names_beside([*ids, "night"]) == ("", ["mnist-mlp kqz0", "mnist-mlp kqz1", "mnist-mlp kqz2", "night"])
    assert names_beside(["a", "b"]) == ("", ["a", "b"])
    assert names_beside(ids[:1]) == ("", ["mnist-mlp kqz0"])


def test_names_that_are_cut_still_differ() -> None:
    """On 80 columns runs of two presets were all called digit…, and the last had no place in the top line."""
    names = ["digits-mlp kqza", "digits-mlp kqzb", "rate-0.02", "rate-0.3", "dm1"]
    assert narrowed(names, 20) == names
    assert narrowed(names, 10) == ["digi… kqza", "digi… kqzb", "rate-0.02", "rate-0.3", "dm1"]
    assert narrowed(names, 6) == ["kqza", "kqzb", "ra….02", "ra…0.3", "dm1"]
    assert narrowed(names, 4) == ["kqza", "kqzb", "0.02", "-0.3", "dm1"]


def test_each_of_eight_runs_is_in_the_top_line(place: Path) -> None:
    """Who was beside them could only be seen on a wider terminal."""
    paths = [record(place / "runs", f"digits-mlp-260921-13000{n}-kqz{n}", "finished", steps=10) for n in range(7)]
    paths.append(record(place / "runs", "a-long-name-of-ones-own", "finished", steps=10))
    line = WhoLine()
    line.found = compared([RunFolder(path) for path in paths])
    for width in (78, 118, 198):
        (drawn,) = line.lines(width, 1)
        text = "".join(piece.text for piece in drawn)
        assert len(text) <= width
        assert [f"{letter} " in text for letter in "ABCDEFGH"] == [True] * 8
        assert text.count("✓") == 8
        assert all(f"kqz{n}" in text for n in range(7))


def test_a_legend_names_all_runs_or_none(place: Path) -> None:
    """It named some of them, as if there were no others; the table below has all of their values."""
    followers = [Follower(folder) for folder in three(place)]
    lines = overlaid(followers, "loss", 100, None, 0.6, "step", which="train").lines

    def words(room: int, values: dict[str, float] | None = None) -> str:
        return "".join(text for text, _ in legend.title("loss", lines, room, values=values, unicode=True))

    assert [name in words(60) for name in ("A", "B", "C")] == [True] * 3
    assert words(30) == "loss"
    assert words(30, {"A": 1.0, "B": 2.0, "C": 3.0}) == "loss  ━ A 1.00    ━ B 2.00 …"  # where the cursor stands
