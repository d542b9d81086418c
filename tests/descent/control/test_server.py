"""Whoever writes to a run's socket, and whatever, the training must not lose a step; and only its owner is obeyed."""

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from descent.control import LONGEST_LINE, MOST_CLIENTS, Queue, RefusedError, Request, Server, send, server
from descent.control import client as control_client
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from tests.helpers.processes import Child, kill
from tests.helpers.waiting import DEADLINE, wait_for

Descent = Callable[..., Child]
LIVE = (
    "run", "digits-mlp", "--id", "live", "--quiet", "--set", "data.size=400", "--set", "train.threads=1",
    "--set", "train.statistics_every=10", "--set", "train.evaluate_every=1000000",
)  # fmt: skip


@pytest.fixture
def run(descent: Descent, runs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Child, RunFolder]]:
    """A live run, longer than any test; afterwards it must still train, with no row missing."""
    monkeypatch.setattr(server, "IDLE", 5.0)  # longer than a busy machine takes to connect many clients
    child = descent(*LIVE, "--set", "train.epochs=1000000")
    folder = RunFolder(runs / "live")
    wait_for(lambda: folder.path.exists() and len(Metrics(folder.path)), "the first rows")
    yield child, folder
    at = send(folder.path, "pause")["step"]
    loss = Metrics(folder.path).column("loss")
    assert len(loss) == at
    assert np.isfinite(loss).all()
    assert not child.has_ended()


def connect(folder: RunFolder) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(DEADLINE)
    client.connect(str(folder.path / "control.sock"))
    return client


def answer(folder: RunFolder, line: bytes) -> bytes:
    """What the worker says to `line`; nothing where it hangs up."""
    with connect(folder) as client:
        try:
            client.sendall(line)
            return client.makefile("rb").readline()
        except ConnectionError:
            return b""  # in the middle of an endless line, with the answer lost on the way


# --- what is no command ----------------------------------------------------------------------------------


def command(arguments: str, name: str = "pause") -> bytes:
    return f'{{"command": "{name}", "arguments": {arguments}}}'.encode()


NO_COMMANDS = [
    b"",
    b"\x00\xff\xfe",
    b"GET / HTTP/1.1\r",
    b"[]",
    b"{}",
    b"[" * 60000,
    b'{"a":' * 10000,
    b'{"command": 3}',
    b'{"command": "dance"}',
    b'{"command": "__init__"}',
    command("1"),
    b'{"command": "pause", "given_by": "root"}',
    b'{"command": "pause", "given_by": ["shell"]}',
    command('{"x": NaN}'),
    command('{"x": 1e999}'),
    command('{"x": -Infinity}'),
    command('{"x": ' + "9" * 4000 + "}"),
    command(f'{{"steps": {2**63}}}', "extend"),
    command('{"x": ' + "[" * 800 + "]" * 800 + "}"),
    command('{"edits": ["optimizer.lr=' + "[" * 30000 + '"]}', "set"),
    command(r'{"edits": ["\u0000\ud800\u001b[31m=1"]}', "set"),
    command('{"edits": [["optimizer.lr=1"]]}', "set"),
    command('{"to": {"step": 0}}', "rewind"),
    command('{"how": ["now"]}', "stop"),
    b"x" * (LONGEST_LINE + 100),
]


@pytest.mark.slow
def test_what_is_no_command_is_refused(run: tuple[Child, RunFolder]) -> None:
    _, folder = run
    for line in NO_COMMANDS:
        said = answer(folder, line + b"\n")
        assert json.loads(said)["ok"] is False if said else len(line) > LONGEST_LINE, line[:60]
    assert folder.last("command") is None


def test_odd_text_in_a_command_reaches_the_log_and_nothing_else(run: tuple[Child, RunFolder]) -> None:
    """A run's log could no longer be read, or a terminal be written to, by what somebody else sent."""
    _, folder = run
    said = json.loads(answer(folder, command(r'{"\ud800": "\u001b]0;x\u0007\u2028\n"}') + b"\n"))
    assert said["ok"]
    event = folder.last("command")
    assert event is not None
    assert event["arguments"] == {"\ud800": "\x1b]0;x\x07\u2028\n"}
    assert send(folder.path, "resume")["ok"]


