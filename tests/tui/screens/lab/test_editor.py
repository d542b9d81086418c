"""The editor of a lab's files: without it a learner would need another one, or would lose what was typed."""

import asyncio
import json
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from descent.common.i18n import Language, _, use
from engine.labs import flow, progress, template
from engine.labs.grading import private_folder
from engine.labs.library import find_lab
from engine.labs.submission import content
from tests.helpers.bare_terminal import BareTerminal
from tests.helpers.live_console import shown
from tests.helpers.screens import burst, console
from tests.helpers.verdicts import whole
from tests.helpers.waiting import DEADLINE, until, wait_for
from tui.data import unsaved
from tui.data.labs import look_at_lab
from tui.screens.dialogs import Ask
from tui.screens.lab.screen import LabScreen
from tui.widgets.code_editor import CodeEditor as Editor

pytestmark = pytest.mark.slow

LAB = "slow-line"
CODE = "def f(x):\n    for one in x:\n        if one:\n            y = 1 / 0\n    return y\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A learner's folder with the files of a lab that has code, and its question answered."""
    work = tmp_path / "work"
    (work / "labs").mkdir(parents=True)
    template.make(LAB, work / "labs")
    (work / "labs" / LAB / "start.py").write_text(CODE)
    monkeypatch.chdir(work)
    flow.start(find_lab(LAB), work)
    flow.predict(find_lab(LAB), {"loss": 0.01})
    return work


@asynccontextmanager
async def editing(size: tuple[int, int] = (120, 40)) -> AsyncIterator[tuple[Any, Editor]]:
    """The pilot, and the editor as `w` opens it."""
    app = console(lab=LAB)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and LAB in shown(pilot), "the lab")
        await pilot.press("w")
        yield pilot, await until(pilot, lambda: next(iter(app.screen.query(Editor)), None), "the editor")


async def test_a_save_keeps_the_file_s_mode_and_what_leads_to_it(here: Path) -> None:
    """A file that a group may read would be private after a save; a link would become a copy."""
    file, real = here / f"{LAB}.toml", here / "kept.toml"
    file.rename(real)
    file.symlink_to(real)
    real.chmod(0o664)
    async with editing() as (pilot, editor):
        editor.load_text(real.read_text() + "# mine\n")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: real.read_text().endswith("# mine\n"), "the save")
    assert stat.S_IMODE(real.stat().st_mode) == 0o664
    assert file.is_symlink()


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_the_tasks_are_beside_the_file_or_a_key_away(here: Path, size: tuple[int, int]) -> None:
    """A learner would have to remember what is to be changed."""
    async with editing(size) as (pilot, editor):
        assert ("Change the preset so that" in shown(pilot)) == (size[0] >= 120)
        await pilot.press("ctrl+t")
        await until(pilot, lambda: ("Change the preset so that" in shown(pilot)) == (size[0] < 120), "the other way")
        await pilot.press("ctrl+t")
        await until(pilot, lambda: editor.has_focus and editor.display, "the file")
        assert "optimizer" in shown(pilot)


async def test_backspace_takes_an_indent_back_and_else_one_sign(here: Path) -> None:
    """Leaving a block would take four strokes, and three of them leave a wrong indentation."""
    async with editing() as (pilot, editor):
        editor.load_text("def f():\n        if x:\n      y\n")
        for place, after in (((1, 8), "    if x:"), ((2, 6), "    y"), ((1, 4), "if x:"), ((0, 3), "de f():")):
            editor.move_cursor(place)
            await pilot.press("backspace")
            await until(pilot, lambda row=place[0], after=after: editor.document.get_line(row) == after, after)
        await pilot.press("ctrl+z")
        await until(pilot, lambda: editor.document.get_line(0) == "def f():", "it to be undone")


async def test_home_and_end_go_to_the_ends_of_a_line_that_is_wrapped(here: Path) -> None:
    """Who replaces a long line with end and shift+home would leave half of it, and read of a syntax error."""
    line = f"    x = {' + '.join(['one'] * 40)}"
    async with editing((80, 24)) as (pilot, editor):
        editor.load_text(f"def f():\n{line}\n    return x\n")
        editor.move_cursor((1, 6))
        for key, column in (("end", len(line)), ("home", 4), ("home", 0), ("home", 4), ("end", len(line))):
            await pilot.press(key)
            await until(pilot, lambda column=column: editor.cursor_location == (1, column), key)
        await pilot.press("shift+home", *"x=1")
        await until(pilot, lambda: editor.document.get_line(1) == "    x=1", "the new line")


