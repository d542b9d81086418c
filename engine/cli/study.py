"""Commands `descent study …`, each a few lines."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from descent.common import stdio
from descent.common.errors import DescentError
from descent.common.i18n import _
from engine.cli.options import AllowCode, DataRoot, Json, Overrides, Preset, Quiet, RunsDir, Yes

if TYPE_CHECKING:
    from engine.study.elsewhere import Engine

_ENGINES = ("slurm", "ray")

study_app = typer.Typer(
    help=_("Studies: a queue of runs, one process each, that vary widths, depth, data size or other settings."),
    no_args_is_help=True,
)


def _engine(name: str) -> str:
    if name not in _ENGINES:
        raise typer.BadParameter(_("{given!r}: must be {allowed}", given=name, allowed=" or ".join(_ENGINES)))
    return name


Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=[…]",
        help=_(
            "The values of a setting, such as model.widths=[[16],[64]] or a range: 1..12, 0..1+0.25, 100..60000*2. "
            "Repeatable."
        ),
    ),
]
Repeats = Annotated[
    int | None, typer.Option("--repeats", help=_("Runs for each combination, each with its own seed [default: 1]."))
]
Id = Annotated[str | None, typer.Option("--id", metavar="NAME", help=_("The study's name."))]
StudiesDir = Annotated[
    Path | None, typer.Option("--studies-dir", help=_("The folder of all studies [default: next to the runs]."))
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="slurm|ray",
        parser=_engine,
        help=_("Let SLURM or Ray train the jobs, on several machines [default: this machine does]."),
    ),
]
Word = Annotated[str, typer.Argument(metavar="STUDY", help=_("A study's name, its beginning, a path, or `last`."))]


@study_app.command(
    "run", help=_("Train a preset with every combination of values, or continue the unfinished jobs of a study.")
)
def study_run(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET|STUDY", help=_("A preset to vary, or a study to continue."))
    ],
    *,
    vary: Vary = None,
    repeats: Repeats = None,
    overrides: Overrides = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", help=_("Jobs at once [default: the number of cores, or one on each GPU].")),
    ] = None,
    on: On = None,
    sbatch: Annotated[
        list[str] | None,
        typer.Option(
            "--sbatch",
            metavar="OPTION",
            help=_("With --on slurm: an option of sbatch, such as --sbatch=--gpus=1; repeatable."),
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help=_("With --on ray: the cluster, or auto [default: $RAY_ADDRESS, else a Ray of this machine]."),
        ),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            "--gpus",
            help=_(
                "With --on ray: GPUs of each job, such as 0.25 for four jobs on one [default: 1 if there are any]."
            ),
        ),
    ] = None,
    name: Id = None,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from engine.cli import study_view, tables
    from engine.study import elsewhere, queue
    from engine.study import folder as study_folder
    from engine.study.plan import Wanted, existing, plan

    _refuse_of_another(on, {"--sbatch": ("slurm", sbatch), "--address": ("ray", address), "--gpus": ("ray", gpus)})
    engine = _found_engine(on, jobs, sbatch or (), address, gpus)
    studies = study_folder.studies_dir(studies_dir, runs_dir)
    if vary or repeats is not None:
        seeds = 1 if repeats is None else repeats
        study = plan(
            Wanted(preset, overrides or (), vary or (), seeds, name, runs_dir, data_root, allow_code), studies
        )
    else:
        study = existing(preset, studies, {"--set": overrides, "--id": name, "--data-root": data_root})
    stdio.bound_waits()
    if engine is None:
        code = queue.run(study, jobs=jobs, as_json=as_json, quiet=quiet)
    else:
        code = elsewhere.run(study, engine, as_json=as_json, quiet=quiet)
    if as_json:
        tables.print_json(study_view.as_json(study))
    elif not quiet:
        study_view.show_study(study, metric=None, by=None)
    return code


def _refuse_of_another(on: str | None, options: Mapping[str, tuple[str, object]]) -> None:
    """Raise DescentError if an option is given that another engine has. options: the engine and the value of each."""
    for option, (engine, given) in options.items():
        if given not in (None, []) and on != engine:
            shown = given[0] if isinstance(given, list) else given
            raise DescentError(_("{option} {given}: needs --on {engine}", option=option, given=shown, engine=engine))


def _found_engine(
    on: str | None, jobs: int | None, sbatch: Sequence[str], address: str | None, gpus: float | None
) -> "Engine | None":
    """Return the engine that is to train the jobs, None for this machine's own queue."""
    if on == "slurm":
        from engine.study.slurm import Slurm

        return Slurm(at_once=jobs, cpus=1, words=sbatch)
    if on == "ray":
        from engine.study.ray import Ray

        return Ray(at_once=jobs, gpus=gpus, address=address)
    return None


