"""Home: without it a user finds neither runs nor presets, or starts something else than what was highlighted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import pytest

from descent.run import find
from descent.run.folder import RunFolder
from descent.run.health import Broken
from descent.run.note import Note, read_note
from engine.preset import listing
from engine.preset.loading import load_preset
from engine.study.plan import Wanted, plan
from tests.helpers.screens import NOW, console, looks_like, place, record, record_some, seen, text
from tests.helpers.waiting import until
from tui.app import DescentApp, RunsSeen
from tui.base import RunsChanged
from tui.data.hosts import Host, HostRun
from tui.data.runs import RunStatus, glances_of
from tui.screens.help import actions_of
from tui.screens.home import details, rows
from tui.screens.home.changes import Changes, in_words
from tui.screens.home.list import Listing, marked_in
from tui.screens.home.note import EditNote
from tui.screens.home.rows import Nothing
from tui.screens.home.screen import Home
from tui.settings import Settings
from tui.widgets.lines import Line
from tui.widgets.run_line import look_at, run_line

__all__ = ["place"]


async def _ready(pilot: Any) -> str:
    """Wait until runs and presets are listed."""
    await until(pilot, lambda: pilot.app.runs is not None, "the runs")
    return await seen(pilot, "regression" if pilot.app.size.height > 30 else "images")


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_looks_as_it_should(place: Path, size: tuple[int, int]) -> None:
    """The screen would be broken at one of the usual sizes, and nobody would see it but the user."""
    record_some(place / "runs")
    app = console()
    async with app.run_test(size=size) as pilot:
        await _ready(pilot)
        await looks_like(pilot, f"home-{size[0]}x{size[1]}")


async def test_a_preset_in_full(place: Path) -> None:
    """A user could not see what a preset trains before starting it."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        await looks_like(pilot, "home-preset-120x40")


async def test_typing_narrows_the_list(place: Path) -> None:
    """Among many runs a preset could not be found, or Enter would start another one than that shown."""
    record_some(place / "runs")
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        await pilot.press("slash", *"line")
        shown = await until(pilot, lambda: text(app) if "kqzt" not in text(app) else "", "the other runs to go")
        assert "line wxyz" in shown
        assert "digits-cnn" not in shown
        assert "$ descent run line" in await seen(pilot, "$ descent run line")  # the preset, not the ended run
        await pilot.press("escape")
        assert "line wxyz" in await seen(pilot, "kqzt")
        assert "$ descent run line" in text(app)  # what was found stays highlighted


