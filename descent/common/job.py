"""The processes of one training, as torchrun or SLURM's srun starts them: their number, and which one this is."""

import os
import subprocess

from descent.common.errors import DescentError
from descent.common.i18n import _

_FIRST_PORT = 20000  # of those that jobs of SLURM meet at; its last digits are the job's


def size() -> int:
    """Return how many processes torchrun, or what is like it, has started for this training."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """Return the number of this process among them, from 0."""
    return _number("RANK", 0) if size() > 1 else 0


def size_on_host() -> int:
    """Return how many of them are on this machine."""
    return _number("LOCAL_WORLD_SIZE", size())


def take_from_slurm() -> None:
    """Take over what srun has told its tasks, in the variables of torchrun, where torchrun has told nothing.

    Raises DescentError if the first host of the step can't be found out.
    """
    tasks = _number("SLURM_STEP_NUM_TASKS", 1)  # of srun only: a batch script itself is one process
    if "WORLD_SIZE" in os.environ or tasks < 2 or "SLURM_PROCID" not in os.environ:
        return
    job, step = _number("SLURM_JOB_ID", 0), _number("SLURM_STEP_ID", 0)
    on_host = os.environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    told = {
        "WORLD_SIZE": str(tasks),
        "RANK": os.environ["SLURM_PROCID"],
        "LOCAL_RANK": os.environ.get("SLURM_LOCALID", "0"),
        "MASTER_ADDR": _first_host(os.environ.get("SLURM_STEP_NODELIST", "")),
        "MASTER_PORT": str(_FIRST_PORT + (job * 16 + step) % 10000),
    }
    if on_host.isdigit():
        told["LOCAL_WORLD_SIZE"] = on_host
    for name, value in told.items():
        os.environ.setdefault(name, value)


def check() -> None:
    """Raise DescentError if these processes can't find each other."""
    wanted = ("RANK", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in wanted if not os.environ.get(name)] if size() > 1 else []
    if missing:
        raise DescentError(
            _(
                "WORLD_SIZE = {size}, but {missing} is not set, so the processes can't find each other; torchrun "
                "sets all of them. Without WORLD_SIZE, --ranks {size} starts the others itself",
                size=size(),
                missing=", ".join(missing),
            )
        )


def _first_host(nodes: str) -> str:
    """Return the first of the hosts that SLURM names in its short form, such as `gpu[03-05,9]`."""
    if not any(sign in nodes for sign in "[,"):
        return nodes or "127.0.0.1"
    try:
        done = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
        return done.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        raise DescentError(
            _(
                "SLURM_STEP_NODELIST = {nodes}: scontrol can't say its first host; set MASTER_ADDR to that host",
                nodes=nodes,
            )
        ) from None


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() else otherwise