@pytest.mark.parametrize(
    ("language", "error"),
    [("en", f'f raised ZeroDivisionError ({LAB}.py, line 4: "y = 1 / 0")'), ("ko", f"f: 오류 ({LAB}.py 4번째 줄)")],
)
async def test_it_opens_where_the_grading_found_an_error(here: Path, language: Language, error: str) -> None:
    """A learner would look for the file, the line and the error by hand."""
    graded(error)
    use(language)
    async with editing() as (pilot, editor):
        await until(pilot, lambda: editor.cursor_location == (3, 12), "the line")
        assert "4" in shown(pilot).splitlines()[-2]
        assert error in shown(pilot)
        await pilot.press("space")
        await until(pilot, lambda: f"{_('(before your change)')} {error}" in shown(pilot), "what it is of")


async def test_an_error_of_other_files_than_these_is_not_shown(here: Path) -> None:
    """A learner would be led to a line that has moved since."""
    graded(f"f raised ZeroDivisionError ({LAB}.py, line 4)")
    (here / f"{LAB}.py").write_text(f"import math\n{CODE}")
    async with editing() as (pilot, editor):
        await until(pilot, lambda: editor.text, "the file")
        assert editor.document.get_line(editor.cursor_location[0]).startswith("lr =")
        assert "ZeroDivisionError" not in shown(pilot)


@pytest.mark.parametrize(("language", "said"), [("en", "line {}"), ("ko", "{}번째 줄")])
async def test_a_preset_that_can_t_be_read_is_opened_at_its_line(here: Path, language: Language, said: str) -> None:
    """What a slip in another editor has broken would be said, and not shown."""
    use(language)
    file = here / f"{LAB}.toml"
    file.write_text(file.read_text().replace("lr = 0.01", "lr = fast"))
    row = next(i for i, line in enumerate(file.read_text().splitlines()) if line == "lr = fast")
    async with editing() as (pilot, editor):
        await until(pilot, lambda: editor.cursor_location[0] == row, "the line")
        assert said.format(row + 1) in shown(pilot)


def kept_of(file: Path) -> str:
    """The unsaved text of a file; "" if there is none."""
    kept = unsaved.kept(file)
    return "" if kept is None else kept.text


async def leave_unsaved(what: str) -> None:
    """Type in the first file, and end the app without an answer to anything."""
    async with editing() as (pilot, editor):
        editor.move_cursor((0, 0))
        burst(pilot.app, *what)
        await until(pilot, lambda: editor.text.startswith(what), what)


async def test_what_was_typed_and_not_saved_is_there_again(here: Path) -> None:
    """Whoever types when the line drops would have to type it again."""
    file = here / f"{LAB}.toml"
    before = file.read_text()
    await leave_unsaved("# mine")
    assert file.read_text() == before
    assert kept_of(file) == "# mine" + before
    async with editing() as (pilot, editor):
        await until(
            pilot, lambda: "what was typed here before and not saved is back" in shown(pilot), "it to be said"
        )
        assert editor.text == "# mine" + before
        await pilot.press("ctrl+z")
        await until(pilot, lambda: editor.text == before and unsaved.kept(file) is None, "it to be taken away")
        await pilot.press("ctrl+y", "ctrl+s")
        await until(pilot, lambda: file.read_text() == "# mine" + before, "the save")
        await until(pilot, lambda: unsaved.kept(file) is None, "nothing kept of what is saved")


async def test_no_letter_that_is_typed_on_drops_what_is_there_again(here: Path) -> None:
    """The letters answered a question: a word with a d in it dropped the text that was kept."""
    file = here / f"{LAB}.toml"
    before = file.read_text()
    letters = "abcdefghijklmnopqrstuvwxyz"
    await leave_unsaved("# mine")
    app = console(lab=LAB)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and LAB in shown(pilot), "the lab")
        burst(app, "w", *letters)
        await until(pilot, lambda: letters in kept_of(file), "what is typed ahead")
        assert "# mine" in kept_of(file)
        burst(app, "escape", *letters)
        await until(pilot, lambda: isinstance(app.screen, Ask), "the question whether to save")
        await pilot.press("up", *letters)
        assert isinstance(app.screen, Ask)
    assert kept_of(file).replace(letters, "") == "# mine" + before
    assert file.read_text() == before


