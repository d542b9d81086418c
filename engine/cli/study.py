"""`descent study …`: each command in a few lines."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import AllowCode, DataRoot, Json, Overrides, Preset, Quiet, RunsDir, Yes

study_app = typer.Typer(
    help="What varies in shape (widths, depth, amount of data): a queue of runs, one process each.",
    no_args_is_help=True,
)

Vary = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        metavar="KEY=[…]",
        help="The values of a key, as in model.widths=[[16],[64]], or a range: 1..12, 0..1+0.25, 100..60000*2; "
        "repeatable.",
    ),
]
Repeats = Annotated[int | None, typer.Option("--repeats", help="Runs of each point, with a seed each [default: 1].")]
Id = Annotated[str | None, typer.Option("--id", metavar="NAME", help="The study's name.")]
StudiesDir = Annotated[
    Path | None, typer.Option("--studies-dir", help="The folder of all studies [default: beside the runs].")
]
Word = Annotated[str, typer.Argument(metavar="STUDY", help="A name, its beginning, a path, or `last`.")]


@study_app.command("run")
def study_run(
    preset: Annotated[
        str, typer.Argument(metavar="PRESET|STUDY", help="A preset to vary, or a study to go on with.")
    ],
    *,
    vary: Vary = None,
    repeats: Repeats = None,
    overrides: Overrides = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", help="At once [default: the cores; one on each GPU].")
    ] = None,
    name: Id = None,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a preset at every combination of the values, or go on with a study: what is not finished."""
    from engine.cli import study_view, tables
    from engine.study import folder as study_folder
    from engine.study import queue
    from engine.study.plan import Wanted, existing, plan

    studies = study_folder.studies_dir(studies_dir, runs_dir)
    if vary or repeats is not None:
        seeds = 1 if repeats is None else repeats
        study = plan(
            Wanted(preset, overrides or (), vary or (), seeds, name, runs_dir, data_root, allow_code), studies
        )
    else:
        study = existing(preset, studies, {"--set": overrides, "--id": name, "--data-root": data_root})
    code = queue.run(study, jobs=jobs, as_json=as_json, quiet=quiet)
    if as_json:
        tables.print_json(study_view.as_json(study))
    elif not quiet:
        study_view.show_study(study, metric=None, by=None)
    return code


@study_app.command("plan")
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
    """Write a study's folder, and train nothing: for `study job` in another engine's queue, or `study run` later."""
    from engine.cli import study_view
    from engine.study import folder as study_folder
    from engine.study.plan import Wanted, plan

    seeds = 1 if repeats is None else repeats
    wanted = Wanted(preset, overrides or (), vary or (), seeds, name, runs_dir, data_root, allow_code)
    study_view.print_planned(plan(wanted, study_folder.studies_dir(studies_dir, runs_dir)), as_json=as_json)


@study_app.command("job")
def study_job(
    study: Word,
    index: Annotated[int, typer.Argument(help="Which job, counted from 0: a task's number in a job array.")],
    *,
    threads: Annotated[
        int | None, typer.Option("--threads", help="CPU threads [default: $SLURM_CPUS_PER_TASK, else 1].")
    ] = None,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train one job of a study here and now, or go on with it: what SLURM, Ray or GNU parallel call."""
    from engine.cli import report
    from engine.study import folder as study_folder
    from engine.study import queue

    found = study_folder.find(study, study_folder.studies_dir(studies_dir, runs_dir))
    return queue.run_job(found, index, report.options(as_json=as_json, quiet=quiet), threads=threads)


@study_app.command("show")
def study_show(
    study: Word,
    *,
    by: Annotated[str | None, typer.Option("--by", metavar="KEY", help="What the curve goes along.")] = None,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Of the curve: loss, accuracy, or one, as in val_loss.")
    ] = None,
    csv: Annotated[
        str | None, typer.Option("--csv", metavar="FILE", help="Write one row a run into FILE; `-` is stdout.")
    ] = None,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    as_json: Json = False,
) -> None:
    """The table of a study's points, and its curve; CSV of its runs."""
    from engine.cli import study_view, tables
    from engine.study import folder as study_folder

    found = study_folder.find(study, study_folder.studies_dir(studies_dir, runs_dir))
    if csv is not None:
        study_view.write_csv(found, csv)
    elif as_json:
        tables.print_json(study_view.as_json(found))
    else:
        study_view.show_study(found, metric=metric, by=by)


@study_app.command("list")
def study_list(runs_dir: RunsDir = None, studies_dir: StudiesDir = None, as_json: Json = False) -> None:
    """List your studies, the latest first."""
    from engine.cli import study_view
    from engine.study import folder as study_folder

    study_view.list_studies(study_folder.studies_dir(studies_dir, runs_dir), as_json=as_json)


@study_app.command("rm")
def study_rm(
    study: Word,
    *,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
    yes: Yes = False,
) -> None:
    """Delete a study, with its runs."""
    from engine.study import folder as study_folder

    study_folder.remove(study_folder.find(study, study_folder.studies_dir(studies_dir, runs_dir)), yes=yes)


@study_app.command("slurm")
def study_slurm(
    study: Word,
    *,
    at_once: Annotated[int, typer.Option("--at-once", min=1, help="Tasks at the same time.")] = 8,
    cpus: Annotated[int, typer.Option("--cpus", min=1, help="Of each task: its threads.")] = 1,
    runs_dir: RunsDir = None,
    studies_dir: StudiesDir = None,
) -> None:
    """Print an sbatch script that trains a study as a job array: descent study slurm STUDY | sbatch"""
    from engine.study import folder as study_folder
    from engine.study import slurm

    found = study_folder.find(study, study_folder.studies_dir(studies_dir, runs_dir))
    print(slurm.script(found, at_once=at_once, cpus=cpus), end="")
