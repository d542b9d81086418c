"""A ready sbatch script: a study as a SLURM job array, one task per job."""

import shlex
import sys

from descent.common.i18n import _
from engine.study.folder import Study

_WARNED = 138  # 128 + SIGUSR1
_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array=0-{last}%{at_once}
#SBATCH --cpus-per-task={cpus}
#SBATCH --time=4:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={output}/slurm-%a.log
# {add}

srun --cpus-per-task="$SLURM_CPUS_PER_TASK" \\
    {command} study job {folder} "$SLURM_ARRAY_TASK_ID" --json
code=$?
# {requeue}
if [ "$code" -eq {warned} ]; then
    scontrol requeue "${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
fi
exit "$code"
"""


def script(study: Study, *, at_once: int, cpus: int) -> str:
    """Return the script's text. at_once: tasks at the same time. cpus: CPUs of each task, one thread each."""
    return _SCRIPT.format(
        name=shlex.quote(study.name),
        last=len(study.jobs) - 1,
        at_once=at_once,
        cpus=cpus,
        output=shlex.quote(str(study.folder / "jobs")),
        command=f"{shlex.quote(sys.executable)} -P -m descent",
        folder=shlex.quote(str(study.folder)),
        warned=_WARNED,
        add=_("Add what your cluster needs: --partition, --account, --mem, --gpus=1 …"),
        requeue=_("Two minutes before its time is up, a job saves and exits with this code. Requeued, it continues."),
    )