async def test_what_something_else_has_written_is_not_replaced_without_a_word(here: Path) -> None:
    """Two windows with one file, or a text that is taken up again after a pull: the older one would win."""
    file = here / f"{LAB}.toml"
    await leave_unsaved("# mine")
    other = file.read_text() + "# another's\n"
    file.write_text(other)
    async with editing() as (pilot, editor):
        await until(pilot, lambda: "was written since then" in shown(pilot), "it to be said")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "not saved: " in shown(pilot), "the refusal")
        assert file.read_text() == other
        assert "# mine" in kept_of(file)
        await pilot.press("ctrl+s")
        await until(pilot, lambda: file.read_text() == editor.text, "the save")
        file.write_text(other)
        await pilot.press("x", "ctrl+k")
        await until(pilot, lambda: "not saved: " in shown(pilot), "the refusal")
        await pilot.press("escape", "ctrl+d")
        await until(pilot, lambda: isinstance(pilot.app.screen, LabScreen), "the lab")
    assert file.read_text() == other


async def test_nothing_is_kept_of_what_was_left_or_undone(here: Path) -> None:
    """The next one to open the file would be asked about text that nobody wants."""
    file = here / f"{LAB}.toml"
    async with editing() as (pilot, editor):
        editor.move_cursor((0, 0))
        burst(pilot.app, *"# a")
        await until(pilot, lambda: unsaved.kept(file), "the text to be kept")
        await pilot.press("ctrl+z")
        await until(
            pilot, lambda: editor.text == file.read_text() and unsaved.kept(file) is None, "it to be forgotten"
        )
        burst(pilot.app, *"# b", "escape", "ctrl+d")
        await until(pilot, lambda: isinstance(pilot.app.screen, LabScreen), "the lab")
        assert unsaved.kept(file) is None


@pytest.mark.parametrize("how", ["closed", "killed"])
def test_what_was_typed_outlives_a_window_that_closes(here: Path, how: str) -> None:
    """A line that drops would cost what was typed since the last save."""
    file = here / f"{LAB}.toml"
    terminal = BareTerminal(["lab"], here)
    try:
        terminal.see(LAB)
        terminal.type("w# mine")
        wait_for(lambda: "# mine" in kept_of(file), "what is typed")
        terminal.close() if how == "closed" else terminal.process.kill()
        terminal.process.wait(DEADLINE)
        assert kept_of(file) == file.read_text().replace("lr = 0.01", "lr = # mine")
    finally:
        terminal.end()


def test_an_arrow_that_comes_in_two_pieces_is_an_arrow(here: Path) -> None:
    """A slow line would close the editor at an arrow, and leave `[A` in the file."""
    file = here / f"{LAB}.toml"
    terminal = BareTerminal(["lab"], here, environment={"ESCDELAY": "60000"})  # however busy the machine is
    try:
        terminal.see(LAB)
        terminal.type("w")
        terminal.see("^k")
        terminal.send(b"\x1b")
        time.sleep(0.02)  # the line's delay: the first piece is read alone
        terminal.send(b"[A")
        terminal.type("# mine")
        wait_for(lambda: "# mine" in kept_of(file), "what is typed")
        before, typed = (text.splitlines() for text in (file.read_text(), kept_of(file)))
        at = before.index("lr = 0.01")
        assert "# mine" in typed[at - 1]
        assert typed[at:] == before[at:]
        assert "[A" not in "".join(typed)
    finally:
        terminal.end()


def graded(error: str, why: str = "") -> None:
    """As if the lab had been graded with that error, and its explanation."""
    explanation = {"id": "any", "text": why, "line": None, "code": ""} if why else None
    check = {"id": "test-loss", "value": None, "passed": False, "error": error, "explanation": explanation}
    progress.attempted(LAB, passed=False, met=0, of=1, checks=[check])
    with private_folder(find_lab(LAB), "graded") as place:
        verdict = whole([check], exit_code=1, files=content(look_at_lab(LAB).files))
        (place / "verdict.json").write_text(json.dumps(verdict))


