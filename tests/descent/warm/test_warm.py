"""A fork of the warm process has to be what a new process would be, and the warm one must cost nobody anything."""

import gzip
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from descent import child, warm
from descent.common import i18n
from descent.common.paths import notes
from descent.control.address import peer
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from descent.warm import client, request, server
from descent.warm.request import RefusedError
from engine.launch import spawn, start
from tests.helpers.processes import process
from tests.helpers.waiting import wait_for

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
TOLD = "tests.helpers.told"


@pytest.fixture(scope="module", autouse=True)
def own_warm_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One that finds the modules of the tests, and that a test may kill."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))
        yield


@pytest.fixture(autouse=True)
def held(own_warm_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DESCENT_WARM")
    warm.hold().join()


def forked(*arguments: str, **options: Any) -> tuple[client.Fork, dict[str, Any]]:
    """A fork and what it says of itself."""
    fork = client.fork(TOLD, arguments, stdout=subprocess.PIPE, **options)
    assert fork.stdout is not None
    return fork, json.loads(fork.stdout.readline())


def warm_pid() -> int:
    """The warm process that this one holds."""
    (connection,) = client._held.values()
    return peer(connection)


def test_a_fork_is_as_a_new_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run would depend on who has started one before."""
    monkeypatch.setenv("EXAMPLE", "\udcff ü")  # bytes that are not UTF-8
    monkeypatch.setenv("TZ", "Asia/Seoul")
    before = os.umask(0o027)
    ignored = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
    try:
        new = subprocess.Popen(
            child.command(TOLD, "threads", "ü"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
            cwd=tmp_path,
            env=dict(os.environ),
        )
        expected = json.loads(new.communicate()[0])
        fork, found = forked("threads", "ü", cwd=tmp_path)
        assert fork.wait() == 0
    finally:
        os.umask(before)
        signal.signal(signal.SIGUSR2, ignored)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.pop("session") == found.pop("pid") == fork.pid
    assert expected.pop("session") == expected.pop("pid") == new.pid
    assert found.pop("random") != expected.pop("random")
    assert len(found.pop("descriptors")) <= len(expected.pop("descriptors")) + 2  # the answer, and who asked
    assert found == expected
    assert found["umask"] == 0o027
    assert int(signal.SIGUSR2) in found["ignored"]
    assert found["arguments"] == ["threads", "ü"]


def test_forks_do_not_draw_the_same_numbers() -> None:
    """Two runs would shuffle alike."""
    drawn = [forked()[1]["random"] for _ in range(2)]
    assert len({number for pair in drawn for number in pair}) == 4


def test_a_fork_speaks_the_language_that_was_chosen_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A learner who changes the language in another shell would read gradings in the old one."""
    monkeypatch.delenv("DESCENT_LANG")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    warm.hold().join()  # one that had to find out the language when it began
    found = []
    for chosen in i18n.LANGUAGES:
        i18n.keep(chosen)
        monkeypatch.delenv("DESCENT_LANG")
        found.append(forked()[1]["language"])
    assert found == [*i18n.LANGUAGES]


def test_a_fork_gets_its_own_number_of_threads() -> None:
    """A study's jobs would take more threads than they were given."""
    fork, found = forked("threads", env={**os.environ, "OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "3"})
    assert (fork.wait(), found["threads"]) == (0, 3)


@pytest.mark.parametrize(
    "variables",
    [{"LD_PRELOAD": ""}, {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "3"}, {"OMP_NUM_THREADS": "many"}],
)
def test_what_a_fork_cannot_change_is_started_anew(variables: dict[str, str]) -> None:
    """It would train with settings that were never read."""
    environment = {**os.environ, **variables}
    with pytest.raises(RefusedError, match=next(iter(variables))):
        client.fork(TOLD, [], env=environment)
    started = warm.start(TOLD, "7", env=environment, stdout=subprocess.DEVNULL)
    assert isinstance(started, subprocess.Popen)
    assert started.wait() == 7
    (note,) = notes("warm.jsonl")
    assert note["module"] == TOLD
    assert next(iter(variables)) in note["refused"]


@pytest.mark.parametrize(("what", "code"), [("", 0), ("5", 5), ("raise", 1)])
def test_the_exit_code_is_known(what: str, code: int, tmp_path: Path) -> None:
    """A run that failed would count as finished."""
    with (tmp_path / "said").open("wb") as said:
        fork, _ = forked(what, stderr=said)
    assert fork.wait() == code
    assert fork.poll() == fork.returncode == code
    assert ("RuntimeError: raise" in (tmp_path / "said").read_text()) is (what == "raise")
    fork.terminate()  # of a process that has ended: nothing happens


def test_what_is_left_to_write_at_its_end_is_written(tmp_path: Path) -> None:
    """A file that the user's own code has not closed would lack its last lines."""
    fork, _ = forked("write", str(tmp_path))
    assert fork.wait() == 0
    assert gzip.decompress((tmp_path / "gzip").read_bytes()) == b"open"
    assert [(tmp_path / name).read_text() for name in ("open", "thread", "end")] == ["open", "thread", "end"]


def test_a_signal_that_ends_a_fork_is_known() -> None:
    """A process that the system has killed would be said to have ended well."""
    fork, _ = forked("sleep")
    assert fork.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.01)
    os.killpg(fork.pid, signal.SIGKILL)
    assert fork.wait() == -signal.SIGKILL


def test_one_thread_may_wait_for_a_fork_that_another_stops() -> None:
    """esc would end the console during a grading, as two threads wait for a grading that is stopped."""
    for _ in range(20):
        fork, _told = forked("sleep")
        codes: list[int | None] = []
        barrier = threading.Barrier(3)

        def wait(fork: client.Fork = fork, codes: list[int | None] = codes, barrier: Any = barrier) -> None:
            barrier.wait()
            codes.append(fork.wait(30))

        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        barrier.wait()
        fork.kill()
        codes.append(fork.wait(30))
        for thread in threads:
            thread.join()
        assert codes == [-signal.SIGKILL] * 3


def test_a_killed_warm_process_costs_nothing() -> None:
    """Runs under way would end with it, or later ones would not begin."""
    fork, _ = forked("sleep")
    os.kill(warm_pid(), signal.SIGKILL)
    started = warm.start(TOLD, "3", stdout=subprocess.DEVNULL)
    assert isinstance(started, subprocess.Popen)
    assert started.wait() == 3
    assert fork.poll() is None
    fork.kill()
    assert fork.wait() == -signal.SIGKILL
    warm.hold().join()
    fork, _ = forked("4")
    assert fork.wait() == 4


def test_a_fork_whose_warm_process_was_killed_tells_its_own_exit_code() -> None:
    """A grading that ended well would be said to have failed."""
    ours, theirs = os.pipe()
    fork = client.fork(TOLD, ["later", str(ours)], pass_fds=[ours], stdout=subprocess.DEVNULL)
    killed = warm_pid()
    os.kill(killed, signal.SIGKILL)
    os.write(theirs, b"x")
    assert fork.wait() == 6
    wait_for(lambda: not is_alive(killed), "its end, before the next test asks who is there")
    os.close(ours)
    os.close(theirs)


def test_it_ends_with_the_last_that_holds_it(tmp_path: Path) -> None:
    """It would stay for ever, with 300 MB, for every user who once looked at a run."""
    before = warm_pid()
    hold = "import time; from descent import warm; warm.hold().join(); print(1, flush=True); time.sleep(600)"
    other = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    for connection in client._held.values():
        connection.close()
    client._held.clear()
    assert is_alive(before)
    other.kill()
    other.wait()
    wait_for(lambda: not is_alive(before), "the end of the warm process")
    assert list(request.address().parent.iterdir()) == []


def test_what_a_process_started_ends_with_it(tmp_path: Path) -> None:
    """A grading whose console was killed would go on for minutes, and keep the lab locked."""
    fork_it = """
import subprocess, time
from descent import warm
warm.hold().join()
print(warm.start("tests.helpers.told", "bound", stdout=subprocess.DEVNULL).pid, flush=True)
time.sleep(600)
"""
    other = subprocess.Popen([sys.executable, "-c", fork_it], stdout=subprocess.PIPE)
    assert other.stdout is not None
    pid = int(other.stdout.readline())
    assert is_alive(pid)
    other.kill()
    other.wait()
    wait_for(lambda: not is_alive(pid), "the end of what was started")


def test_another_environment_has_another_warm_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch would count threads by somebody else's setting."""
    here = request.address()
    monkeypatch.setenv("COLUMNS", "91")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", "True")  # as in a process that has imported scikit-learn
    monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/tmp/torchinductor_me")  # or PyTorch's compiler
    assert request.address() == here
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert request.address() != here


def test_another_project_has_another_warm_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PYTHONPATH=. a run would import the modules of the project whose console was opened first."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", str(ROOT)]))
    addresses = set()
    for name in ("one", "another"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        addresses.add(request.address())
    assert len(addresses) == 2
    with pytest.raises(RefusedError, match="PYTHONPATH"):
        client.fork(TOLD, [], cwd=tmp_path / "one")


def test_a_folder_that_others_can_write_holds_no_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else would answer, and be given the environment and the files."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    request.address()
    (folder,) = tmp_path.iterdir()
    folder.chmod(0o777)
    with pytest.raises(RefusedError, match="not a folder of this user alone"):
        request.address()


def test_a_process_whose_start_was_given_up_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine two gradings of one lab, or two workers of one run, would begin."""
    with monkeypatch.context() as late:
        late.setattr(client, "_answer", lambda connection: {})
        with pytest.raises(RefusedError, match="gave no answer"):
            client.fork(TOLD, ["0"], stdout=(tmp_path / "told").open("wb"))
    fork, _ = forked("2")  # requests are answered one after the other, so the first is forked by now
    assert fork.wait() == 2
    forks = Path(f"/proc/{warm_pid()}/task/{warm_pid()}/children")
    wait_for(lambda: not forks.read_text().split(), "the end of its forks")
    assert (tmp_path / "told").read_bytes() == b""


def test_nonsense_on_its_socket_leaves_it_alone() -> None:
    """One broken client would cost everybody the warm process."""
    for nonsense in (b"x", b"\0\0\0\2{}", b"\xff\xff\xff\xff", b"\0\0\1\0{"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(request.address()))
            connection.sendall(nonsense)
    fork, _ = forked("2")
    assert fork.wait() == 2


def test_it_is_not_forked_once_it_has_threads() -> None:
    """A lock that another thread held would be held in the fork for ever."""
    waiting = threading.Event()
    thread = threading.Thread(target=waiting.wait)
    thread.start()
    try:
        assert "threads" in (server._why_not() or "")
    finally:
        waiting.set()
        thread.join()


def test_one_that_ends_leaves_its_address_to_the_next(tmp_path: Path) -> None:
    """A console that is opened as another one closes would have no warm process as long as it is open."""
    address, found = tmp_path / "warm", list[int | None]()
    ending = server.locked(address)
    assert ending is not None
    waiting = threading.Thread(target=lambda: found.append(server.locked(address)))
    waiting.start()
    (tmp_path / "warm.lock").unlink()
    between = server.locked(address)  # of one that came in between and ends, too
    assert between is not None
    os.close(ending)
    os.close(between)
    waiting.join()
    assert found != [None]
    assert os.path.samestat(os.fstat(found[0] or -1), (tmp_path / "warm.lock").stat())
    os.close(found[0] or -1)


def test_one_that_met_another_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one may have been at its end."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    starts: list[list[str]] = []

    def start_(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        starts.append(command)
        return subprocess.Popen(["true"]) if len(starts) == 1 else real(command, **options)

    real = child.start
    monkeypatch.setattr(child, "start", start_)
    warm.hold().join()
    assert len(starts) == 2
    fork, _ = forked("2")
    assert fork.wait() == 2


def test_a_run_is_the_same_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results would depend on whether a console was open."""
    monkeypatch.chdir(tmp_path)
    overrides = ["train.epochs=2", "train.seed=3", "train.threads=1", "train.statistics_every=1"]
    forked = start.detach("digits-mlp", overrides)
    assert isinstance(spawn._started[-1], client.Fork)
    settings = [word for override in overrides for word in ("--set", override)]
    done = process(["run", "digits-mlp", *settings, "--id", "anew", "--quiet"])
    assert done.code == 0, done
    wait_for(lambda: forked.state() == "finished", "the run's end")
    assert untimed(forked) == untimed(RunFolder(forked.path.parent / "anew"))


def untimed(run: RunFolder) -> bytes:
    """The rows of a run, all columns but the time."""
    metrics = Metrics(run.path)
    columns = [index for index, name in enumerate(metrics.layout.columns) if name != "time"]
    return metrics.rows()[:, :, columns].tobytes()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
