"""Code that attacks the machine it is graded on: an instructor would lose files, secrets or grades to a hand-in."""

import json
import os
import shutil
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from engine.labs.graded_runs import Job, train
from engine.labs.messages import CheckError
from engine.labs.sandbox import enclosure
from engine.labs.sandbox.client import Learner, Limits
from engine.labs.sandbox.enclosure import LEVELS, Level, Protection, protection
from engine.preset.find import shipped_presets
from engine.preset.loading import load_preset
from tests.helpers.graded_lab import check_of, graded, make_lab, work_on
from tests.helpers.small_lab import PRESET

SOURCE = '''
import ctypes, mmap, os, socket, sys, threading
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)

def tried(do):
    """What came of it. An attack has worked if it is no error."""
    try:
        return f"done: {do()}"
    except BaseException as error:
        return f"refused: {type(error).__name__}"

def raw(result):
    """The same for a call of libc, which no hook of Python's sees."""
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result

def fine(): return 1
def reads(path): return tried(lambda: Path(path).read_bytes()[:100])
def lists(path): return tried(lambda: os.listdir(path))
def writes(path): return tried(lambda: Path(path).write_text("x"))
def removes(path): return tried(lambda: os.unlink(path))
def opens_up(path): return tried(lambda: raw(libc.chmod(path.encode(), 0o777)))
def cuts(path): return tried(lambda: raw(libc.truncate(path.encode(), 0)))

def links(path):
    tried(lambda: os.symlink(path, "link"))
    return reads("link")

def knows():
    return "\\n".join([*os.environ.values(), Path("/proc/self/environ").read_text(), os.path.expanduser("~")])

def talks(family, kind): return tried(lambda: socket.socket(family, kind))
def sends(path):
    def sent():
        ours, _theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        return ours.sendto(b"x", path)
    return tried(sent)

def forks(): return tried(lambda: raw(libc.fork()))
def spawns(path): return tried(lambda: raw(-1 if libc.system(b"touch " + path.encode()) else 0))
def kills(pid): return tried(lambda: raw(libc.kill(pid, 9)))
def kills_parent(): return kills(os.getppid())
def leaves_group(): return tried(lambda: raw(libc.setsid()))
def outlives(): return tried(lambda: raw(libc.prctl(1, 0, 0, 0, 0)))
def traces(pid): return tried(lambda: raw(libc.ptrace(16, pid, 0, 0)))
def limits_other(pid): return tried(lambda: __import__("resource").prlimit(pid, 7, (0, 0)))
def becomes_root(): return tried(lambda: raw(libc.unshare(0x10000000)))

def shares(): return tried(lambda: len(mmap.mmap(-1, 1 << 34)))
def hides_memory(): return tried(lambda: os.memfd_create("x"))

def threads():
    done, count = threading.Event(), 0
    def more():
        nonlocal count
        while count < 3000:
            threading.Thread(target=done.wait, daemon=True).start()
            count += 1
    tried(more)
    done.set()
    return count

def fills():
    def filled():
        with open("large", "wb") as file:
            file.truncate(1 << 31)
    return tried(filled)

def own_file():
    Path("kept.txt").write_text("x")
    return os.environ["HOME"] == os.getcwd() and Path("kept.txt").read_text() == "x"

def forges(text):
    """Answers in the place of the process, with what it was asked for."""
    frame = sys._getframe()
    while frame and "to" not in (request := frame.f_locals.get("request") or {}):
        frame = frame.f_back
    for name in os.listdir("/proc/self/fd"):
        if tried(lambda: os.readlink(f"/proc/self/fd/{name}")).startswith("done: socket"):
            tried(lambda: os.write(int(name), text.replace("ASKED", request["to"]).encode()))
    os._exit(0)
'''


def made(folder: Path, level: Level | None) -> Learner:
    (folder / "mine.py").write_text(SOURCE)
    (folder / "scratch").mkdir()
    limits = Limits(seconds=60.0, total=1000.0, memory=1 << 30)
    agreed = sha256(SOURCE.encode()).hexdigest()
    return Learner(folder / "mine.py", "mine.py", folder / "scratch", limits, agreed=agreed, level=level)


