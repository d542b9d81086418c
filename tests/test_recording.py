"""The README's recording: it would stand still, or show a screen that is no longer like that."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from textual.app import App
from textual.widgets import Label

from descent.common.i18n import _
from tests.tools.screenshots.recording import Cell, Frame, Look, Row, Tape, svg
from tui.data.words import STATES
from tui.widgets.panes import DIGITS, LEFT, RIGHT, TABLES

RECORDING = Path(__file__).parent / "tools/screenshots/recording.svg"
MOST = 400 * 1024  # bytes
SVG = "{http://www.w3.org/2000/svg}"
SHOWN = ("loss", "accuracy", "rate", "gradient", "layers", "log")  # panels


class Played:
    """A recording, read as a browser plays it."""

    def __init__(self, text: str) -> None:
        self.root = ET.fromstring(text)
        style = self.root.findtext(f"{SVG}style") or ""
        rules = re.findall(r"@keyframes (\w+)\{(.*)\}\.\1\{animation:\1 ([\d.]+)s step-end infinite\}", style)
        (self.seconds,) = {float(seconds) for _name, _body, seconds in rules}
        self.moves = {
            name: [(float(at) / 100 * self.seconds, int(by)) for at, by in _KEYFRAME.findall(body)]
            for name, body, _seconds in rules
        }
        self.times = sorted({at for moves in self.moves.values() for at, _by in moves})

    def text(self, seconds: float | None = None) -> str:
        """What is on the screen at that second; None where nothing moves."""
        rows = [row for row in self.root if row.tag == f"{SVG}svg"]
        return "\n".join(self._line(row, seconds) for row in rows)

    def _line(self, row: ET.Element, seconds: float | None) -> str:
        cells: dict[int, str] = {}
        for part in row:
            shift = int(re.sub(r"[^-\d]", "", part.attrib.get("transform", "0"))) if part.tag == f"{SVG}g" else 0
            if seconds is not None and part.attrib["class"] in self.moves:
                shift = [by for at, by in self.moves[part.attrib["class"]] if at <= seconds + 1e-9][-1]
            for text in part.iter(f"{SVG}text"):
                x = int(text.attrib["x"]) + shift
                if 0 <= x < int(row.attrib["width"]):
                    cells[x // 10] = text.text or ""
        line = ""
        for column, text in sorted(cells.items()):
            line += " " * (column - len(line)) + text
        return line.replace("\u00a0", " ").rstrip()


_KEYFRAME = re.compile(r"([\d.e-]+)%\{transform:translate\((-?\d+)px\)\}")


async def test_each_frame_has_a_moment_of_its_own() -> None:
    """Of two at one moment a browser plays the last one, and the rules of both are there."""
    app: App[None] = App()
    async with app.run_test(size=(20, 5)) as pilot:
        tape = Tape(app)
        for text in ("one", "two"):
            await app.screen.mount(Label(text))
            await pilot.pause()
            async with tape.rolling():
                await pilot.pause()
    assert len({frame.seconds for frame in tape.frames}) == len(tape.frames)
    assert "two" in "".join(cell.text for row in tape.frames[-1].rows for cell in row)


def _row(text: str, ground: str = "#000000") -> Row:
    return tuple(Cell(one, Look("#ffffff", ground)) for one in f"{text:<50}")


def test_each_frame_is_played_at_its_time() -> None:
    told = [("start", "loss 2.3"), ("start", "loss 1.1"), ("turned", "loss 1.1"), ("start", "loss 2.3")]
    frames = [
        Frame(float(at), (_row(title), _row(f"│ {words} ⣀⡠ │          a long way off  {at}"), _row("the same")))
        for at, (title, words) in enumerate(told)
    ]
    played = Played(svg(frames, 8.0, 2, "a <test>"))
    assert played.root.findtext(f"{SVG}title") == "a <test>"
    assert played.seconds == 8.0
    for at, (title, words) in enumerate(told):
        expected = [title, f"│ {words}    │          a long way off  {at}", "the same"]
        assert played.text(at + 0.5).splitlines() == expected
    assert played.text() == played.text(2.5)  # the poster
    paths = [element.attrib for element in played.root.iter(f"{SVG}path")]
    dots = {path["d"] for path in paths if path["class"].startswith("d ")}
    assert dots == {"m22 3h0m1 0h0m2-1h0m-1 1h0"}  # of ⣀⡠, in the cells 11 and 12


@pytest.fixture(scope="module")
def recording() -> Played:
    return Played(RECORDING.read_text())


def test_it_plays_by_itself_and_needs_no_other_file(recording: Played) -> None:
    """A page that shows it as an image runs no script and fetches nothing."""
    text = RECORDING.read_text()
    assert len(text.encode()) <= MOST
    assert {element.tag.removeprefix(SVG) for element in recording.root.iter()} == {
        "svg", "title", "style", "rect", "circle", "path", "g", "text"
    }  # fmt: skip
    assert not re.search(r"href|url\(|@import|@font-face", text)
    assert len(recording.times) > 20
    for moves in recording.moves.values():
        assert moves[0][0] == 0
        assert [at for at, _by in moves] == sorted({at for at, _by in moves})
    assert "prefers-reduced-motion" in text


def test_it_shows_the_screen_of_today(recording: Played) -> None:
    """Panels have other titles, or commands other words: python -m tests.tools.screenshots makes it anew."""
    titles = {**LEFT, **RIGHT, **TABLES}
    for name in SHOWN:
        assert f"{DIGITS[name]} {_(titles[name])}" in recording.text()
    moments = [recording.text(at) for at in recording.times]
    told = [_(STATES["running"]), _(STATES["paused"]), _("rewind to a checkpoint")]
    told.append(_("learning rate {old} → {new} from step {step}").partition("{")[0])
    for words in told:
        assert any(words in moment for moment in moments), words
