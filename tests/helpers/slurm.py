"""A SLURM of this machine alone, for a test: its controller, its node, and the commands that talk to them.

Debian's packages slurmctld, slurmd and slurm-client do, installed, or only unpacked: `apt-get download` and `dpkg -x`
into a folder that $DESCENT_TEST_SLURM names. Nobody's configuration is read, and no rights are needed but root's.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.helpers.waiting import wait_for

HOST = socket.gethostname().partition(".")[0]  # as SLURM names this machine
_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/none
CredType=cred/none
PluginDir={plugins}
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
JobRequeue=1
KillWait=60
MaxArraySize=8
SchedulerParameters=batch_sched_delay=0,sched_interval=1,requeue_setup_env_fail
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=p Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class Slurm:
    """environment: of the commands that are to talk to it, and of Descent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def __call__(self, *words: str) -> str:
        """Run a command of SLURM; what it prints."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done
        return done.stdout

    def hurry(self, *tasks: str) -> None:
        """Let tasks that are to be queued again begin at once. SLURM would let two minutes pass."""
        for task in tasks:
            words = ["squeue", "--array", "--noheader", f"--jobs={task}", "--format=%T %r"]
            wait_for(lambda words=words: self(*words).strip() == "PENDING BeginTime", f"{task} to be queued again")
            self("scontrol", "update", f"JobId={task}", "StartTime=now")

    def lose_node(self) -> None:
        """Let the controller take the node for lost, which it is until it answers again."""
        self("scontrol", "update", f"NodeName={HOST}", "State=DOWN", "Reason=test")


def missing() -> str | None:
    """Why no SLURM can be started here, None if one can."""
    lacking = [name for name in ("slurmctld", "slurmd", "sbatch") if _found(name) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)} (or unpacked at $DESCENT_TEST_SLURM)"
    return None if os.geteuid() == 0 else "slurmd needs root"


@contextmanager
def started(folder: Path) -> Iterator[Slurm]:
    """Start controller and node in a folder, until the end of the context."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    plugins = Path(os.path.realpath(_found("sbatch") or "")).parents[1] / "lib"
    (plugins,) = {file.parent for file in plugins.rglob("auth_none.so")}
    text = _CONF.format(folder=folder, host=HOST, plugins=plugins, ports=_free_ports())
    (folder / "slurm.conf").write_text(text)
    environment = os.environ | {
        "PATH": f"{_path()}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": f"{plugins}:{plugins.parent}",
        "SLURM_CONF": str(folder / "slurm.conf"),
    }
    slurm = Slurm(environment)
    stepd = _found("slurmstepd") or ""
    commands = [[_found("slurmctld") or "", "-D", "-c"], [_found("slurmd") or "", "-D", "-d", stepd]]
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            daemon = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
            daemons.append(daemon)
        wait_for(lambda: _is_idle(slurm), "the node to be idle")
        yield slurm
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait(30)


def _is_idle(slurm: Slurm) -> bool:
    words = ["sinfo", "--noheader", "--format=%t"]
    done = subprocess.run(words, env=slurm.environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() == "idle"


def _path() -> str:
    root = os.environ.get("DESCENT_TEST_SLURM")
    return f"{root}/usr/bin:{root}/usr/sbin" if root else "/usr/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"


def _found(name: str) -> str | None:
    """Return a program's path. Debian adds -wlm to some names, and its links are made at installation only."""
    return shutil.which(name, path=_path()) or shutil.which(f"{name}-wlm", path=_path())


def _free_ports() -> list[int]:
    with socket.socket() as first, socket.socket() as second:
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in (first, second)]
