"""`descent runs` and the like: what there is, and what each reached, each a few lines."""

import sys
from typing import Annotated

import typer

from engine.cli.options import Ascii, DataRoot, Fps, Json, Run, RunsDir, Theme, Yes

runs_app = typer.Typer()


@runs_app.command()
def runs(
    containing: Annotated[str, typer.Argument(metavar="[FILTER]", help="A part of an id or of a state.")] = "",
    runs_dir: RunsDir = None,
    each: Annotated[bool, typer.Option("--all", "-a", help="Each run of a study, too.")] = False,
    as_json: Json = False,
) -> None:
    """List your runs, the latest first, wherever they were started."""
    from engine.cli import runs_view

    runs_view.list_runs(containing, runs_dir, as_json=as_json, each=each)


@runs_app.command()
def show(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Say what a run is, how far it got and what it reached."""
    from engine.cli import runs_view

    runs_view.show_run(run, runs_dir, as_json=as_json)


@runs_app.command()
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN RUN…", help="Two to eight, each as in `descent show`.")],
    runs_dir: RunsDir = None,
    fps: Fps = None,
    ascii_only: Ascii = False,
    theme: Theme = None,
    as_json: Json = False,
) -> int:
    """Lay runs over one another: curves on a screen; without a terminal what they reached and how they differ."""
    if not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        import tui

        return tui.open_console(compare=runs, runs_dir=runs_dir, fps=fps, ascii_only=ascii_only, theme=theme)
    from engine.cli import runs_view

    runs_view.compare(runs, runs_dir, as_json=as_json)
    return 0


@runs_app.command()
def rm(
    run: Run,
    runs_dir: RunsDir = None,
    yes: Yes = False,
) -> None:
    """Delete a run, with its checkpoints."""
    from descent.run import remove

    remove.remove(run, runs_dir, yes=yes)


@runs_app.command()
def doctor(runs_dir: RunsDir = None, data_root: DataRoot = None, as_json: Json = False) -> int:
    """Say what this machine offers, and what is missing."""
    from engine.cli import doctor as cli_doctor
    from engine.cli import tables
    from engine.cli.doctor import examine

    checks = examine(runs_dir, data_root)
    if as_json:
        tables.print_json(cli_doctor.as_json(checks))
    else:
        tables.checks(checks)
    return 1 if cli_doctor.is_broken(checks) else 0
