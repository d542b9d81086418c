"""A class on one machine, each student with a console, a run and a grading of their own: its memory and waits."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from descent.common import machine
from descent.common.errors import ExitCode
from descent.control import send
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from engine.labs.handed_in import find
from engine.labs.library import find_lab
from engine.labs.regrade import Settings, looked_at
from tests.helpers.bare_terminal import UTF8, BareTerminal
from tests.helpers.lab_solutions import solved, typed_guesses
from tests.helpers.waiting import wait_for
from tests.tools.benchmarks.harness import Figure, Result, percentile

LAB, PRESET = "gd-line", "digits-mlp"
_WARM = "forked from a warm process"
# A way: $DESCENT_WARM, and the students. Gradings of thirty that start each process anew fill more than 24 GB.
WAYS = {"each process started anew": ("0", 10), _WARM: ("1", 30)}
_EVERY = 0.3  # seconds between two looks at the machine's memory, which take no time
_ENDLESS = ("--set", "train.epochs=1000000", "--set", "train.threads=1", "--id", "mine")
# What each student does in the midst of everything, one after the other.
_STEERED: tuple[tuple[str, dict[str, object]], ...] = (
    ("set", {"edits": ["optimizer.lr=0.002"]}),
    ("evaluate", {}),
    ("checkpoint", {}),
)
_LEAST_FREE = 2_000_000_000  # bytes; with less, the machine would end processes of others
_ANSWERED = 5.0  # seconds that a student may wait for an answer


class Student:
    """Somebody with folders of their own, as another user of the machine has them. `open` starts their console."""

    def __init__(self, folder: Path, warm: str) -> None:
        self.folder = folder
        self._runtime = folder / "runtime"
        self._runtime.mkdir(parents=True)
        homes = {name: str(folder / name.lower()) for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
        own = {"XDG_RUNTIME_DIR": str(self._runtime), "DESCENT_WARM": warm, "DESCENT_RUNS": str(folder / "runs")}
        # As BareTerminal has it: a command of another environment than the console's is not forked.
        shell = {**os.environ, **UTF8, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"}
        self.environment = {**shell, **homes, **own}

    def open(self) -> BareTerminal:
        terminal = BareTerminal([], self.folder, environment=self.environment)
        terminal.see(PRESET)
        return terminal

    def descent(self, *words: str) -> "subprocess.Popen[bytes]":
        """Start a command of theirs."""
        command = [sys.executable, "-P", "-m", "descent", *words]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, start_new_session=True
        )

    @property
    def is_warm(self) -> bool:
        """Return whether their console has its warm process."""
        return any(path.is_socket() for path in self._runtime.rglob("*"))

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.folder / "runs" / "mine")


def students(folder: Path) -> Result:
    """All at once, with a warm process for each and without one: consoles, then gradings, then runs."""
    figures, facts = [], {}
    for way, (warm, students) in WAYS.items():
        looks = _class(folder / f"warm-{warm}", warm, students)
        facts[way] = looks
        figures += [
            Figure(f"{students} students, {what}: {way}", f"{mb / 1000:.1f} GB, {mb / students:.0f} MB each")
            for what, mb in looks.items()
        ]
    return Result(figures, {}, {"MB": facts})


def _class(folder: Path, warm: str, students: int) -> dict[str, float]:
    everybody = [Student(folder / f"student-{number}", warm) for number in range(students)]
    looks: dict[str, float] = {}
    with ExitStack() as stack:
        for student in everybody:
            stack.callback(student.open().end)
        if warm == "1":
            for student in everybody:
                wait_for(lambda student=student: student.is_warm, "a warm process")
        looks["on Home"] = _memory(folder)
        _begin_lab(everybody)
        with _most(folder) as most:
            _all_end([student.descent("lab", "check", LAB) for student in everybody])
        looks["a grading each, at most"] = max(most)
        _all_end([student.descent("run", PRESET, *_ENDLESS, "--detach") for student in everybody])
        for student in everybody:
            wait_for(lambda student=student: student.run.state() == "running", "a run")
            stack.callback(_kill, student.run)
        looks["a run each"] = _memory(folder)
    return looks


def together(folder: Path, count: int = WAYS[_WARM][1]) -> Result:
    """All at once: each watches a run of theirs and steers it, has the lab checked, and hands it in."""
    warm, _count = WAYS[_WARM]
    everybody = [Student(folder / f"student-{number:02}", warm) for number in range(count)]
    handed_in = folder / "handed-in"
    handed_in.mkdir()
    with ExitStack() as stack:
        _begin_lab(everybody)
        for student in everybody:
            wait_for(_has_room, "memory for another student")
            stack.callback(_kill, student.run)
            terminal = student.open()
            stack.callback(terminal.end)
            wait_for(lambda student=student: student.is_warm, "a warm process")
            student.descent("run", PRESET, *_ENDLESS, "--detach").wait()
            wait_for(lambda student=student: student.run.state() == "running", "a run")
            since = len(terminal.output)
            terminal.type("/mine")
            terminal.see("attach mine", since)
            terminal.type("\r\r")
            terminal.see("pause", since)  # the keys of the console
            send(student.run.path, "pause")  # until everybody has one
        for student in everybody:
            send(student.run.path, "resume")
        watched = _memory(folder)
        with _most(folder) as most, ThreadPoolExecutor(2 * count) as pool:
            checked = [pool.submit(_seconds_of, student, "lab", "check", LAB) for student in everybody]
            steered = [pool.submit(_steer, student, checked[at].done) for at, student in enumerate(everybody)]
            checks = [one.result() for one in checked]
            waits = [seconds for one in steered for seconds in one.result()]
            words = ("lab", "report", LAB, str(handed_in), "--student")
            written = [pool.submit(_seconds_of, one, *words, one.folder.name) for one in everybody]
            reports = [one.result() for one in written]
        steps = [int(send(student.run.path, "stop")["step"]) for student in everybody]
        for student in everybody:
            wait_for(lambda student=student: student.run.state() not in ("running", "stopping"), "the end of a run")
    return _told(everybody, handed_in, steps, watched, max(most), {"wait": waits, "check": checks, "report": reports})


def _told(
    everybody: Sequence[Student],
    handed_in: Path,
    steps: Sequence[int],
    watched: float,
    most: float,
    times: dict[str, list[float]],
) -> Result:
    count = len(everybody)
    whole_runs = sum(
        len(Metrics(student.run.path)) == step and student.run.state() == "stopped"
        for student, step in zip(everybody, steps, strict=True)
    )
    rows = [one.row for one in looked_at(find([handed_in]), Settings())]
    passed = {row.student for row in rows if row.handed_in and len(set(row.handed_in.split("/"))) == 1}  # as 8/8
    figures = [
        Figure(f"{count} students, a run watched each", f"{watched / 1000:.1f} GB, {watched / count:.0f} MB each"),
        Figure(
            f"{count} students, that and a grading each, at most", f"{most / 1000:.1f} GB, {most / count:.0f} MB each"
        ),
        Figure(
            f"a command to a run, until it has taken effect: the longest of {len(times['wait'])}",
            f"{max(times['wait']):.2f} s, half within {percentile(times['wait'], 50):.2f} s",
            f"≤ {_ANSWERED:.0f} s",
            max(times["wait"]) <= _ANSWERED,
        ),
        Figure("a check, while all check and train: the longest", f"{max(times['check']):.0f} s"),
        Figure("a hand-in: the longest", f"{max(times['report']):.1f} s"),
        Figure("runs with a row for each step", f"{whole_runs} of {count}", f"{count}", whole_runs == count),
        Figure("hand-ins that say what was passed", f"{len(passed)} of {count}", f"{count}", len(passed) == count),
    ]
    return Result(figures, times, {"MB": {"watched": watched, "most": most}})


def _has_room() -> bool:
    return _available() >= _LEAST_FREE


def _seconds_of(student: Student, *words: str) -> float:
    """How long a command of theirs takes. They give it again, as it says, where there was too little memory."""
    begin = time.perf_counter()
    while student.descent(*words).wait() == ExitCode.CANNOT_GO_ON:
        pass
    return time.perf_counter() - begin


def _steer(student: Student, is_over: Callable[[], bool]) -> list[float]:
    """How long each command waits for its answer, until the student's check has ended."""
    waits = []
    while not is_over():
        for command, arguments in _STEERED:
            begin = time.perf_counter()
            send(student.run.path, command, arguments)
            waits.append(time.perf_counter() - begin)
            time.sleep(random.uniform(0.5, 1.5))  # as somebody who looks at what came of it
    return waits