@pytest.fixture(scope="module", params=[*LEVELS[1:], "bubblewrap"])
def attacker(
    request: pytest.FixtureRequest, warm_process: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Learner]:
    """A process with that code, kept by each level that this machine has."""
    by_bubblewrap = request.param == "bubblewrap"
    level: Level = "namespaces" if by_bubblewrap else request.param
    if by_bubblewrap and not enclosure.bubblewrap_works():
        pytest.skip("bubblewrap is not installed, or may do nothing here")
    if not by_bubblewrap and not protection().is_at_least(level):
        pytest.skip(f"this machine has no {level}: {protection()}")
    learner = made(tmp_path_factory.mktemp("attacker"), level)
    with pytest.MonkeyPatch.context() as monkeypatch:
        if by_bubblewrap:
            monkeypatch.setattr(enclosure, "protection", lambda: Protection("namespaces", "bubblewrap"))
        monkeypatch.delenv("DESCENT_WARM")
        monkeypatch.setenv("TOKEN_OF_THE_INSTRUCTOR", "hunter2")
        learner.call("fine", [])
    yield learner
    learner.end()


def refused(learner: Learner, name: str, *arguments: object) -> None:
    """It is an error for the attacker, and the process goes on."""
    found = learner.call(name, list(arguments))
    assert found.startswith("refused: "), found


@pytest.mark.slow
def test_honest_code_has_a_folder_of_its_own(attacker: Learner) -> None:
    """Code that saves a file, as some labs ask, would fail."""
    assert attacker.call("own_file", []) is True


@pytest.mark.slow
def test_files_of_others_stay_closed(attacker: Learner, tmp_path: Path) -> None:
    """A hand-in would copy the solution, another student's work or the instructor's keys, or delete them."""
    secret = tmp_path / "another.py"
    secret.write_text("secret")
    solution = shipped_presets() / "labs" / "gd-line" / "solution.py"
    for path in (secret, solution, Path("/etc/passwd"), Path(f"/proc/{os.getpid()}/environ")):
        assert path.is_file()
        refused(attacker, "reads", str(path))
        refused(attacker, "links", str(path))
    for folder in (tmp_path, Path.home(), solution.parent, Path("/tmp")):
        refused(attacker, "lists", str(folder))
    for attack in ("writes", "removes", "opens_up", "cuts"):
        refused(attacker, attack, str(secret))
    refused(attacker, "writes", str(tmp_path / "new.py"))
    refused(attacker, "writes", __file__)
    assert secret.read_text() == "secret"
    assert secret.stat().st_mode & 0o77 == 0o44


@pytest.mark.slow
def test_the_environment_holds_nothing_of_the_instructor_s(attacker: Learner) -> None:
    """Tokens of the shell that grades would be read."""
    found = attacker.call("knows", [])
    assert "hunter2" not in found
    assert str(Path.home()) not in found.splitlines()


@pytest.mark.slow
def test_there_is_no_network(attacker: Learner) -> None:
    """A hand-in would send away what it finds, or fetch what it runs."""
    for family in (1, 2, 10, 16):  # UNIX, IPv4, IPv6, the kernel's
        for kind in (1, 2, 3):  # a stream, datagrams, raw
            refused(attacker, "talks", family, kind)
    refused(attacker, "sends", "/dev/log")


@pytest.mark.slow
def test_other_processes_are_out_of_reach(attacker: Learner, tmp_path: Path) -> None:
    """A hand-in would end its grader, multiply until the machine stands still, or go on after its time."""
    for attack in ("forks", "kills_parent", "leaves_group", "outlives", "becomes_root"):
        refused(attacker, attack)
    for attack in ("kills", "traces", "limits_other"):
        refused(attacker, attack, os.getpid())
    refused(attacker, "kills", -1)
    refused(attacker, "spawns", str(tmp_path / "spawned"))
    assert not (tmp_path / "spawned").exists()
    assert attacker.call("threads", []) < 3000


