"""`descent` in a real terminal: a console that leaves the shell unusable is worse than none."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.helpers.bare_terminal import BareTerminal
from tests.helpers.processes import DESCENT, process
from tests.helpers.waiting import DEADLINE, wait_for

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
CRASH = """
import sys
from engine.cli import main
from tui.data.runs import Watch
from tui.screens.home.screen import Home
from tui.terminal import _Parser
{bug}
sys.argv = ["descent"]
sys.exit(main([]))
"""
MAIN, THREAD, INPUT = (
    "Home._show_title = lambda self: 1 / 0",
    "Watch._look = lambda self: 1 / 0",
    "_Parser.feed = None",
)
BUG = "this is a bug in Descent"


class Terminal:
    """A shell in a tmux of its own, 100 × 30."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._socket = folder, str(folder / "tmux")
        home = {name: str(folder / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
        environment = {**os.environ, **home, "PS1": "$ ", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}
        environment.pop("TMUX", None)
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        subprocess.run(
            ["tmux", "-f", "/dev/null", "-S", self._socket, "-u", "new-session", "-d", "-x", "100", "-y", "30", "sh"],
            env=environment, cwd=folder, check=True,
        )  # fmt: skip

    def tmux(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-S", self._socket, *words], capture_output=True, text=True, check=True)
        return done.stdout

    def type(self, text: str) -> None:
        self.tmux("send-keys", "-l", text)

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def screen(self) -> str:
        return self.tmux("capture-pane", "-p")

    def see(self, what: str) -> str:
        """The screen that has it: the next may look otherwise already."""
        seen: str = wait_for(
            lambda: (now := self.screen()) * (what in now), f"{what!r} on the screen:\n{self.screen()}"
        )
        return seen

    def run(self, command: list[str]) -> None:
        # In a file: a terminal in cooked mode takes no more than a page on one line.
        (self.folder / "command.sh").write_text(shlex.join(command))
        self.type("sh command.sh; echo code=$?")
        self.press("Enter")

    def modes(self) -> str:
        """Alternate screen, mouse, cursor: 0 0 1 as a shell wants them."""
        return self.tmux("display-message", "-p", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}").strip()

    def end(self) -> None:
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], check=False, capture_output=True)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    opened = Terminal(tmp_path)
    yield opened
    opened.end()


@pytest.mark.slow
def test_opens_finds_and_quits(terminal: Terminal) -> None:
    """A user could not open the console, or not leave it."""
    terminal.run(DESCENT)
    assert "logistic-regression" in terminal.see("classification")
    terminal.type("/moons")
    wait_for(lambda: "logistic-regression" not in terminal.screen(), "the other presets to go")
    terminal.see("$ descent run moons-mlp")
    terminal.press("Escape")
    terminal.see("logistic-regression")
    terminal.type("q")
    terminal.see("code=0")
    assert terminal.modes() == "0 0 1"
    terminal.run(["stty", "-a"])
    assert " icanon" in terminal.see("icanon")


def _kill(terminal: Terminal) -> None:
    pane = terminal.tmux("display-message", "-p", "#{pane_pid}").strip()
    child = pane
    while found := subprocess.run(["pgrep", "-P", child], capture_output=True, text=True, check=False).stdout.split():
        child = found[0]
    os.kill(int(child), 15)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "after", "code", "said"),
    [
        (DESCENT, _kill, 143, "ended from outside"),
        ([sys.executable, "-c", CRASH.format(bug=MAIN)], None, 70, BUG),
        ([sys.executable, "-c", CRASH.format(bug=THREAD)], None, 70, BUG),
        ([sys.executable, "-c", CRASH.format(bug=INPUT)], lambda terminal: terminal.type("j"), 70, BUG),
    ],
    ids=["killed", "crashed", "a thread crashed", "the input's thread crashed"],
)
def test_leaves_the_terminal_as_it_was(
    terminal: Terminal, command: list[str], after: Callable[[Terminal], None] | None, code: int, said: str
) -> None:
    """The shell would show no cursor and no line breaks after a crash or a kill."""
    terminal.run(command)
    if after is not None:
        terminal.see("classification")
        after(terminal)
    shown = terminal.see(f"code={code}")
    assert said in shown
    assert "Traceback" not in shown
    assert len(list(terminal.folder.glob("xdg_state_home/descent/crash-*"))) == (code == 70)
    assert terminal.modes() == "0 0 1"


