"""A study as a SLURM job array, one task per job: its sbatch script, its submission, and what became of its tasks."""

import itertools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

from descent.common.errors import DescentError
from descent.common.i18n import _, ngettext
from descent.common.text import clean, shorten
from engine.study.elsewhere import Engine, Task, jobs_words
from engine.study.folder import Job, Study
from engine.study.results import Outcome

_WARNED = 138  # 128 + SIGUSR1
_PENDING = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}
_PATIENCE = 60.0  # seconds for a command of SLURM, whose controller may be busy or starting again
_LONGEST = 400  # characters of what such a command says
_SCRIPT = """\
#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --comment={comment}
#SBATCH --array={array}
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


def script(study: Study, jobs: Sequence[Job], *, at_once: int | None, cpus: int) -> str:
    """Return the script's text.

    jobs: those to train. at_once: tasks at the same time, None for as many as there is room for. cpus: CPUs of each
    task, one thread each.
    """
    return _SCRIPT.format(
        name=shlex.quote(study.name),
        comment=shlex.quote(_mark(study)),
        array=_ranges([job.index for job in jobs]) + (f"%{at_once}" if at_once is not None else ""),
        cpus=cpus,
        output=shlex.quote(str(study.folder / "jobs")),
        command=f"{shlex.quote(sys.executable)} -P -m descent",
        folder=shlex.quote(str(study.folder)),
        warned=_WARNED,
        add=_("Add what your cluster needs: --partition, --account, --mem, --gpus=1 …"),
        requeue=_("Two minutes before its time is up, a job saves and exits with this code. Requeued, it continues."),
    )


def _mark(study: Study) -> str:
    """Return the comment by which the study's tasks are found in the queue."""
    return os.path.realpath(study.folder)


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers in SLURM's short form, such as 0-3,7."""
    runs = itertools.groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ends = [(part[0][1], part[-1][1]) for part in (list(group) for _key, group in runs)]
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ends)


class Slurm(Engine):
    """The queue of the cluster. Its tasks go on when nobody looks at them."""

    outlives = True
    longest = 10.0

    def __init__(self, *, at_once: int | None, cpus: int, words: Sequence[str]) -> None:
        """words: options of sbatch. Raises DescentError if SLURM's commands are not here."""
        if at_once is not None and at_once < 1:
            raise DescentError(_("{option} {given}: must be 1 or more", option="--jobs", given=at_once))
        missing = [name for name in ("sbatch", "squeue") if shutil.which(name) is None]
        if missing:
            raise DescentError(
                _(
                    "--on slurm: {commands} not found; start this on a machine where SLURM's commands are, such as "
                    "the cluster's login node",
                    commands=", ".join(missing),
                )
            )
        self._at_once, self._cpus, self._sbatch = at_once, cpus, words
        self.words = ["--on", "slurm", *jobs_words(at_once), *(f"--sbatch={word}" for word in words)]
        self._ids: set[str] = set()

    def tasks(self, study: Study) -> dict[int, Task]:
        found = tasks(study)
        self._ids |= {task.batch for task in found.values()}
        return found

    def submit(self, study: Study, jobs: Sequence[Job]) -> str:
        (study.folder / "jobs").mkdir(mode=0o700, exist_ok=True)
        text = script(study, jobs, at_once=self._at_once, cpus=self._cpus)
        batch = _ask(["sbatch", "--parsable", *self._sbatch], text).strip().partition(";")[0]
        self._ids.add(batch)
        return ngettext(
            "{count} queued as SLURM job {batch}", "{count:,} queued as SLURM job {batch}", len(jobs), batch=batch
        )

    def stop(self) -> None:
        """Leave the tasks alone."""

    def close(self) -> None:
        """Leave the tasks alone."""

    def leaving(self) -> str:
        return _(
            "the jobs go on in SLURM; the same command shows them again, and `scancel {ids}` lets them save and end",
            ids=" ".join(sorted(self._ids)),
        )

    def why_gone(self, study: Study, one: Outcome) -> str | None:
        if one.state == "stopped":
            return None
        file = study.folder / "jobs" / f"slurm-{one.job.index}.log"
        return _("it is no longer in SLURM's queue; see {file}", file=file)


def tasks(study: Study) -> dict[int, Task]:
    """Return the study's tasks that wait or run, by the job's index. Raises DescentError if squeue can't tell."""
    mark, found = _mark(study), {}
    text = _ask(["squeue", "--me", "--array", "--noheader", "--format=%K|%F|%T|%r|%k"])
    for line in text.splitlines():
        index, batch, state, reason, comment = line.split("|", 4)
        if comment == mark and index.isdigit():
            found[int(index)] = Task(batch, state in _PENDING, "" if reason == "None" else reason)
    return found


def refuse_to_remove(study: Study) -> None:
    """Raise DescentError if SLURM still has tasks of a study, which would find nothing to train."""
    if shutil.which("squeue") is None:
        return
    try:
        batches = {task.batch for task in tasks(study).values()}
    except DescentError:  # the commands are here, but no cluster is
        return
    if batches:
        raise DescentError(
            _(
                "{study} is in SLURM's queue; take it out first: scancel {ids}",
                study=study.name,
                ids=" ".join(sorted(batches)),
            )
        )


def _ask(command: list[str], text: str = "") -> str:
    """Run a command of SLURM and return what it prints. Raises DescentError with its own words if it fails."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        why = _("no answer within {seconds:.0f} s", seconds=_PATIENCE)
    except OSError as error:
        why = str(error.strerror)
    else:
        if done.returncode == 0:
            return done.stdout
        said = " ".join(done.stderr.split()).removeprefix(f"{command[0]}: ").removeprefix("error: ")
        why = said or _("exit code {code}", code=done.returncode)
    raise DescentError(_("{command}: {why}", command=command[0], why=shorten(clean(why), _LONGEST)))
