"""The commands. Each is a few lines: what it does is elsewhere, and is imported when it is asked for."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from engine.cli_lab import lab_app
from engine.cli_live import live_app
from engine.cli_options import (
    AllowCode,
    Ascii,
    DataRoot,
    Detached,
    Draws,
    Folds,
    Fps,
    Json,
    Overrides,
    Quiet,
    Repeats,
    Run,
    RunsDir,
    Sweep,
    Theme,
)
from engine.cli_presets import data_app, presets_app
from engine.cli_study import study_app

# Plain help: Rich would take a third of the time that `descent --help` has.
app = typer.Typer(
    name="descent",
    help="A training console for PyTorch: `descent` opens it, `descent run digits-mlp` trains without a screen.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from engine.places import version

        print(f"descent {version()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def descent(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> int:
    if context.invoked_subcommand is not None:
        return 0
    if sys.stdin.isatty() and sys.stdout.isatty():
        import tui

        return tui.open_console()
    print(context.get_help())
    return 2


@app.command()
def run(
    preset: Annotated[str, typer.Argument(help="A preset's name, or its .toml file.")],
    *,
    overrides: Overrides = None,
    run_id: Annotated[str | None, typer.Option("--id", metavar="NAME", help="The run's id.")] = None,
    resume_if_exists: Annotated[
        bool, typer.Option("--resume-if-exists", help="Go on with the run --id NAME where there is one.")
    ] = False,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")] = None,
    repeats: Repeats = None,
    folds: Folds = None,
    sweep: Sweep = None,
    draws: Draws = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch the data where they are missing.")] = False,
    allow_code: AllowCode = False,
    detached: Detached = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a preset here and now, or in the background."""
    from engine import launch
    from engine.members import words
    from engine.options import Options

    settings = [*(overrides or []), *words(repeats, folds, sweep or [], draws)]
    settings += [f"train.device={device}"] if device else []
    options = Options(run_id, runs_dir, data_root, allow_code, download, as_json, quiet)
    if detached:
        launch.print_started(launch.detach(preset, settings, options), as_json=as_json)
        return 0
    return launch.run(preset, settings, options, resume_if_exists=resume_if_exists)


@app.command()
def console(
    preset: Annotated[str, typer.Argument(help="A preset's name, or its .toml file.")],
    *,
    overrides: Overrides = None,
    run_id: Annotated[str | None, typer.Option("--id", metavar="NAME", help="The run's id.")] = None,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    fps: Fps = None,
    ascii_only: Ascii = False,
    theme: Theme = None,
) -> int:
    """Train a preset, and watch and steer it on a screen. Leaving the screen does not end the run."""
    import tui

    return tui.open_console(
        preset=preset,
        overrides=overrides or [],
        run_id=run_id,
        runs_dir=runs_dir,
        data_root=data_root,
        allow_code=allow_code,
        fps=fps,
        ascii_only=ascii_only,
        theme=theme,
    )


@app.command()
def attach(
    run: Annotated[str, typer.Argument(metavar="RUN", help="An id, a unique part of it, a path, or `last`.")],
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="Look, without any key that steers.")] = False,
    runs_dir: RunsDir = None,
    fps: Fps = None,
    ascii_only: Ascii = False,
    theme: Theme = None,
) -> int:
    """Open the screen of a run, live or ended."""
    import tui

    return tui.open_console(
        run=run, read_only=read_only, runs_dir=runs_dir, fps=fps, ascii_only=ascii_only, theme=theme
    )


@app.command()
def resume(
    run: Run,
    *,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    detached: Detached = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Go on with a run: where it is paused, or from its last checkpoint."""
    from engine import launch
    from engine.options import Options

    options = Options(None, runs_dir, data_root, allow_code, as_json=as_json, quiet=quiet)
    if detached:
        folder = launch.found(run, runs_dir)
        launch.detach_resume(folder, options)
        launch.print_started(folder, as_json=as_json)
        return 0
    return launch.resume(run, options)


@app.command()
def fork(
    run: Run,
    *,
    at: Annotated[int | None, typer.Option("--at", metavar="STEP", help="A checkpoint's; else the last.")] = None,
    member: Annotated[
        int | None, typer.Option("--member", metavar="N", help="Of several, the one that goes on alone.")
    ] = None,
    overrides: Overrides = None,
    run_id: Annotated[str | None, typer.Option("--id", metavar="NAME", help="The new run's id.")] = None,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    detached: Detached = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a new run from a checkpoint of another, with other settings."""
    from engine import launch
    from engine.options import Options

    options = Options(run_id, runs_dir, data_root, allow_code, as_json=as_json, quiet=quiet)
    if detached:
        folder = launch.detach_fork(launch.found(run, runs_dir), at, overrides or [], options, member=member)
        launch.print_started(folder, as_json=as_json)
        return 0
    return launch.fork(run, at, overrides or [], options, member=member)


@app.command()
def replay(
    run: Run,
    *,
    run_id: Annotated[str | None, typer.Option("--id", metavar="NAME", help="The new run's id.")] = None,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a run once more, with every command at its step, and compare the two."""
    from engine import launch
    from engine.options import Options

    return launch.replay(run, Options(run_id, runs_dir, data_root, allow_code, as_json=as_json, quiet=quiet))


@app.command()
def runs(
    containing: Annotated[str, typer.Argument(metavar="[FILTER]", help="A part of an id or of a state.")] = "",
    runs_dir: RunsDir = None,
    each: Annotated[bool, typer.Option("--all", "-a", help="Each run of a study, too.")] = False,
    as_json: Json = False,
) -> None:
    """List your runs, the latest first, wherever they were started."""
    from engine import views_runs

    views_runs.list_runs(containing, runs_dir, as_json=as_json, each=each)


@app.command()
def show(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Say what a run is, how far it got and what it reached."""
    from engine import views_runs

    views_runs.show_run(run, runs_dir, as_json=as_json)


@app.command()
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
    from engine import views_comparison

    views_comparison.compare(runs, runs_dir, as_json=as_json)
    return 0


@app.command()
def rm(
    run: Run,
    runs_dir: RunsDir = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete a run, with its checkpoints."""
    from engine import removing

    removing.remove(run, runs_dir, yes=yes)


@app.command()
def doctor(runs_dir: RunsDir = None, data_root: DataRoot = None, as_json: Json = False) -> int:
    """Say what this machine offers, and what is missing."""
    from engine import doctor, views

    checks = doctor.examine(runs_dir, data_root)
    if as_json:
        views.print_json(doctor.as_json(checks))
    else:
        views.checks(checks)
    return 1 if doctor.is_broken(checks) else 0


app.add_typer(live_app)
app.add_typer(presets_app, name="presets")
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")
app.add_typer(lab_app, name="lab")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    from engine.ending import end

    words = list(sys.argv[1:] if arguments is None else arguments)
    return end(lambda: app_command(words), as_json="--json" in words)


def app_command(words: list[str]) -> object:
    """The command that `words` ask for; its exit code, or whatever it raises."""
    return typer.main.get_command(app).main(words, prog_name="descent", standalone_mode=False)


if __name__ == "__main__":
    sys.exit(main())
