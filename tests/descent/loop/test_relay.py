"""What a script prints must reach its terminal as before, and be in the run's log too."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.helpers.waiting import DEADLINE, wait_for

# `descent run train.py` in short: a process prepares, and the script takes its place.
BEGIN = """
import os, sys
from pathlib import Path
from descent.loop import relay
needed = relay.begin(Path("output.log"))
os.execve(sys.executable, [sys.executable, "-c", sys.argv[1]], {**os.environ, **needed})
"""
SETTLES = "from descent.loop import relay; relay.settle_at_exit()\nimport os, signal, sys, time\n"


def start(folder: Path, script: str, **streams: int) -> "subprocess.Popen[bytes]":
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", BEGIN, SETTLES + script]
    return subprocess.Popen(command, cwd=folder, env=env, **streams)


def read_all(terminal: int) -> bytes:
    """What is to be read of a terminal, until nothing more comes."""
    found = b""
    while select.select([terminal], [], [], 0.0 if found else DEADLINE)[0]:
        try:
            found += os.read(terminal, 1 << 16)
        except OSError:
            break
    return found


def test_pipes_get_what_they_got_and_the_log_both(tmp_path: Path) -> None:
    """What a batch job has printed could not be looked up in its run, or a script's exit code would be lost."""
    script = "print('to be read', flush=True); print('a warning', file=sys.stderr); sys.exit(7)"
    process = start(tmp_path, script, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.communicate(timeout=DEADLINE) == (b"to be read\n", b"a warning\n")
    assert process.returncode == 7
    assert sorted((tmp_path / "output.log").read_text().splitlines()) == ["a warning", "to be read"]


def test_a_terminal_stays_one(tmp_path: Path) -> None:
    """Colours would be gone, and a progress bar be a line for each of its frames."""
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (20, 91))
    script = "print(sys.stdout.isatty(), os.get_terminal_size(2).columns)\n"
    script += "print('\\r 50%\\r\\x1b[1m100%', file=sys.stderr)"
    process = start(tmp_path, script, stdout=inner, stderr=inner)
    assert process.wait(DEADLINE) == 0
    assert read_all(outer) == b"True 91\r\n\r 50%\r\x1b[1m100%\r\n"  # all of it is there when the script has ended
    assert (tmp_path / "output.log").read_bytes() == b"True 91\n\r 50%\r\x1b[1m100%\n"
    os.close(inner)
    os.close(outer)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_the_script_alone(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-c goes to every process of the terminal: the script's last words, or its checkpoint's receipt, be lost."""
    script = (
        "def end(number, frame):\n    print('saved'); sys.exit(128 + number)\n"
        f"signal.signal({int(number)}, end)\nprint('ready', flush=True)\nwhile True: time.sleep(0.01)"
    )
    process = start(tmp_path, script, stdout=subprocess.PIPE, process_group=0)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, number)
    assert process.communicate(timeout=DEADLINE)[0] == b"saved\n"
    assert process.returncode == 128 + number
    assert (tmp_path / "output.log").read_text() == "ready\nsaved\n"


@pytest.mark.slow
def test_a_closed_terminal_does_not_end_the_script(tmp_path: Path) -> None:
    """A lost connection would end hours of training at the next thing that the script prints."""
    outer, inner = pty.openpty()
    script = "print('ready', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('done')"
    process = start(tmp_path, script, stdout=inner, stderr=inner)
    os.close(inner)
    assert b"ready" in read_all(outer)
    os.close(outer)
    (tmp_path / "go").touch()
    assert process.wait(DEADLINE) == 0
    wait_for(lambda: (tmp_path / "output.log").read_text() == "ready\ndone\n", "the log")
