"""The commands. Each is a few lines: what it does is elsewhere, and is imported when it is asked for."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

# Plain help: Rich would take a third of the time that `descent --help` has.
app = typer.Typer(
    name="descent",
    help="A training console for PyTorch in the terminal. Begin with: descent run digits-mlp",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
presets_app = typer.Typer(help="What can be trained: list, show, copy and check presets.", no_args_is_help=True)
data_app = typer.Typer(help="The data sets that can be downloaded.", no_args_is_help=True)
app.add_typer(presets_app, name="presets", rich_help_panel=None)
app.add_typer(data_app, name="data", rich_help_panel=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, on the last line.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", help="The folder of all runs [default: $DESCENT_RUNS, else ./runs]."),
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="The folder of downloaded data [default: $DESCENT_DATA].")
]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Agree to run the code file that the preset names, as it is now.")
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="An id, a unique beginning of it, a path, or `last`.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as in --set optimizer.lr=0.1; repeatable."),
]


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
    download: Annotated[bool, typer.Option("--download", help="Fetch the data where they are missing.")] = False,
    allow_code: AllowCode = False,
    detached: Annotated[
        bool, typer.Option("--detach", help="Train in the background; print the run's id and return.")
    ] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Train a preset here and now, or in the background."""
    from engine import launch

    if detached:
        words = [*(overrides or []), *([f"train.device={device}"] if device else [])]
        folder = launch.detach(
            preset, words, run_id=run_id, runs_dir=runs_dir, data_root=data_root, allow_code=allow_code
        )
        launch.print_started(folder, as_json=as_json)
        return 0
    return launch.run(
        preset,
        overrides or [],
        run_id=run_id,
        resume_if_exists=resume_if_exists,
        runs_dir=runs_dir,
        data_root=data_root,
        device=device,
        download=download,
        allow_code=allow_code,
        as_json=as_json,
        quiet=quiet,
    )


@app.command()
def resume(
    run: Run,
    *,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    """Go on with a run from its last checkpoint."""
    from engine import launch

    return launch.resume(
        run, runs_dir=runs_dir, data_root=data_root, allow_code=allow_code, as_json=as_json, quiet=quiet
    )


@app.command()
def runs(
    containing: Annotated[str, typer.Argument(metavar="[FILTER]", help="A part of an id or of a state.")] = "",
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> None:
    """List your runs, the latest first, wherever they were started."""
    from engine import views_runs

    views_runs.list_runs(containing, runs_dir, as_json=as_json)


@app.command()
def show(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> None:
    """Say what a run is, how far it got and what it reached."""
    from engine import views_runs

    views_runs.show_run(run, runs_dir, as_json=as_json)


@app.command()
def rm(
    run: Run,
    runs_dir: RunsDir = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete a run, with its checkpoints."""
    from engine import views_runs

    views_runs.remove(run, runs_dir, yes=yes)


Live = Annotated[str, typer.Argument(metavar="RUN", help="An id, a unique part of it, a path, or `last`.")]


@app.command()
def pause(run: Live, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    """Let a live run stand still; `descent resume` goes on."""
    from engine import commands

    return commands.give(run, runs_dir, "pause", {}, as_json=as_json)


@app.command()
def step(
    run: Live,
    steps: Annotated[int, typer.Argument(help="How many.")] = 1,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Train a paused run for one step, or a few."""
    from engine import commands

    return commands.give(run, runs_dir, "step", {"steps": steps}, as_json=as_json)


@app.command("set")
def set_(
    run: Live,
    edits: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="As in optimizer.lr=0.01.")],
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Change a live run: learning rate, momentum, weight decay, dropout, clipping, batch size, augmentation …"""
    from engine import commands

    return commands.give(run, runs_dir, "set", {"edits": edits}, as_json=as_json)


@app.command()
def checkpoint(run: Live, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    """Save a live run now."""
    from engine import commands

    return commands.give(run, runs_dir, "checkpoint", {}, as_json=as_json)


@app.command()
def evaluate(run: Live, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    """Loss and accuracy of a live run on its validation split, now."""
    from engine import commands

    return commands.give(run, runs_dir, "evaluate", {}, as_json=as_json)


@app.command()
def extend(
    run: Live,
    epochs: Annotated[int, typer.Option("--epochs", help="So many more passes.")] = 0,
    steps: Annotated[int, typer.Option("--steps", help="So many more updates.")] = 0,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Let a live run train longer."""
    from engine import commands

    return commands.give(run, runs_dir, "extend", {"epochs": epochs, "steps": steps}, as_json=as_json)


@app.command()
def rewind(
    run: Live,
    to: Annotated[int | None, typer.Argument(metavar="[STEP]", help="Else the last checkpoint.")] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Take a live run back to a checkpoint; what came after stays on the disk."""
    from engine import commands

    return commands.give(run, runs_dir, "rewind", {"to": to}, as_json=as_json)


@app.command()
def stop(
    run: Live,
    now: Annotated[bool, typer.Option("--now", help="After the step under way; the default.")] = False,
    after_epoch: Annotated[bool, typer.Option("--after-epoch", help="At the end of the epoch.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Without saving.")] = False,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """End a live run: save it, and say where."""
    from engine import commands

    if now + after_epoch + discard > 1:
        raise typer.BadParameter("--now, --after-epoch and --discard exclude one another")
    how = "epoch" if after_epoch else "discard" if discard else "now"
    return commands.give(run, runs_dir, "stop", {"how": how}, as_json=as_json)


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


@presets_app.command("list")
def presets_list(
    containing: Annotated[str, typer.Argument(metavar="[FILTER]", help="A part of name, topic or title.")] = "",
    as_json: Json = False,
) -> None:
    """List the presets: the shipped ones, your own, those of the current folder."""
    from engine import library, views

    views.presets(library.presets(containing), as_json=as_json)


@presets_app.command("show")
def presets_show(preset: Annotated[str, typer.Argument(metavar="NAME")], overrides: Overrides = None) -> None:
    """Print a preset with all its settings, defaults too."""
    from engine import copying

    print(copying.resolved(preset, overrides or []), end="")


@presets_app.command("copy")
def presets_copy(
    preset: Annotated[str, typer.Argument(metavar="NAME")],
    destination: Annotated[Path, typer.Argument(metavar="[DEST]", help="A folder or a new file.")] = Path(),
) -> None:
    """Copy a preset, to change it; into the current folder where nothing else is said."""
    from engine import copying

    print(copying.copy(preset, destination))


@presets_app.command("check")
def presets_check(files: Annotated[list[Path], typer.Argument(metavar="FILE...")]) -> None:
    """Say everything that is wrong with these files."""
    from engine import copying

    copying.check(files)


@presets_app.command("schema")
def presets_schema() -> None:
    """Print the JSON Schema of presets, for editors."""
    from engine import copying

    print(copying.schema_text(), end="")


@data_app.command("list")
def data_list(data_root: DataRoot = None, as_json: Json = False) -> None:
    """List the data sets, and which of them are here."""
    from engine import datasets, views

    views.data_sets(datasets.data_root(data_root), as_json=as_json)


@data_app.command("fetch")
def data_fetch(name: str, data_root: DataRoot = None) -> None:
    """Download a data set."""
    from engine import datasets, views

    views.fetch(name, datasets.data_root(data_root))


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
