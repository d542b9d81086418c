"""Commands such as `descent runs` that list, show and compare runs, each a few lines."""

import sys
from typing import Annotated

import typer

from descent.common.i18n import _
from engine.cli.options import Ascii, DataRoot, Fps, Json, Run, RunsDir, Theme, Yes

runs_app = typer.Typer()


@runs_app.command(help=_("List your runs, the latest first, from all folders."))
def runs(
    containing: Annotated[str, typer.Argument(metavar="FILTER", help=_("Part of an id or a state."))] = "",
    runs_dir: RunsDir = None,
    each: Annotated[bool, typer.Option("--all", "-a", help=_("Also list each run of a study."))] = False,
    latest: Annotated[
        int | None, typer.Option("--latest", "-n", metavar="N", min=1, help=_("Look at the N latest runs only."))
    ] = None,
    as_json: Json = False,
) -> None:
    from engine.cli import runs_view

    runs_view.list_runs(containing, runs_dir, as_json=as_json, each=each, latest=latest)


@runs_app.command(help=_("Show a run's settings, progress and results."))
def show(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    from engine.cli import runs_view

    runs_view.show_run(run, runs_dir, as_json=as_json)


@runs_app.command(help=_("Compare runs: curves on a screen; without a terminal, results and differing settings."))
def compare(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN RUN…", help=_("Two to eight runs, each named as in `descent show`."))
    ],
    runs_dir: RunsDir = None,
    fps: Fps = None,
    ascii_only: Ascii = False,
    theme: Theme = None,
    as_json: Json = False,
) -> int:
    if not as_json and sys.stdin.isatty() and sys.stdout.isatty():
        import tui

        return tui.open_console(compare=runs, runs_dir=runs_dir, fps=fps, ascii_only=ascii_only, theme=theme)
    from engine.cli import runs_view

    runs_view.compare(runs, runs_dir, as_json=as_json)
    return 0


@runs_app.command(help=_("Note a text with #tags on a run, or pin it to the top of Home."))
def note(
    run: Run,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT…", help=_("The new text; words with # are tags. Without it, the old one is shown.")
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help=_("Delete the text."))] = False,
    pin: Annotated[bool | None, typer.Option("--pin/--unpin", help=_("List the run first, or no longer."))] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    from engine.cli import runs_view

    text = "" if clear else " ".join(words) if words else None
    runs_view.note_run(run, text, pin, runs_dir, as_json=as_json)


@runs_app.command(help=_("Delete a run and its checkpoints."))
def rm(
    run: Run,
    runs_dir: RunsDir = None,
    yes: Yes = False,
) -> None:
    from descent.run import remove

    remove.remove(run, runs_dir, yes=yes)


@runs_app.command(help=_("Check what Descent needs on this machine."))
def doctor(runs_dir: RunsDir = None, data_root: DataRoot = None, as_json: Json = False) -> int:
    from engine.cli import doctor as cli_doctor
    from engine.cli import tables
    from engine.cli.doctor import examine

    checks = examine(runs_dir, data_root)
    if as_json:
        tables.print_json(cli_doctor.as_json(checks))
    else:
        tables.checks(checks)
    return 1 if cli_doctor.is_broken(checks) else 0