# --- who is no client ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_clients_that_never_finish_a_line_make_room_for_one_that_does(run: tuple[Child, RunFolder]) -> None:
    """Some forgotten connections would keep everybody from a run."""
    _, folder = run
    silent = [connect(folder) for _ in range(MOST_CLIENTS)]
    for number, client in enumerate(silent):
        client.sendall(b'{"command": "pause"' if number % 2 else b"")
    with pytest.raises(RefusedError, match="256 clients are connected already"):
        send(folder.path, "checkpoint")

    def followed() -> bool:
        for client in silent:
            with contextlib.suppress(ConnectionError):  # those who had to make room
                client.sendall(b" ")
        with contextlib.suppress(RefusedError):
            return bool(send(folder.path, "checkpoint")["ok"])
        return False

    wait_for(followed, "room for one more")
    for client in silent:
        client.close()


@pytest.mark.slow
def test_a_client_that_reads_nothing_waits_alone(run: tuple[Child, RunFolder]) -> None:
    """Answers that nobody takes would fill the worker's memory, or hold up everybody else's."""
    _, folder = run
    deaf = connect(folder)
    deaf.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            deaf.send(command("{}", "dance") + b"\n")
    assert send(folder.path, "checkpoint")["ok"]
    deaf.close()


def descriptors(child: Child) -> int:
    return len(os.listdir(f"/proc/{child.pid}/fd"))


@pytest.mark.slow
def test_no_client_leaves_a_descriptor_behind(run: tuple[Child, RunFolder]) -> None:
    """A console that looks in every second would, after a night, end the training with too many open files."""
    child, folder = run
    wait_for(lambda: answer(folder, b"\n"), "an answer")
    before = descriptors(child)
    for _ in range(100):
        answer(folder, command("{}", "dance") + b"\n")
        for half in (b"", b'{"command": "pa', command("{}", "checkpoint") + b"\n", b"x" * (LONGEST_LINE + 1)):
            with connect(folder) as client:
                client.sendall(half)  # and gone
    wait_for(lambda: descriptors(child) <= before, "the end of all connections")


def nobody() -> pwd.struct_passwd:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    return pwd.getpwnam("nobody")


def as_user(user: pwd.struct_passwd, action: Callable[[], str]) -> str:
    """What `action` says in a process of that user."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.write(writer, action().encode())
        except BaseException as error:
            os.write(writer, type(error).__name__.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="utf-8") as said:
        text = said.read()
    os.waitpid(pid, 0)
    return text


@pytest.mark.slow
def test_another_user_is_refused(descent: Descent) -> None:
    """On a shared machine anybody could stop anybody's run."""
    user = nobody()
    runs = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others
    runs.chmod(0o755)
    child = descent(*LIVE, "--set", "train.epochs=1000000", "--runs-dir", str(runs))
    folder = RunFolder(runs / "live")
    try:
        wait_for(lambda: folder.path.exists() and len(Metrics(folder.path)), "the first rows")
        stop = command('{"how": "discard"}', "stop") + b"\n"
        assert as_user(user, lambda: answer(folder, stop).decode()) == "PermissionError"  # the folder is closed

        folder.path.chmod(0o755)
        assert as_user(user, lambda: answer(folder, stop).decode()) == "PermissionError"  # and so is the socket
        (folder.path / "control.sock").chmod(0o666)
        said = json.loads(as_user(user, lambda: answer(folder, stop).decode()))
        assert (said["ok"], said["error"]) == (False, "this run belongs to another user")
        assert send(folder.path, "pause")["ok"]
        assert folder.last("command", command="stop") is None
    finally:
        kill(child)
        shutil.rmtree(runs)