def _begin_lab(everybody: Sequence[Student]) -> None:
    """Start the lab, answer its questions and put its solution in place of the code to write."""
    lab = find_lab(LAB)
    answers = [f"{name}={given}" for name, given in typed_guesses(lab).items()]
    _all_end([student.descent("lab", "start", LAB) for student in everybody])
    _all_end([student.descent("lab", "predict", LAB, *answers) for student in everybody])
    for student in everybody:
        solved(lab, student.folder)


def _kill(run: RunFolder) -> None:
    pid = worker_pid(run.path)
    if pid is not None:  # 0 would be this process and all that it belongs to
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _all_end(started: Sequence["subprocess.Popen[bytes]"]) -> None:
    for process in started:
        process.wait()


def _memory(folder: Path) -> float:
    """MB (1,000,000 bytes) of all students' processes: what several share counts for each by its part.

    It takes the kernel some 10 ms for each process, so it is for moments that nobody waits in.
    """
    return sum(_proportional(pid) for pid in _processes(folder))


@contextlib.contextmanager
def _most(folder: Path) -> Iterator[list[float]]:
    """Look at the machine's memory again and again, until what is done within has ended.

    Yields the MB of all students' processes at each look: those of now, and what the machine has less since.
    """
    looks, done = [_memory(folder)], threading.Event()
    at_first = _available()

    def look() -> None:
        while not done.wait(_EVERY):
            looks.append(looks[0] + (at_first - _available()) / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        done.set()
        thread.join()


def _available() -> int:
    found = machine.memory()
    assert found is not None
    return found.available


def _processes(folder: Path) -> list[int]:
    """The processes that were started by students with folders in this one, and those forked from them.

    The warm process has its student's folder among its arguments alone, and what is forked from it has these too.
    """
    variable, argument = f"XDG_RUNTIME_DIR={folder}/".encode(), f"{folder}/".encode()
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [
        pid for pid in pids if variable in _read(f"/proc/{pid}/environ") or argument in _read(f"/proc/{pid}/cmdline")
    ]


def _proportional(pid: int) -> float:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _read(path: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(path).read_bytes()
    return b""