@pytest.mark.slow
async def test_a_new_search_replaces_the_word_of_before(place: Path) -> None:
    """Typed behind the old word, the new one would find nothing."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        await pilot.press("slash", *"line", "enter")
        await seen(pilot, "enter start")
        await pilot.press("slash", *"cnn")
        assert "nothing here" not in await seen(pilot, "$ descent run digits-cnn")


@pytest.mark.slow
async def test_a_run_that_failed_at_its_start_is_cleared_away_by_one_key(place: Path) -> None:
    """Mistyped starts would fill the list, each to be deleted by answering a dialog."""
    run = record(place / "runs", "mistake", "starting", steps=0)
    with (run / "events.jsonl").open("a") as events:
        events.write('{"time": 1, "event": "state", "state": "failed", "reason": "no column y"}\n')
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        shown = await seen(pilot, "failed at start")
        assert "no column y" in shown
        assert "x remove" in shown
        await pilot.press("x")
        await until(pilot, lambda: not run.exists(), "the folder to go")


async def test_nothing_fits(place: Path) -> None:
    """An empty list would look like a hang."""
    app = console()
    async with app.run_test() as pilot:
        await _ready(pilot)
        await pilot.press("slash", *"zzz")
        await seen(pilot, "nothing found")


async def test_copy(place: Path) -> None:
    """What was found on the screen could not be repeated in a shell."""
    app = console()
    async with app.run_test() as pilot:
        await _ready(pilot)
        await pilot.press("y")
        assert app.clipboard == "descent run digits-cnn"


@pytest.mark.slow
async def test_deleting_asks_first(place: Path) -> None:
    """A run would be lost by one wrong key, or could not be got rid of."""
    run = record(place / "runs", "old", "finished")
    app = console()
    async with app.run_test() as pilot:
        await _ready(pilot)
        await pilot.press("x")
        await seen(pilot, "delete the run old?")
        await pilot.press("enter")  # the answer that is highlighted keeps it
        await until(pilot, lambda: isinstance(app.screen, Home), "Home")
        assert run.exists()
        await pilot.press("x")
        await seen(pilot, "delete the run old?")
        await pilot.press("y")
        await until(pilot, lambda: not run.exists(), "the folder to go")
        await until(pilot, lambda: not app.runs, "the list without it")


async def test_a_live_run_is_not_deleted(place: Path) -> None:
    """A run would lose its folder while it trains."""
    run = record(place / "runs", "busy", "running", ended=1.0)
    app = console()
    async with app.run_test() as pilot:
        await _ready(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert isinstance(app.screen, Home)
        assert run.exists()


async def test_broken_presets_and_runs_are_listed(place: Path) -> None:
    """One bad file would hide everything else, or itself."""
    (place / "presets").mkdir()
    (place / "presets" / "mine.toml").write_text('[data]\nname = "digitz"\n')
    (record(place / "runs", "torn", "finished") / "run.json").write_text("{")
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        assert "run.json is damaged: Expecting" in await seen(pilot, "damaged")
        await pilot.press("end")
        beside = [line.partition("▏")[2] for line in (await seen(pilot, "broken")).splitlines()]
        assert "did you mean digits?" in " ".join(" ".join(beside).split())


async def test_read_only(place: Path) -> None:
    """A screen that was opened to look could start or delete runs."""
    record(place / "runs", "old", "finished")
    app = console(read_only=True)
    async with app.run_test(notifications=True) as pilot:
        await _ready(pilot)
        await pilot.press("x", "down", "e", "enter")
        await seen(pilot, "read-only: no run is started")
        assert isinstance(app.screen, Home)
        assert [folder.name for folder in (place / "runs").iterdir()] == ["old"]


async def test_a_run_that_ends_is_told(place: Path) -> None:
    """A user would wait for a run that is over."""
    run = record(place / "runs", "digits-mlp-260921-131000-kqzt", "running", ended=1.0)
    app = console()
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await _ready(pilot)
        await seen(pilot, "kqzt")
        with (run / "events.jsonl").open("a") as events:
            events.write('{"time": 1, "event": "state", "state": "failed", "reason": "no memory"}\n')
        app.post_message(RunsChanged())
        said = "digits-mlp kqzt failed: no memory"
        await until(pilot, lambda: said in [told.message for told in app._notifications], said)


@pytest.mark.slow
async def test_many_ended_runs_leave_room(place: Path) -> None:
    """The presets would be pages below a user's old runs."""
    for number in range(30):
        record(place / "runs", f"old-{number:02}", "finished", steps=10, ended=3600.0 * (number + 1))
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        await _ready(pilot)
        await pilot.press("down", "down", "down", "down")
        assert "more runs" in text(app)
        await pilot.press("enter")
        await until(pilot, lambda: "more runs" not in text(app), "all of them")
        await pilot.press("end", "home")
        assert app.screen.query_one(Listing).chosen.folder.id == "old-00"


def _study(place: Path) -> None:
    for number in range(12):
        record(place / "studies" / "widths" / "runs", f"widths-{number:04}", "finished", steps=10, ended=60.0)
    (place / "studies" / "widths" / "study.json").write_text("{}")
    for folder in (place / "studies" / "widths" / "runs").iterdir():
        find.note_start(folder)


