"""A batch job whose time runs out must be queued again and end with the very run it would have been."""

import os
import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from tests.helpers.held_run import Held
from tests.helpers.processes import DESCENT, Child, Done
from tests.helpers.waiting import DEADLINE, wait_for

CHECKOUT = Path(__file__).parents[3]
PAGE = CHECKOUT / "engine" / "docs" / "batch-jobs.md"
REQUEUE = 138

SRUN = """#!/bin/bash
# Starts the step as a process of its own, and says which; the signals of --signal=USR1 go there, not to the shell.
while [[ "$1" == --* ]]; do shift; done
echo $$ > step.pid
exec "$@"
"""


def batch_script() -> str:
    """The one in the documentation."""
    (text,) = [block for block in PAGE.read_text().split("```bash\n")[1:] if block.startswith("#!/bin/bash")]
    return text.partition("```")[0]


class Slurm:
    """Runs that script as SLURM would, with an `srun` and an `scontrol` of our own in a real shell."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        programs = folder / "bin"
        programs.mkdir()
        for name, text in {
            "srun": SRUN,
            "scontrol": '#!/bin/bash\necho "$@" >> requeued\n',
            "descent": f'#!/bin/bash\nexec {shlex.join(DESCENT)} "$@"\n',
        }.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        (folder / "job.sh").write_text(batch_script())
        here = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT)}
        self._environment = os.environ | here | {"SLURM_JOB_ID": "4711", "SLURM_CPUS_PER_TASK": "1"}

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["bash", "job.sh", *words], cwd=self._folder, env=self._environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def warn(self) -> None:
        """The time is nearly up."""
        os.kill(int((self._folder / "step.pid").read_text()), signal.SIGUSR1)

    def requeued(self) -> str:
        file = self._folder / "requeued"
        return file.read_text() if file.exists() else ""


def ended(job: "subprocess.Popen[str]") -> Done:
    out, err = job.communicate(timeout=DEADLINE)
    return Done(job.returncode, out, err)


def rows(run: RunFolder) -> bytes:
    """All numbers but the times."""
    metrics = Metrics(run.path)
    assert metrics.layout is not None
    kept = [i for i, name in enumerate(metrics.layout.columns) if name != "time"]
    return np.ascontiguousarray(metrics.rows()[:, :, kept]).tobytes()


@pytest.mark.slow
def test_the_readme_s_job_is_requeued_and_ends_as_if_undisturbed(
    descent: Callable[..., Child], held: Held, tmp_path: Path, runs: Path
) -> None:
    slurm, words = Slurm(tmp_path), ("held.toml", "--allow-code")
    run = RunFolder(runs / "job-4711")
    job = slurm.start(*words)
    held.wait()
    slurm.warn()
    held.release()
    done = ended(job)
    assert done.code == REQUEUE, done
    assert slurm.requeued() == "requeue 4711\n"
    assert done.json["state"] == run.state() == "stopped"
    assert run.checkpoints()[-1] == len(Metrics(run.path)) == 25

    done = ended(slurm.start(*words))
    assert done.code == 0, done
    assert slurm.requeued() == "requeue 4711\n"
    assert done.json["state"] == run.state() == "finished"
    assert descent("run", *words, "--id", "whole").end().code == 0
    assert rows(run) == rows(RunFolder(runs / "whole"))


@pytest.mark.slow
def test_the_time_limit_does_not_interrupt_the_checkpoint_that_its_warning_asked_for(
    descent: Callable[..., Child], held: Held, runs: Path
) -> None:
    """SLURM sends SIGTERM when the time is up, perhaps while the run still saves: that is not a second Ctrl-C."""
    child = descent(*held.start)
    held.wait()
    for number in (signal.SIGUSR1, signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR1):
        child.send(number)
    wait_for(lambda: "stopping" in child.printed(), "word of the first signal")
    held.release()
    done = child.end()
    assert done.code == REQUEUE, done
    assert RunFolder(runs / "mine").checkpoints()[-1] == 25
    assert "descent resume mine" in done.out


@pytest.mark.slow
@pytest.mark.parametrize("first", [signal.SIGUSR1, signal.SIGTERM])
def test_who_insists_is_obeyed_at_once(first: signal.Signals, descent: Callable[..., Child], held: Held) -> None:
    """A step that hangs would have to be killed with SIGKILL."""
    child = descent(*held.start)
    held.wait()
    child.send(first)
    wait_for(lambda: "stopping" in child.printed(), "word of the first signal")
    child.send(signal.SIGTERM)
    while not child.has_ended():  # two signals of one kind at the same moment are one to the kernel
        child.send(signal.SIGTERM)
    assert child.end().code == 143
