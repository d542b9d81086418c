"""A grading for which there is too little memory waits for its turn, and ends nobody's run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from descent.common import turn
from descent.common.errors import CannotGoOnError, ExitCode
from descent.common.machine import Memory
from descent.common.numbers import memory
from descent.common.stages import STAGE
from descent.common.turn import BEGINS, GRADES, WAITS, Seen
from engine.cli import lab_view
from engine.labs import progress
from tests.helpers.graded_lab import begin, make_lab, work_on

ALL = 24 << 30
NEEDED = turn._needed(Memory(ALL, ALL))  # with the PyTorch that is installed
NONE, ONE, TWO = (Memory(NEEDED - 1 + more, ALL) for more in (0, 1, 1 + turn._own_need()))


class Machine:
    """A fake machine, of which each second brings another look; the last one stays. `wait` returns the second."""

    def __init__(self, *looks: Seen) -> None:
        self._looks, self.seconds, self.said = looks, 0.0, list[str]()
        self.names = list[str]()

    def look(self) -> Seen:
        return self._looks[min(int(self.seconds), len(self._looks) - 1)]

    def rest(self, _seconds: float) -> None:
        self.seconds += 1.0

    def wait(self) -> float:
        turn.wait(self.said.append, look=self.look, now=lambda: self.seconds, rest=self.rest)
        return self.seconds


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that this process would be given."""
    given: list[str] = []
    monkeypatch.setattr(turn, "_name", given.append)
    monkeypatch.setattr(turn, "_BEGINS_FOR", 1e6)
    return given


def test_a_grading_begins_at_once_where_there_is_memory(names: list[str]) -> None:
    """Everybody would wait, or be told of it, on a machine that has room."""
    for seen in (Seen(ONE), Seen(TWO, before=1), Seen(None, before=9), Seen(ONE, under_way=9)):
        machine = Machine(seen)
        assert machine.wait() == 0
        assert machine.said == []
    assert names == [WAITS, BEGINS] * 2 + [WAITS, BEGINS] * 2


def test_a_grading_waits_until_there_is_memory() -> None:
    """It would have the kernel end another student's run. Its learner would not know why nothing happens."""
    machine = Machine(*[Seen(NONE, under_way=2)] * 3, *[Seen(NONE, under_way=1)] * 2, Seen(NONE), Seen(ONE))
    assert machine.wait() == 6
    assert machine.said == [
        "waits for memory, behind 2 others",
        "waits for memory, behind 1 other",
        f"waits for memory: {memory(NEEDED)} must be free",
    ]


def test_those_that_came_before_have_their_memory_kept() -> None:
    """Thirty who press the key together would all begin, since at that moment there is memory for each alone."""
    machine = Machine(*[Seen(ONE, before=1)] * 4, Seen(ONE))
    assert machine.wait() == 4
    assert machine.said == ["waits for memory, behind 1 other"]


def test_names_that_somebody_forges_lock_nobody_out() -> None:
    """One user with a hundred processes of that name would keep all others from being graded."""
    machine = Machine(Seen(ONE, before=100))
    assert turn._OTHERS[0] <= machine.wait() <= turn._OTHERS[1] + 1


def test_the_time_that_others_may_come_first_counts_only_while_there_is_memory() -> None:
    """After a minute without memory, all who waited would begin in the same second."""
    machine = Machine(*[Seen(ONE, before=1)] * 15, *[Seen(NONE, before=1)] * 100, *[Seen(ONE, before=1)])
    assert machine.wait() >= 115 + turn._OTHERS[0]


def test_nobody_waits_for_ever_or_without_a_word() -> None:
    """A learner would look at the same line for ever, not knowing what would help."""
    machine = Machine(Seen(NONE))
    with pytest.raises(CannotGoOnError) as caught:
        machine.wait()
    needed, free = memory(NEEDED), memory(NEEDED - 1)
    assert f"too little memory for 10 minutes: {needed} must be free, and {free} are;" in str(caught.value)
    assert "descent stop RUN" in str(caught.value)
    assert machine.seconds == turn._LONGEST
    assert len(machine.said) == turn._LONGEST / turn._SAID_AGAIN


def test_a_small_machine_keeps_less_free() -> None:
    """On a laptop of 4 GB nothing would ever be graded."""
    laptop = Memory(3 << 30, 4 << 30)
    assert turn._needed(laptop) - turn._own_need() == int(0.05 * (4 << 30))
    assert Machine(Seen(laptop)).wait() == 0


def test_gradings_that_share_their_memory_need_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class with warm processes would wait where six times as many could be graded."""
    monkeypatch.setattr(turn.machine, "is_forked", lambda: True)
    assert turn._own_need() == turn._SHARED


def test_gradings_of_all_users_are_seen_in_their_order(tmp_path: Path) -> None:
    """Each would think itself the first, or wait for those that wait for it."""

    def process(pid: int, name: str, start: int, state: str = "S") -> None:
        (tmp_path / str(pid)).mkdir()
        fields = [state, *["0"] * 18, str(start)]
        (tmp_path / str(pid) / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")

    own = os.getpid()
    process(own, WAITS, 100)
    process(own + 1, WAITS, 100)
    process(own + 2, WAITS, 99)
    process(own + 3, BEGINS, 200)
    process(own + 4, BEGINS, 50, "Z")
    process(own + 5, GRADES, 50)
    process(own + 6, "a) name (b", 50)
    (tmp_path / str(own + 7)).mkdir()  # it has ended
    (tmp_path / "self").mkdir()
    assert turn.seen(tmp_path, lambda: ONE) == Seen(ONE, before=2, under_way=1)


def test_a_process_that_begins_is_seen_by_others() -> None:
    """The name would be set where no other process reads it."""
    program = "from descent.common import turn; turn._name(turn.BEGINS); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert turn._name_and_start(f"/proc/{process.pid}/stat")[0] == BEGINS
        assert turn.seen().before >= 1
        process.communicate(b"\n")


REFUSED = """
import sys
from descent.common.machine import Memory
from descent.common import turn
from engine.labs import grading
turn.seen = lambda: turn.Seen(Memory(0, 1 << 30), under_way=3)
turn._LONGEST, turn._LOOK = 0.02, 0.02
sys.exit(grading.main("slow"))
"""


@pytest.mark.slow
def test_a_grading_that_is_refused_says_so_and_counts_as_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner would lose an attempt because others train, or would not know what the console waits for."""
    monkeypatch.chdir(tmp_path)
    lab = make_lab(tmp_path)
    begin(lab, work_on(lab, tmp_path / "work"))
    done = subprocess.run([sys.executable, "-c", REFUSED], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[0] == f"{STAGE}waiting waits for memory, behind 3 others"
    told = json.loads(done.stdout)
    assert (told["exit_code"], done.returncode) == (ExitCode.CANNOT_GO_ON, ExitCode.CANNOT_GO_ON)
    assert "and 0.0 KiB are;" in told["error"]
    assert told["error"].endswith("; this does not count as an attempt")
    assert progress.load().of("slow").count == 0


def test_the_command_line_says_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody whose check stands still would end it and begin again, behind all others."""
    lab_view.tell_waiting("waiting", "waits for memory, behind 1 other")
    lab_view.tell_waiting("checking", "slope")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "waits for memory, behind 1 other\n")