async def test_what_is_typed_right_before_a_save_or_an_end_is_not_lost(here: Path) -> None:
    """Over a slow line the last letters and ctrl+s come together: a save without them, an end unasked."""
    file = here / f"{LAB}.toml"
    async with editing() as (pilot, editor):
        editor.move_cursor((0, 0))
        burst(pilot.app, *"# a", "ctrl+s")
        await until(pilot, lambda: file.read_text().startswith("# a"), "the save")
        burst(pilot.app, *"b", "escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Ask), "the question")


async def test_it_opens_on_the_setting_and_where_it_was_left(here: Path) -> None:
    """Changing one number would be a way of twenty arrows each time."""
    file = here / f"{LAB}.toml"
    async with editing((80, 24)) as (pilot, editor):
        assert editor.selected_text == "0.01"
        await pilot.press(*"0.5", "ctrl+s")
        await until(pilot, lambda: "lr = 0.5\n" in file.read_text(), "the save")
        editor.move_cursor((3, 2))
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "1 / 0" in editor.text, "the next file")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "lr = 0.5" in editor.text, "the first file")
        assert editor.cursor_location == (3, 2)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, LabScreen), "the lab")
    async with editing((80, 24)) as (_, editor):
        assert editor.cursor_location == (3, 2)


async def test_find_goes_on_and_back_and_says_what_is_nowhere(here: Path) -> None:
    """A learner would look for a name line by line."""
    async with editing() as (pilot, editor):
        editor.move_cursor((0, 0))
        await pilot.press("ctrl+f", *"name")
        await until(pilot, lambda: "1 of 4" in shown(pilot), "the first place")
        first = editor.selection
        assert editor.selected_text == "name"
        await pilot.press("enter")
        await until(pilot, lambda: "2 of 4" in shown(pilot), "the next place")
        await pilot.press("up")
        await until(pilot, lambda: editor.selection == first, "the one before")
        await pilot.press("x")
        await until(pilot, lambda: f"namex is nowhere in {LAB}.toml" in shown(pilot), "that there is none")
        await pilot.press("escape")
        await until(pilot, lambda: editor.has_focus, "the text")


async def test_a_check_marks_each_line_that_can_t_be_read(here: Path) -> None:
    """A learner would leave the editor, check, read a line's number, open the editor and look for it."""
    async with editing() as (pilot, editor):
        editor.load_text(editor.text.replace("0.01", "-1").replace('"mse"', '"msee"'))
        await pilot.press("ctrl+k")
        await until(pilot, lambda: shown(pilot).count("✗ ") == 2, "two signs")
        rows = [line.split("✗")[1].strip() for line in shown(pilot).splitlines() if "✗ " in line]
        assert [row.split("  ")[0] for row in rows] == ['name = "msee"', "lr = -1"]
        assert "must be one of" in shown(pilot)
        assert "(f8: 1 more)" in shown(pilot)
        await pilot.press("f8")
        await until(pilot, lambda: "lr = -1: must be" in shown(pilot), "the other")
        await pilot.press("space")
        await until(pilot, lambda: "(before your change)" in shown(pilot), "what the signs are of")
        assert shown(pilot).count("✗ ") == 2
        editor.load_text((here / f"{LAB}.toml").read_text().replace("-1", "0.1").replace('"msee"', '"mse"'))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "saved" in shown(pilot) and "✗" not in shown(pilot), "a file without problems")


async def test_what_is_written_elsewhere_is_shown_unless_something_is_typed(here: Path) -> None:
    """A check would say that all is met beside a text that was never graded."""
    file = here / f"{LAB}.toml"
    async with editing() as (pilot, editor):
        file.write_text(file.read_text().replace("0.01", "0.3"))
        await until(pilot, lambda: "lr = 0.3" in editor.text, "its new text")
        assert f"{LAB}.toml was written elsewhere" in shown(pilot)
        await pilot.press("x")
        mine = editor.text
        file.write_text(file.read_text().replace("0.3", "0.5"))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "not saved" in shown(pilot), "that it is another one")
        assert editor.text == mine


async def test_f8_leads_to_what_is_still_to_be_written(here: Path) -> None:
    """After the first function, the second is below its long description."""
    async with editing() as (pilot, editor):
        await pilot.press("ctrl+n")
        await until(pilot, lambda: f"{LAB}.py" in shown(pilot), "the code")
        editor.load_text('def f():\n    return 1\n\n\ndef g():\n    raise NotImplementedError("2")\n')
        await pilot.press("f8", *"return", "space", "2")
        await until(pilot, lambda: editor.text.endswith("def g():\n    return 2\n"), "the text in its place")
        await pilot.press("f8")
        assert editor.cursor_location == (5, len("    return 2"))  # nothing is left