SENT = [
    b"\xf8",  # alt+x of a terminal that sets the eighth bit
    "ㅂ".encode("euc-kr"),
    b"\xe9",
    b"\x1b[M\x20\x84\x25",  # a mouse report of X10, of column 100
    b"\x1b[M\x20\xc4\x85",  # whose bytes are UTF-8 by chance
    b"\x1b[99999999999999999999;1u",
    b"\x1b[55296;1;55296u",  # half of a character
    b"\x1b[48;0;0;0;0t\x1b[<0;5;5M",
]


@pytest.mark.slow
def test_no_byte_from_the_terminal_closes_the_console(tmp_path: Path) -> None:
    """A key in another encoding, or a click far to the right, would end Descent without a word."""
    terminal = BareTerminal([], tmp_path, environment={"XDG_STATE_HOME": str(tmp_path)})
    try:
        terminal.see("classification")
        terminal.type("/")
        for letter, sent in zip("moons-mlp", SENT, strict=False):
            terminal.send(sent)
            terminal.type(letter)
        terminal.see("$ descent run moons-mlp")  # each letter arrived, and nothing else
        terminal.see("text that is not UTF-8")
        terminal.type("\x11")
        assert terminal.process.wait(DEADLINE) == 0
        assert not list(tmp_path.glob("descent/crash-*"))
    finally:
        terminal.end()


@pytest.mark.slow
def test_where_there_is_no_terminal(tmp_path: Path) -> None:
    """A batch job would hang, or fill its log with escape sequences."""
    for words in (["console", "digits-mlp"], ["attach", "last"]):
        done = process(words, cwd=tmp_path)
        assert done.code == 2, done
        assert "needs a terminal" in done.err
        assert "descent run PRESET" in done.err
        assert done.out == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_errors_into_a_file_leave_no_screen_that_nobody_sees(terminal: Terminal) -> None:
    """A blank screen would take the keys, and the file would fill with its drawing."""
    terminal.run(["sh", "-c", f"{shlex.join(DESCENT)} 2>errors"])
    terminal.see("code=2")
    assert "standard error is not one" in (terminal.folder / "errors").read_text()


@pytest.mark.slow
def test_the_screen_has_the_size_of_its_terminal(terminal: Terminal) -> None:
    """After `eval $(resize)` it would stay in a corner of a window that has grown since."""
    terminal.run(["env", "COLUMNS=60", "LINES=20", *DESCENT])
    lines = terminal.see("quit").splitlines()
    assert "quit" in lines[29]
    terminal.tmux("resize-window", "-x", "90", "-y", "26")
    wait_for(lambda: "quit" in (shown := terminal.screen().splitlines())[25] and len(shown) == 26, "the smaller one")


@pytest.mark.slow
def test_a_dumb_terminal_is_refused(terminal: Terminal) -> None:
    """Emacs' shell would be filled with escape sequences."""
    terminal.run(["env", "TERM=dumb", *DESCENT])
    assert "can't draw on this terminal" in terminal.see("code=2")


@pytest.mark.slow
def test_a_wrong_preset_is_told_before_the_screen_opens(terminal: Terminal) -> None:
    """The error would be gone with the screen."""
    terminal.run([*DESCENT, "console", "digits-mlp", "--set", "optimizer.lrr=1"])
    assert "did you mean lr?" in terminal.see("code=2").replace("\n", "")