async def test_a_study_is_one_row_until_it_is_opened(place: Path) -> None:
    """After a study of hundreds of runs a user's own would be behind "more runs"."""
    record(place / "runs", "mine", "finished", steps=10, ended=90_000.0)
    _study(place)
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        shown = await seen(pilot, "study of 12 runs")
        assert " mine " in shown
        assert "widths-00" not in text(app).replace("descent study show widths", "").split("▏")[0]
        listing_ = app.screen.query_one(Listing)
        while not isinstance(listing_.chosen, rows.Study):
            await pilot.press("down")
        assert "$ descent study show widths" in await seen(pilot, "descent study show")
        await pilot.press("enter")
        await until(pilot, lambda: sum(isinstance(item, RunStatus) for item in listing_._items) == 13, "its runs")


def test_a_study_tells_what_its_runs_differ_in_and_reached(place: Path) -> None:
    """Which of the widths was the best stood nowhere on Home, but "threads 1" beside each run."""
    study = plan(Wanted("digits-mlp", vary=["model.widths=[[8],[64]]"], repeats=2, name="widths"), place / "studies")
    for job, accuracy in zip(study.jobs, (0.9, 0.97, 0.98, None), strict=True):
        settings = [*job.settings, "train.threads=1"]
        record(study.runs, job.id, "finished", steps=100, accuracy=accuracy, overrides=settings)
    runs = tuple(glances_of([study.run(job) for job in study.jobs]))
    changes = Changes()
    listed = {run.folder.id: changes.words(run) for run in runs}
    assert listed["widths-0001"] == "widths [64], seed 0"
    drawn = details.study_lines(rows.Study(study.folder, runs), changes, 60, 30)
    shown = [" ".join(text_of_line(line).split()) for line in drawn]
    at = shown.index("0002 widths [8], seed 1 val 98.0%")
    assert shown[at + 1 : at + 4] == [
        "0001 widths [64], seed 0 val 97.0%",
        "0000 widths [8], seed 0 val 90.0%",
        "",  # one without a result is none of them
    ]


@pytest.mark.parametrize("unicode", [True, False])
def test_both_losses_have_one_scale(tmp_path: Path, unicode: bool) -> None:
    """A validation loss that climbs while the training falls would look like one that falls, too."""
    (run,) = glances_of([RunFolder(record(tmp_path, "mine", "finished", steps=100))])
    run = replace(run, loss=(2.0, 1.0, 0.5, 0.2, 0.1), val_curve=(1.0, 0.5, 1.0, 2.0), last_loss=0.1)
    drawn = details.run_lines(run, Changes(), 80, 40, unicode=unicode, now=NOW)
    styles = [{piece.style for piece in line if piece.text.strip()} for line in drawn]
    curve = [at for at, line in enumerate(drawn) if styles[at] & {"train", "validation"}]
    assert {"train", "validation"} <= styles[curve[0]]  # one begins at 2, the other ends there
    assert "validation" not in styles[curve[-2]]  # only the other one is ever 0.1
    assert "train" in styles[curve[-2]]
    assert "train loss 2.00 → 0.100   ╌ val loss 1.00 → 2.00" in text_of_line(drawn[curve[-1]])


@pytest.mark.slow
async def test_a_note_is_kept_found_and_pinned(place: Path) -> None:
    """What a run was for is forgotten in a week, and is in no file that could be searched."""
    for number in range(3):
        record(place / "runs", f"run-{number}", "finished", steps=10, ended=3600.0 * (number + 1))
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        await pilot.press("end", "home", "down", "down")
        chosen = app.screen.query_one(Listing).chosen
        assert isinstance(chosen, RunStatus)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, EditNote), "the dialog")
        await pilot.press(*"overfits", "space", *"#demo", "enter")
        assert read_note(chosen.folder.path) == Note("overfits #demo")
        await seen(pilot, "overfits #demo")
        await pilot.press("p")
        listing_ = app.screen.query_one(Listing)
        await until(pilot, lambda: listing_._items[1].folder == chosen.folder, "it to be the first")
        assert read_note(chosen.folder.path) == Note("overfits #demo", pinned=True)
        await pilot.press("slash", *"#demo")
        await until(
            pilot, lambda: [item.folder for item in listing_._items if rows.is_choice(item)] == [chosen.folder], "it"
        )