async def test_a_grading_from_within_marks_the_line_that_failed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that raised would have to be looked for by hand."""
    error = f'f raised ZeroDivisionError ({LAB}.py, line 4: "y = 1 / 0")'

    async def grade(*_: Any) -> dict[str, Any]:
        graded(error, "Nothing may be divided by 0")
        return {"passed": False, "met": 0, "of": 1}

    monkeypatch.setattr("tui.screens.lab.grading.grade", grade)
    async with editing((80, 24)) as (pilot, editor):
        await pilot.press("9", "ctrl+k")
        await until(pilot, lambda: "1 / 0" in editor.text, "the file whose line failed")
        await until(pilot, lambda: "4✗" in shown(pilot).replace(" ", ""), "its sign")
        await until(pilot, lambda: "0 of 1 criteria met" in shown(pilot), "how many are met")
        await until(pilot, lambda: "f raised ZeroDivisionError" in shown(pilot), "the error")
        assert "→ Nothing may be divided by 0" in " ".join(shown(pilot).split())
        assert "lr = 9" in (here / f"{LAB}.toml").read_text()
        assert editor.cursor_location[0] == 3
        editor.move_cursor((0, 0))
        await pilot.press("enter", "ctrl+s")  # the sign goes with its line, as long as nothing was graded again
        await until(pilot, lambda: "5✗" in shown(pilot).replace(" ", "") and "saved" in shown(pilot), "its place")
        await pilot.press("f8")
        await until(pilot, lambda: editor.cursor_location[0] == 4, "the line")
        assert f"(before your change) {error}" in " ".join(shown(pilot).split())


async def test_a_check_goes_on_when_the_editor_is_left(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The key that leads back to the lab would throw away what was waited for."""
    is_graded = asyncio.Event()

    async def grade(*_: Any) -> dict[str, Any]:
        await is_graded.wait()
        return {"passed": False, "met": 0, "of": 1}

    monkeypatch.setattr("tui.screens.lab.grading.grade", grade)
    async with editing() as (pilot, _):
        await pilot.press("ctrl+k")
        await until(pilot, lambda: "being graded" in shown(pilot), "the check")
        await pilot.press("escape")
        await until(pilot, lambda: "esc stop the check" in shown(pilot), "the lab, with the check under way")
        is_graded.set()
        await until(pilot, lambda: "0 of 1 criteria met" in shown(pilot), "the result")


async def test_colours_are_there_with_the_grammar_and_missed_aloud(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner would not know why the editor is grey."""
    pytest.importorskip("tree_sitter_toml")
    async with editing() as (_, editor):
        assert editor.is_syntax_aware
        colours = {segment.style.color for segment in editor.render_line(9) if segment.style is not None}
        assert len(colours) > 1
    monkeypatch.setattr("textual.widgets._text_area.get_language", lambda name: None)
    async with editing() as (pilot, editor):
        assert not editor.is_syntax_aware
        await until(pilot, lambda: "the package tree-sitter-toml is not installed" in shown(pilot), "the reason")


def test_an_editor_of_one_s_own_opens_at_the_line_and_what_it_wrote_is_taken_up(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever knows an editor could not use it, or would see the old text after it."""
    own = here / "nano"
    own.write_text(f'#!/bin/sh\necho "$1" > {here}/given\nsed -i "s/0.01/0.25/" "$2"\n')
    own.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(own))
    file = here / f"{LAB}.toml"
    line = file.read_text().splitlines().index("lr = 0.01") + 1
    terminal = BareTerminal(["lab"], here)
    try:
        terminal.see(LAB)
        terminal.type("w")
        terminal.see("0.01")
        terminal.type("\x0f")
        terminal.see("0.25")
        assert (here / "given").read_text() == f"+{line}\n"
    finally:
        terminal.end()


async def test_without_an_editor_of_one_s_own_it_says_how_to_name_one(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key would do nothing, or end the app."""
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    async with editing() as (pilot, _):
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "export EDITOR=nano" in shown(pilot), "how to")
        monkeypatch.setenv("EDITOR", "no-such-editor -w")
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "$EDITOR = no-such-editor -w: there is no such program" in shown(pilot), "why not")


async def test_what_is_typed_takes_the_place_of_a_placeholder() -> None:
    """A learner would have to delete the line that says what to write before they can write it."""
    app = console()
    async with app.run_test(size=(80, 24)) as pilot:
        editor = Editor()
        await app.screen.mount(editor)
        editor.show(
            'def f(x):\n    raise NotImplementedError("return x")  # soon\n    raise NotImplementedError("x")\n',
            ".py",
        )
        editor.go_to(2)
        assert editor.selected_text == ""
        editor.go_to(3)
        assert editor.selected_text == 'raise NotImplementedError("x")'
        editor.focus()
        await pilot.press("y")
        assert editor.text.splitlines()[2] == "    y"