@pytest.mark.slow
def test_memory_and_files_have_limits_that_can_t_be_gone_round(attacker: Learner) -> None:
    """Shared memory counts for no limit of a process: one hand-in would take all that the machine has."""
    for attack in ("shares", "hides_memory", "fills"):
        refused(attacker, attack)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_an_answer_that_the_process_did_not_give_is_none(tmp_path: Path) -> None:
    """Code could answer for the process before it is asked, or have the grader end in an error of its own."""
    answers: list[object] = [
        {"value": True, "to": "guessed"},
        {"value": {"array": {"dtype": "O", "shape": [1], "data": "AAAA"}}, "to": "ASKED"},
        {"value": {"array": {"dtype": "<f8", "shape": [-1, -1], "data": "AAAAAAAAAAA="}}, "to": "ASKED"},
        {"value": {"dict": [[[1], 2]]}, "to": "ASKED"},
        {"error": {"kind": "descent", "exit_code": "all", "message": 3}, "to": "ASKED"},
        {"error": {"kind": "large", "megabytes": "many"}, "to": "ASKED"},
        [],
    ]
    twice = 2 * (json.dumps({"value": 1, "to": "ASKED"}) + "\n")
    learner = made(tmp_path, None)
    for text in (*(f"{json.dumps(answer)}\n" for answer in answers), twice):
        with pytest.raises(CheckError, match="ended the whole process"):
            learner.call("forges", [text])
    learner.end()


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_grader_is_not_in_the_process_that_code_can_change(tmp_path: Path) -> None:
    """Code would replace the checks or the verdict, and pass."""
    code = """
import sys
from engine.labs import verdict
from engine.labs.checks import criterion, evaluator
verdict.Verdict.passed = True
criterion.looked_at = lambda check, material: verdict.Result(check.id, "", 0.0, True)
evaluator.evaluate = lambda *given: 0.0
def height(x): return x * x
def slope(x): return 17.0
"""
    lab = make_lab(tmp_path)
    verdict = graded(work_on(lab, tmp_path / "work", code=code), tmp_path)
    assert not check_of(verdict, "slope").passed
    assert not verdict.passed


IN_TRAINING = """
import os, socket
from pathlib import Path

def attack(do):
    try:
        os.write(2, f"attack: {do()}\\n".encode())
    except Exception as error:
        os.write(2, f"attack: {type(error).__name__}\\n".encode())

attack(lambda: Path("SECRET").read_text())
attack(lambda: Path("SECRET").write_text("x"))
attack(lambda: Path("verdict.json").write_text("{}"))
attack(lambda: Path("main.toml").write_text("title = 'easier'"))
attack(lambda: Path("runs/link").symlink_to("/etc"))
attack(lambda: os.mkfifo("runs/fifo"))
attack(lambda: socket.socket())
attack(os.fork)

def squared(outputs, targets):
    return ((outputs - targets) ** 2).mean()
"""
FAKED = (
    IN_TRAINING
    + """
os.write(1, b'{"run": "main", "exit_code": 0, "error": ""}\\n')
os._exit(0)
"""
)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
@pytest.mark.parametrize("level", LEVELS[1:])
def test_code_that_takes_part_in_training_is_kept_the_same_way(tmp_path: Path, level: Level) -> None:
    """A loss or a model of the learner's runs in the process that trains, and would do there what it likes."""
    if not protection().is_at_least(level):
        pytest.skip(f"this machine has no {level}: {protection()}")
    secret, place = tmp_path / "secret", tmp_path / "place"
    secret.write_text("secret")

    def run(source: str) -> bool:
        """Whether the run can be graded."""
        place.mkdir(exist_ok=True)
        code = place / "mine.py"
        code.write_text(source.replace("SECRET", str(secret)))
        file = place / "mine.toml"
        file.write_text(PRESET.replace('name = "mse"', f'name = "code"\ncode = "{code}:squared"'))
        jobs = [Job("main", load_preset(file), 60.0)]
        agreed = sha256(code.read_bytes()).hexdigest()
        return train(jobs, place, tmp_path / "data", lambda _: None, agreed, level)["main"].is_usable

    assert run(IN_TRAINING)  # the training itself goes on
    printed = [file.read_text() for file in place.rglob("output.log")]
    attacks = [line for text in printed for line in text.splitlines() if line.startswith("attack: ")]
    assert len(attacks) == 8
    assert all(line.endswith("Error") for line in attacks), attacks
    assert secret.read_text() == "secret"
    shutil.rmtree(place)
    assert not run(FAKED)