async def test_by_preset_the_best_run_is_the_first(place: Path) -> None:
    """The best of twenty runs would have to be looked for by eye."""
    record_some(place / "runs")
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        await pilot.press("t")
        listing_ = app.screen.query_one(Listing)
        await until(pilot, lambda: any(item == rows.Heading("line", "1 run") for item in listing_._items), "presets")
        await pilot.press("t")
        await until(
            pilot, lambda: not any(item == rows.Heading("line", "1 run") for item in listing_._items), "times"
        )


def test_runs_are_listed_by_day_as_far_as_they_have_room(place: Path) -> None:
    """Among fifty runs those of yesterday could only be told by counting hours."""
    ages = [60, 7200, 54_000, 90_000, 172_000, 800_000]  # seconds; NOW is a Monday, 14:13
    paths = [record(place / "runs", f"run-{at}", "finished", steps=10, ended=age) for at, age in enumerate(ages)]
    runs = glances_of([RunFolder(path) for path in paths])
    pinned = replace(runs[4], note=Note("", pinned=True))
    given = [*runs[:4], pinned, runs[5], replace(runs[0], folder=RunFolder(place / "live"), state="running")]

    def words(most: dict[str, int], typed: str = "", order: rows.Order = "latest") -> list[str]:
        found = rows.listed(rows.Found(runs=given, presets=[]), typed, most, order=order, now=NOW)
        return [item.text if isinstance(item, rows.Day) else item.folder.id for item in found if _is_dated(item)]

    whole = ["live", "run-4", "today", "run-0", "run-1", "yesterday", "run-2", "run-3", "2026-09-12", "run-5"]
    assert words({}) == words({"runs": 6}) == whole
    assert words({}, "run-3") == ["yesterday", "run-3"]
    assert words({}, "run-5") == ["2026-09-12", "run-5"]
    assert words({}, "run-1") == ["run-1"]  # it would only say what is so of each
    assert "today" not in words({"runs": 4})
    assert "today" not in words({}, order="preset")
    assert text_of_line(rows.line(rows.Day("today"), 20, now=NOW)) == " ─ today ────────── "


def _is_dated(item: rows.Item) -> TypeGuard[rows.Day | RunStatus]:
    return isinstance(item, rows.Day | RunStatus)


def test_the_words_that_were_typed_are_marked() -> None:
    """It would not be seen why an entry was found."""
    assert marked_in(" mnist-MLP kqzt", ["mlp", "kq"]) == [
        (" mnist-", False), ("MLP", True), (" ", False), ("kq", True), ("zt", False),
    ]  # fmt: skip
    assert marked_in("a.b", ["."]) == [("a", False), (".", True), ("b", False)]
    assert marked_in("all", []) == [("all", False)]


@pytest.mark.parametrize(
    ("file", "label"), [("/code/train.py", "script      train.py"), (None, "name        digits-mlp")]
)
def test_a_run_of_a_script_names_its_script_and_no_preset(place: Path, file: str | None, label: str) -> None:
    """Its name would pass for a preset, and where there is a preset of that name, for a changed one."""
    path = record(place / "runs", "mine", "finished", overrides=["optimizer.lr=0.5"])
    changes = Changes()
    changes.take(listing.files())
    (run,) = glances_of([RunFolder(path)])
    shown = [text_of_line(line).strip() for line in details.run_lines(run, changes, 80, 40, unicode=True, now=NOW)]
    assert "preset      digits-mlp" in shown
    assert changes.words(run) == "lr 0.5"
    (folds,) = glances_of([RunFolder(record(place / "runs", "folds", "finished", overrides=["members.folds=5"]))])
    assert changes.words(folds) == "5 folds"  # and not "1 seed", which every run has
    start = {"script": file, "file": file, "arguments": [], "command": ["python"], "folder": "/code"}
    (path / "loop.json").write_text(json.dumps(start))
    changes = Changes()
    changes.take(listing.files())
    shown = [text_of_line(line).strip() for line in details.run_lines(run, changes, 80, 40, unicode=True, now=NOW)]
    assert label in shown
    assert not any(line.startswith(("preset", "changed")) for line in shown)
    assert changes.words(run) == ""


