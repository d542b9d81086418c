"""Whatever becomes of the console or its terminal, the training goes on, and nothing is left behind that works."""

import signal
from collections.abc import Callable, Iterator

import pytest

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.training import worker  # noqa: F401 - loaded once here, not in each child
from tests.helpers.bare_terminal import BareTerminal
from tests.helpers.live_console import commands, start
from tests.helpers.processes import Child, kill
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.slow

Open = Callable[..., BareTerminal]
WHOLE_SCREEN = "\x14"  # Ctrl-T: the next theme repaints everything


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, RunFolder]]:
    child, run = start(tmp_path_factory.mktemp("live"))
    yield child, run
    kill(child)


@pytest.fixture
def attach(live: tuple[Child, RunFolder]) -> Iterator[Open]:
    opened: list[BareTerminal] = []
    run = live[1]

    def attach(**options: object) -> BareTerminal:
        words = ["attach", str(run.path)]
        opened.append(BareTerminal(words, run.path.parents[1], **options))  # type: ignore[arg-type]
        opened[-1].see("space")
        return opened[-1]

    yield attach
    for terminal in opened:
        terminal.end()


def trains_on(run: RunFolder, steps: int = 100) -> None:
    reached = len(Metrics(run.path))
    wait_for(lambda: len(Metrics(run.path)) > reached + steps, "more steps")


def paused(terminal: BareTerminal, run: RunFolder) -> None:
    """The console is alive: the run obeys its keys, and the screen says so."""
    given, written = len(commands(run)), len(terminal.output)
    terminal.type(" ")
    wait_for(lambda: len(commands(run)) > given and run.state() == "paused", "the pause")
    terminal.see("paused at step", written)
    terminal.type(" ")
    wait_for(lambda: run.state() == "running", "training")


def test_a_terminal_that_nobody_reads(attach: Open, live: tuple[Child, RunFolder]) -> None:
    """A laptop that sleeps, or tmux that is stopped, would hold the training up."""
    run = live[1]
    terminal = attach()
    fill(terminal, run)
    trains_on(run, 300)
    assert terminal.process.poll() is None
    terminal.read_on()
    paused(terminal, run)


def fill(terminal: BareTerminal, run: RunFolder) -> None:
    """Let the console write into a terminal that is not read, until no more fits."""
    terminal.stop_reading()
    terminal.type(WHOLE_SCREEN * 20)
    wait_for(lambda: terminal.unread() > 0, "something that is not read")  # a busy machine lets the console wait
    before = -1
    while before != (before := terminal.unread()):
        trains_on(run, 100)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_console_that_is_killed(number: signal.Signals, attach: Open, live: tuple[Child, RunFolder]) -> None:
    """Ending the console would end the training."""
    terminal = attach()
    terminal.process.send_signal(number)
    wait_for(lambda: terminal.process.poll() is not None, "its end")
    assert terminal.process.returncode == (-number if number == signal.SIGKILL else 143)
    trains_on(live[1])


def test_a_console_that_is_stopped_and_continued(attach: Open, live: tuple[Child, RunFolder]) -> None:
    """Ctrl-S, or a suspended tmux, would cost the training something, or the console its life."""
    run = live[1]
    terminal = attach()
    terminal.process.send_signal(signal.SIGSTOP)
    trains_on(run, 200)
    terminal.process.send_signal(signal.SIGCONT)
    paused(terminal, run)


@pytest.mark.parametrize("before", ["it was read", "nobody had read it"])
def test_a_terminal_that_is_closed(before: str, attach: Open, live: tuple[Child, RunFolder]) -> None:
    """The machine would fill with consoles that nobody can see, each using a core."""
    run = live[1]
    terminal = attach()
    if before == "nobody had read it":
        fill(terminal, run)
    terminal.close()
    wait_for(lambda: terminal.process.poll() is not None, "the end of a console without a terminal")
    trains_on(run)


def test_a_terminal_that_is_closed_while_the_hangup_is_ignored(live: tuple[Child, RunFolder], attach: Open) -> None:
    """Under nohup there is no signal to tell that the terminal is gone."""
    terminal = attach(ignore_hangup=True)
    terminal.close()
    wait_for(lambda: terminal.process.poll() is not None, "the end of a console without a terminal")
    trains_on(live[1])


def test_a_kill_while_the_terminal_takes_nothing(attach: Open, live: tuple[Child, RunFolder]) -> None:
    """Only kill -9 would end a console that hangs on a dead line."""
    terminal = attach()
    fill(terminal, live[1])
    terminal.process.terminate()
    wait_for(lambda: terminal.process.poll() is not None, "its end")
    trains_on(live[1])
