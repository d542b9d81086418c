"""What a class on one machine takes of its memory: each student a console, a run and a grading of their own."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from engine.labs.library import find_lab
from tests.helpers.bare_terminal import UTF8, BareTerminal
from tests.helpers.lab_solutions import solved, typed_guesses
from tests.helpers.waiting import wait_for
from tests.tools.benchmarks.harness import Figure, Result

LAB, PRESET = "gd-line", "digits-mlp"
# A way: $DESCENT_WARM, and the students. Gradings of thirty that start each process anew fill more than 24 GB.
WAYS = {"each process started anew": ("0", 10), "forked from a warm process": ("1", 30)}
_EVERY = 0.3  # seconds between two looks at the memory


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

    def memory(self) -> float:
        """MB (1,000,000 bytes) of all their processes: what several share counts for each by its part."""
        return sum(_proportional(pid) for pid in _processes(f"XDG_RUNTIME_DIR={self._runtime}"))


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
        looks["on Home"] = _memory(everybody)
        _begin_lab(everybody)
        with _most(everybody) as most:
            _all_end([student.descent("lab", "check", LAB) for student in everybody])
        looks["a grading each, at most"] = max(most)
        settings = ("--set", "train.epochs=1000000", "--set", "train.threads=1", "--id", "mine", "--detach")
        _all_end([student.descent("run", PRESET, *settings) for student in everybody])
        for student in everybody:
            wait_for(lambda student=student: student.run.state() == "running", "a run")
            stack.callback(_kill, student.run)
        looks["a run each"] = _memory(everybody)
    return looks


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


def _memory(everybody: Sequence[Student]) -> float:
    return sum(student.memory() for student in everybody)


@contextlib.contextmanager
def _most(everybody: Sequence[Student]) -> Iterator[list[float]]:
    """Look at the memory of all again and again, until what is done within has ended."""
    looks, done = [_memory(everybody)], threading.Event()

    def look() -> None:
        while not done.wait(_EVERY):
            looks.append(_memory(everybody))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield looks
    finally:
        done.set()
        thread.join()


def _processes(variable: str) -> list[int]:
    """The processes that were started with this variable, and those forked from them."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [pid for pid in pids if f"{variable}\0".encode() in _read(f"/proc/{pid}/environ")]


def _proportional(pid: int) -> float:
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _read(path: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(path).read_bytes()
    return b""