def test_changed_settings_as_few_words() -> None:
    """A row has no room for dotted keys, and a sweep's values fill three."""
    assert in_words({"optimizer.lr": 0.01, "train.epochs": 20}) == "lr 0.01, epochs 20"
    swept = {"members.sweep.optimizer.lr": [0.1, 0.01], "members.repeats": 3}
    assert in_words(swept) == "lr × 2, 3 seeds"
    assert in_words({"model.name": "cnn", "optimizer.nesterov": True}) == "model cnn, nesterov true"


def test_the_best_run_of_a_preset_has_a_star(tmp_path: Path) -> None:
    """A run of another preset would be called better for an easier task."""

    def run(name: str, preset: str, accuracy: float, split: str = "test") -> RunStatus:
        folder = RunFolder(tmp_path / name)
        return RunStatus(folder, state="finished", preset=preset, reached={split: (0.1, accuracy)})

    runs = [run("a", "digits", 0.9), run("b", "digits", 0.95), run("c", "moons", 0.99)]
    assert look_at(runs, lambda run: "").best == {tmp_path / "b"}
    lines = [text_of_line(run_line(each, 60, now=0.0, look=look_at(runs, lambda run: "lr 0.01"))) for each in runs]
    assert ["★" in line for line in lines] == [False, True, False]
    assert all("lr 0.01" in line and len(line) == 60 for line in lines)


def test_the_test_split_does_not_choose_where_there_is_a_validation(tmp_path: Path) -> None:
    """The best of twenty runs by the test looks better than it is: it was chosen on the samples that judge it."""

    def run(name: str, validation: float, test: float) -> RunStatus:
        reached = {"validation": (0.1, validation), "test": (0.1, test)}
        return RunStatus(RunFolder(tmp_path / name), state="finished", preset="digits", reached=reached)

    runs = [run("a", 0.9, 0.95), run("b", 0.95, 0.9)]
    assert look_at(runs, lambda run: "").best == {tmp_path / "b"}
    listed = rows.listed(rows.Found(runs=runs, presets=[]), "", {}, order="preset", now=NOW)
    assert [item.name for item in listed if isinstance(item, RunStatus)] == ["b", "a"]
    study = rows.Study(tmp_path, tuple(runs))
    assert study.best is not None
    assert study.best.name == "b"


def text_of_line(line: Line) -> str:
    return "".join(piece.text for piece in line)


async def test_the_first_start_says_what_to_press(place: Path) -> None:
    """A newcomer would face a list of names."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        shown = await seen(pilot, "Welcome to Descent")
        assert "press enter to begin: digits-cnn" in shown


@pytest.mark.slow
async def test_enter_starts_a_preset(place: Path) -> None:
    """The main thing a user does with Home would not work: the run must train, and outlive the app."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        await pilot.press("slash", *"line", "enter")
        assert "enter start" in await seen(pilot, "enter start")  # shown first, started by the second
        assert not list((place / "runs").glob("*"))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, Home), "the console")
        [folder] = (RunFolder(path) for path in (place / "runs").iterdir())
        assert app.opened == [folder]
        app.exit()
    while folder.state() not in ("finished", "failed", "lost"):
        await wait_a_moment()
    assert folder.state() == "finished", folder.output.read_text()


async def wait_a_moment() -> None:
    import asyncio

    await asyncio.sleep(0.02)


