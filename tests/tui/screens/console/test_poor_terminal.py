"""A terminal that is small, poor or unsteady, and text that means harm, must neither end the console nor drive it."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.training import worker  # noqa: F401 - loaded once here, not in each child
from tests.helpers.bare_terminal import BareTerminal
from tests.helpers.live_console import commands, start
from tests.helpers.processes import Child, kill, process
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.slow

_SHADE = re.compile(rb"[34]8;2;(\d+);(\d+);(\d+)")
HARM = "[red]x[/] \x1b[2J\x1b]0;owned\x07 [/nothing] \x9b31m"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, RunFolder]]:
    child, run = start(tmp_path_factory.mktemp("live"))
    yield child, run
    kill(child)


@pytest.fixture
def run(live: tuple[Child, RunFolder]) -> RunFolder:
    return live[1]


def obeys(terminal: BareTerminal, run: RunFolder) -> None:
    """The run follows the console's keys."""
    given, written = len(commands(run)), len(terminal.output)
    terminal.type(" ")
    wait_for(lambda: len(commands(run)) > given and run.state() == "paused", "the pause")
    terminal.see("paused at step", written)
    terminal.type(" ")
    wait_for(lambda: run.state() == "running", "training")


@pytest.mark.parametrize(
    ("environment", "colours", "ascii_only"),
    [({"LC_ALL": "C"}, True, True), ({"NO_COLOR": "1"}, False, False)],
    ids=["C", "NO_COLOR"],
)
def test_a_poor_terminal(environment: dict[str, str], colours: bool, ascii_only: bool, run: RunFolder) -> None:
    """It would be filled with boxes, or with colours that somebody can't see."""
    terminal = BareTerminal(["attach", str(run.path)], run.path.parents[1], environment=environment)
    try:
        terminal.see("space")
        obeys(terminal, run)
        strange = {sign for sign in terminal.text() if not sign.isascii()}
        assert bool(strange) != ascii_only, strange
        # Without colours Textual draws in greys.
        assert any(len(set(shade)) > 1 for shade in _SHADE.findall(terminal.output)) == colours
    finally:
        terminal.end()


def test_sizes_that_change_all_the_time(run: RunFolder) -> None:
    """Dragging a window's corner, down to next to nothing, would end the console or hold the training up."""
    terminal = BareTerminal(["attach", str(run.path)], run.path.parents[1], size=(20, 5))
    try:
        wait_for(lambda: b"\x1b[?1049h" in terminal.output, "the screen")
        reached = len(Metrics(run.path))
        for turn in range(60):
            for size in ((1, 1), (20, 5), (200, 60), (80, 24), (7, 50), (300, 2)):
                terminal.resize(*size)
            terminal.resize(20 + turn, 5 + turn % 40)
        terminal.resize(120, 40)
        written = len(terminal.output)
        terminal.see("space", written)
        obeys(terminal, run)
        wait_for(lambda: len(Metrics(run.path)) > reached + 100, "more steps")
    finally:
        terminal.end()


def test_text_that_means_harm(run: RunFolder) -> None:
    """A preset from the web or a line of a log would take over the terminal."""

    def warn() -> None:
        with (run.path / "events.jsonl").open("a") as events:
            events.write(json.dumps({"time": 1.0, "event": "warning", "message": HARM}) + "\n")

    warn()
    terminal = BareTerminal(["attach", str(run.path)], run.path.parents[1])
    try:
        terminal.see("digits-mlp live")
        warn()  # the first one may be past the end of the log that has room
        terminal.see("[red]x[/]")
        obeys(terminal, run)
        assert b"owned\x07" not in terminal.output
        assert b"\x1b[2J\x1b]0" not in terminal.output
        assert "[/nothing]" in terminal.text()
        terminal.process.send_signal(signal.SIGTERM)
        wait_for(lambda: terminal.process.poll() is not None, "its end")
        assert terminal.process.returncode == 143
    finally:
        terminal.end()


def test_a_pipe_is_told_what_to_do_instead(tmp_path: Path) -> None:
    """A pipe or a batch job would be given a screen."""
    done = process([], cwd=tmp_path)
    assert done.code in (0, 2), done
    assert "\x1b" not in done.out + done.err
    assert "descent run" in done.out + done.err