@study_app.command(
    "plan", help=_("Create a study without training it: for `study job` in another queue, or `study run` later.")
)
def study_plan(
    preset: Preset,
    *,
    vary: Vary = None,
    repeats: Repeats = None,
    overrides: Overrides = None,
    name: Id = None,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    from engine.cli import study_view
    from engine.study import folder as study_folder
    from engine.study.plan import Wanted, plan

    seeds = 1 if repeats is None else repeats
    wanted = Wanted(preset, overrides or (), vary or (), seeds, name, runs_dir, data_root, allow_code)
    study_view.print_planned(plan(wanted, study_folder.studies_dir(studies_dir, runs_dir)), as_json=as_json)


@study_app.command("job", help=_("Train or continue one job of a study here, as SLURM, Ray or GNU parallel do."))
def study_job(
    study: Word,
    index: Annotated[
        int, typer.Argument(help=_("The job's number, counted from 0: the task number in a job array."))
    ],
    *,
    threads: Annotated[
        int | None, typer.Option("--threads", help=_("CPU threads [default: $SLURM_CPUS_PER_TASK, else 1]."))
    ] = None,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from engine.cli import report
    from engine.study import folder as study_folder
    from engine.study import queue

    found = study_folder.find(study, study_folder.studies_dir(studies_dir, runs_dir))
    return queue.run_job(found, index, report.options(as_json=as_json, quiet=quiet), threads=threads)


@study_app.command("show", help=_("Show a study's results and its curve, or write its runs as CSV."))
def study_show(
    study: Word,
    *,
    by: Annotated[
        str | None, typer.Option("--by", metavar="KEY", help=_("The setting on the curve's x axis."))
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option("--metric", help=_("The curve's metric: loss, accuracy, or a single one such as val_loss.")),
    ] = None,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help=_("Write one row per run into FILE; `-` is stdout."))
    ] = None,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    as_json: Json = False,
) -> None:
    from engine.cli import study_view, tables
    from engine.study import folder as study_folder

    found = study_folder.find(study, study_folder.studies_dir(studies_dir, runs_dir))
    if csv is not None:
        study_view.write_csv(found, csv)
    elif as_json:
        tables.print_json(study_view.as_json(found))
    else:
        study_view.show_study(found, metric=metric, by=by)


@study_app.command("list", help=_("List your studies, the latest first."))
def study_list(runs_dir: RunsDir = None, studies_dir: StudiesDir = None, as_json: Json = False) -> None:
    from engine.cli import study_view
    from engine.study import folder as study_folder

    study_view.list_studies(study_folder.studies_dir(studies_dir, runs_dir), as_json=as_json)


@study_app.command("rm", help=_("Delete a study and its runs."))
def study_rm(
    study: Word,
    *,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    yes: Yes = False,
) -> None:
    from engine.study import folder as study_folder
    from engine.study import slurm

    found = study_folder.find(study, study_folder.studies_dir(studies_dir, runs_dir))
    slurm.refuse_to_remove(found)
    study_folder.remove(found, yes=yes)


@study_app.command(
    "slurm", help=_("Print an sbatch script that trains a study as a job array: descent study slurm STUDY | sbatch")
)
def study_slurm(
    study: Word,
    *,
    at_once: Annotated[int, typer.Option("--at-once", min=1, help=_("Tasks at the same time."))] = 8,
    cpus: Annotated[int, typer.Option("--cpus", min=1, help=_("CPUs of each task, one thread each."))] = 1,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
) -> None:
    from engine.study import folder as study_folder
    from engine.study import slurm

    found = study_folder.find(study, study_folder.studies_dir(studies_dir, runs_dir))
    print(slurm.script(found, found.jobs, at_once=at_once, cpus=cpus), end="")