def test_presets_that_are_still_being_read_are_spoken_of() -> None:
    """Runs without a preset below them would seem to be all there is."""
    assert rows.listed(rows.Found(runs=[]), "", {}, now=NOW) == [Nothing("reading…")]
    assert rows.listed(rows.Found(runs=[], presets=[]), "", {}, now=NOW) == [Nothing("nothing found")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("notify", "told"), [("osc9", "\x1b]9;digits-mlp kqzt finished"), ("bell", "\x07"), ("off", "")]
)
async def test_the_end_of_a_run_is_told(place: Path, notify: str, told: str) -> None:
    """Who works in another window would not learn that the training is over, or be rung at against their will."""
    run = record(place / "runs", "digits-mlp-260921-131000-kqzt", "running", steps=452, ended=1.0)
    app = console(settings=Settings(theme="dark", notify=notify))
    written: list[str] = []
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        assert app._driver is not None
        app._driver.write = written.append  # type: ignore[method-assign]
        app.bell = lambda: written.append("\x07")  # type: ignore[method-assign] - silent without a terminal
        with (run / "events.jsonl").open("a") as events:
            events.write(json.dumps({"time": NOW, "event": "state", "state": "finished", "step": 452}) + "\n")
        await until(pilot, lambda: any("kqzt finished" in each.message for each in app._notifications), "the notice")
    rung = [text for text in written if text.startswith(("\x07", "\x1b]9"))]
    assert [text[: len(told)] for text in rung] == ([told] if told else [])


def test_a_broken_model_does_not_flatten_the_curves_of_the_others(tmp_path: Path) -> None:
    """Beside one run whose loss was a million all others of its preset had no shape."""
    falling = tuple(1 / (step + 1) for step in range(8))
    good = RunStatus(RunFolder(tmp_path / "good"), "finished", preset="digits-mlp", val_curve=falling)
    bad = replace(good, folder=RunFolder(tmp_path / "bad"), val_curve=(1e6, 2e6), broken=Broken("collapsed", 0))
    alone, beside = (look_at(runs, lambda run: "") for runs in ([good], [good, bad]))
    assert beside.scales == alone.scales
    assert run_line(good, 60, now=0.0, look=beside)[-1].text == run_line(good, 60, now=0.0, look=alone)[-1].text


@pytest.mark.parametrize(
    ("script", "changed", "in_row", "labels"),
    [
        (None, {"optimizer.lr": 0.5}, "lr 0.5", ["preset      digits-mlp", "changed     optimizer.lr 0.5"]),
        ("train.py", None, "", ["script      train.py", "name        digits-mlp"]),
    ],
)
def test_a_run_on_a_host_says_what_was_changed_or_its_script(
    script: str | None, changed: dict[str, Any] | None, in_row: str, labels: list[str]
) -> None:
    """Its files are not here: nothing told it from the others, and a script's name passed for a preset."""
    run = RunStatus(RunFolder(Path("/there/mine")), state="finished", preset="digits-mlp", changed=NOW - 60)
    there = HostRun(Host("gpu1"), run, script, changed)
    look = look_at([run], lambda run: "of this machine")
    row = text_of_line(rows.line(there, 90, now=NOW, look=look))
    assert in_row in row
    assert "of this machine" not in row
    shown = [text_of_line(line).strip() for line in details.host_run_lines(there, 80, 40, now=NOW)]
    assert set(labels) <= set(shown)
    assert script is None or not any(line.startswith("preset") for line in shown)


def test_runs_that_are_seen_while_the_app_ends_do_it_no_harm(tmp_path: Path) -> None:
    """Its screens are gone by then: the console would end with a crash report."""
    app = DescentApp(runs_dir=tmp_path)
    app.on_runs_seen(RunsSeen(()))
    assert app.screen_stack == []


def test_a_place_is_not_read_as_a_range() -> None:
    """Numbers joined with a hyphen, "-7.0-2.0" for -7 and 2, would say something else than the preset."""
    (entry,) = listing.presets("ravine-point")
    lines = details.preset_lines(entry, load_preset(entry.path), [], 60, 40, unicode=True)
    shown = "\n".join("".join(piece.text for piece in line) for line in lines)
    assert "point, start -7, 2" in shown


async def test_the_palette_names_each_key_once(place: Path) -> None:
    """It would say "/ /" of the key that finds."""
    app = console()
    async with app.run_test(size=(120, 40)) as pilot:
        await _ready(pilot)
        assert actions_of(app.screen)["find"][0] == "/"
