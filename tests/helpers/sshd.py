"""A real sshd on the loopback, for the tests of what a broken link does."""

import getpass
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import engine
from descent.run.lock import worker_pid
from tests.helpers.processes import DESCENT
from tests.helpers.waiting import DEADLINE, wait_for

SYSTEM = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
CONFIG = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/client.pub
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
LogLevel ERROR
"""


@dataclass(frozen=True)
class Machine:
    """This machine, as it is seen over SSH."""

    login: tuple[str, ...]
    environment: str

    def command(self, script: str, *options: str) -> list[str]:
        return [self.login[0], *options, *self.login[1:], f"{self.environment}; {script}"]

    def answers(self, *commands: str) -> list[dict[str, Any]]:
        """Log in, give each command, and log out; the JSON objects that they printed."""
        script = " && ".join(f"descent {command} --json" for command in commands)
        done = subprocess.run(self.command(script), capture_output=True, text=True, check=False, timeout=DEADLINE)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def found(name: str) -> str:
    path = shutil.which(name, path=SYSTEM)
    if path is None:
        pytest.skip(f"there is no {name} on this machine")
    return path


@pytest.fixture
def machine(tmp_path: Path, runs: Path) -> Iterator[Machine]:
    """A real sshd on the loopback, for this user and this test alone."""
    sshd, ssh, keygen = found("sshd"), found("ssh"), found("ssh-keygen")
    folder, port = tmp_path / "ssh", free_port()
    folder.mkdir(mode=0o700)
    for name in ("host", "client"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    (folder / "config").write_text(CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # as the service does: root's sshd asks for it
    checked = subprocess.run([sshd, "-t", "-f", folder / "config"], capture_output=True, text=True, check=False)
    if checked.returncode:
        pytest.skip(f"sshd does not take our configuration: {checked.stderr.strip()}")

    options = {
        "IdentityFile": folder / "client",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
        "StrictHostKeyChecking": "no",
        "UserKnownHostsFile": "/dev/null",
        "LogLevel": "ERROR",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    login = (ssh, "-F", "/dev/null", *words, "-p", str(port), f"{getpass.getuser()}@127.0.0.1")
    homes = {
        name: value for name, value in os.environ.items() if name.startswith("XDG_") or name == "OMP_NUM_THREADS"
    }
    homes |= {"PYTHONPATH": str(Path(engine.__file__).parents[1]), "DESCENT_RUNS": str(runs)}
    exported = " ".join(f"{name}={shlex.quote(value)}" for name, value in homes.items())
    function = f'descent() {{ {shlex.join(DESCENT)} "$@"; }}'
    with subprocess.Popen([sshd, "-D", "-e", "-f", folder / "config"], stderr=subprocess.DEVNULL) as server:
        try:
            tried = wait_for(lambda: _logged_in(login), "sshd")
            if tried.returncode:
                pytest.skip(f"sshd lets nobody in here: {tried.stderr.strip()}")
            yield Machine(login, f"export {exported}; cd {shlex.quote(str(tmp_path))}; {function}")
        finally:
            server.kill()
            for folder in runs.glob("*"):
                pid = worker_pid(folder)
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)


def _logged_in(login: tuple[str, ...]) -> "subprocess.CompletedProcess[str] | None":
    tried = subprocess.run([*login, "true"], capture_output=True, text=True, check=False)
    return None if "Connection refused" in tried.stderr else tried