# --- very many -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_thousand_commands_a_second_cost_no_step(descent: Descent, runs: Path) -> None:
    """A script in a loop, or a console gone wild, would spoil a run: it must end to the bit as if left alone.

    Two seconds of it; `python -m tests.tools.benchmarks control-load` gives ten.
    """
    child = descent(*LIVE, "--set", "train.epochs=1000000")
    folder = RunFolder(runs / "live")
    wait_for(lambda: folder.path.exists() and len(Metrics(folder.path)), "the first rows")
    answers = asyncio.run(load(folder, clients=20, a_second=50, seconds=2.0))
    assert sum(len(given) for given in answers) == 2_000
    for given in answers:
        steps = [said["step"] for said in given]
        assert steps == sorted(steps)
    wait_for(lambda: folder.state() == "running" or not send(folder.path, "resume"), "the run going on")
    receipt = send(folder.path, "stop")
    assert child.end().code == 0
    assert descent(*LIVE[:3], "quiet", *LIVE[4:], "--set", f"train.steps={receipt['step']}").end().code == 0
    left = RunFolder(runs / "quiet")
    layout = Metrics(left.path).layout
    assert layout is not None
    kept = [i for i, name in enumerate(layout.columns) if name != "time"]
    one, other = (Metrics(where.path).rows()[:, :, kept] for where in (folder, left))
    assert len(one) == len(other) == receipt["step"]
    assert one.tobytes() == other.tobytes()


HARMLESS = [
    {"command": "set", "arguments": {"edits": ["optimizer.lr=-1"]}},
    {"command": "set", "arguments": {"edits": ["model.widths=[3]"]}},
    {"command": "pause"},
    {"command": "resume"},
]


async def load(folder: RunFolder, *, clients: int, a_second: int, seconds: float) -> list[list[dict[str, int]]]:
    """Commands that change nothing, at a steady rate from each client; all answers, by client."""
    begin = asyncio.get_running_loop().time()

    async def client(number: int) -> list[dict[str, int]]:
        reader, writer = await asyncio.open_unix_connection(folder.path / "control.sock")
        answers = []
        for index in range(round(a_second * seconds)):
            await asyncio.sleep(begin + index / a_second - asyncio.get_running_loop().time())
            writer.write(json.dumps(HARMLESS[(index + number) % len(HARMLESS)]).encode() + b"\n")
            answers.append(json.loads(await reader.readline()))
        writer.close()
        return answers

    return await asyncio.gather(*(client(number) for number in range(clients)))


def test_a_run_that_fails_at_once_ends_its_server_without_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason of a run that could not begin would stand below a traceback of a thread."""
    raised = list[object]()
    monkeypatch.setattr("threading.excepthook", raised.append)
    for _ in range(20):
        server = Server(tmp_path, Queue())
        server.start()
        server.stop()
    assert not raised


def test_what_waits_when_the_run_ends_is_answered(tmp_path: Path) -> None:
    """A command in the last moment of a run would look as if the worker had crashed."""
    queue, taken = Queue(), list[Request]()
    server = Server(tmp_path, queue)
    server.start()
    folder = RunFolder(tmp_path)
    asked = [connect(folder) for _ in range(20)]
    for client in asked:
        client.sendall(command("{}") + b"\n")
    wait_for(lambda: taken.extend(queue.take_all()) or len(taken) >= 10, "half of the commands")
    for request in taken:
        request.answer({"ok": True})
    server.stop()
    said = [json.loads(client.makefile().readline()) for client in asked]
    assert sum(one["ok"] for one in said) == len(taken)
    assert all(one["error"] == "the run has ended" for one in said if not one["ok"])
    assert list(tmp_path.iterdir()) == []


def test_a_flag_raised_too_late_ends_one_wait_and_not_all(tmp_path: Path) -> None:
    """A paused run would take a whole core until the next command."""
    queue = Queue()
    queue.wait(0)
    queue._arrived.set()  # as by a `put` whose request was taken just before
    assert queue.take_all() == []
    queue.wait(0)
    assert not queue._arrived.is_set()


def test_a_worker_that_begins_to_listen_while_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run would be called running and yet the command be refused, as if nobody listened."""
    queue, servers = Queue(), list[Server]()

    def state(_self: object) -> str:
        if not servers:  # the socket was looked for in vain; before the log is read the worker is as far
            servers.append(Server(tmp_path, queue))
            servers[0].start()
        return "running"

    monkeypatch.setattr(control_client.StateReader, "state", state)
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(send, tmp_path, "pause")
        (request,) = wait_for(queue.take_all, "the command")
        request.answer({"run": "mine", "command": "pause", "step": 3, "ok": True, "error": None})
        assert answers.result()["step"] == 3
    servers[0].stop()
