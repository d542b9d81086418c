"""Commands such as `descent run` that start a run or open its screen, each a few lines."""

from dataclasses import replace
from typing import Annotated

import typer

from descent.common.i18n import _
from engine.cli.options import (
    AllowCode,
    Ascii,
    DataRoot,
    Detached,
    Draws,
    Folds,
    Fps,
    Json,
    NewRunId,
    Overrides,
    Preset,
    PresetOrScript,
    Quiet,
    Ranks,
    Repeats,
    Run,
    RunId,
    RunsDir,
    ScriptFolder,
    Sweep,
    Theme,
    step_number,
)

train_app = typer.Typer()


@train_app.command(help=_("Train a preset, or run a training script, in this terminal or in the background."))
def run(
    preset: PresetOrScript,
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="-- ARGS…", help=_("Arguments of a script, after two dashes."))
    ] = None,
    *,
    overrides: Overrides = None,
    run_id: RunId = None,
    resume_if_exists: Annotated[
        bool, typer.Option("--resume-if-exists", help=_("Continue the run --id NAME if it exists."))
    ] = False,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    device: Annotated[str | None, typer.Option("--device", help=_("auto, cpu, cuda, cuda:N, xpu or mps."))] = None,
    repeats: Repeats = None,
    folds: Folds = None,
    sweep: Sweep = None,
    draws: Draws = None,
    ranks: Ranks = None,
    download: Annotated[bool, typer.Option("--download", help=_("Download missing data."))] = False,
    allow_code: AllowCode = False,
    detached: Detached = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from engine.cli import report
    from engine.launch import script, start
    from engine.preset.sweep import words

    settings = [*(overrides or []), *words(repeats, folds, sweep or [], draws)]
    settings += [f"train.device={device}"] if device else []
    settings += [f"train.ranks={ranks}"] if ranks else []
    options = report.options(run_id, runs_dir, data_root, allow_code, download, as_json, quiet)
    if script.is_script(preset):
        if settings or download or data_root is not None:
            raise typer.BadParameter(
                _(
                    "{file} is a script; settings of presets do not hold for it: give it arguments after --",
                    file=preset,
                )
            )
        if as_json and not detached:
            raise typer.BadParameter(_("--json: a script prints what it wants; use it with --detach"))
        begun = script.run(preset, arguments or [], options, resume_if_exists=resume_if_exists, detached=detached)
        report.print_started(begun, as_json=as_json)
        return 0
    if arguments:
        raise typer.BadParameter(
            _("{given}: only a script takes arguments; a preset is changed by --set", given=" ".join(arguments))
        )
    if detached:
        report.print_started(start.detach(preset, settings, options), as_json=as_json)
        return 0
    return start.run(preset, settings, options, resume_if_exists=resume_if_exists)


@train_app.command(
    help=_("Train a preset, and watch and steer it on a screen. Leaving the screen does not stop the run.")
)
def console(
    preset: Preset,
    *,
    overrides: Overrides = None,
    run_id: RunId = None,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    fps: Fps = None,
    ascii_only: Ascii = False,
    theme: Theme = None,
) -> int:
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


@train_app.command(help=_("Open the screen of a run, live or ended."))
def attach(
    run: Run,
    *,
    read_only: Annotated[
        bool, typer.Option("--read-only", help=_("Show the run without any key that changes it."))
    ] = False,
    runs_dir: RunsDir = None,
    fps: Fps = None,
    ascii_only: Ascii = False,
    theme: Theme = None,
) -> int:
    import tui

    return tui.open_console(
        run=run, read_only=read_only, runs_dir=runs_dir, fps=fps, ascii_only=ascii_only, theme=theme
    )


@train_app.command(help=_("Continue a paused run, or a stopped one from its last checkpoint."))
def resume(
    run: Run,
    *,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    ranks: Ranks = None,
    detached: Detached = False,
    folder: ScriptFolder = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from engine.cli import report
    from engine.launch import start

    options = report.options(None, runs_dir, data_root, allow_code, as_json=as_json, quiet=quiet, folder=folder)
    options = replace(options, ranks=ranks)
    if detached:
        found = start.found(run, runs_dir)
        start.detach_resume(found, options)
        report.print_started(found, as_json=as_json)
        return 0
    return start.resume(run, options)


@train_app.command(help=_("Train a new run from another run's checkpoint, with other settings."))
def fork(
    run: Run,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- ARGS…", help=_("Other arguments of a script, after two dashes.")),
    ] = None,
    *,
    at: Annotated[
        int | None,
        typer.Option(
            "--at", metavar="STEP", help=_("The checkpoint's step. [default: the last one]"), parser=step_number
        ),
    ] = None,
    member: Annotated[
        int | None,
        typer.Option(
            "--member", metavar="N", help=_("The member of a run with several models that trains on alone.")
        ),
    ] = None,
    overrides: Overrides = None,
    run_id: NewRunId = None,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    detached: Detached = False,
    folder: ScriptFolder = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from engine.cli import report
    from engine.launch import start

    options = report.options(run_id, runs_dir, data_root, allow_code, as_json=as_json, quiet=quiet, folder=folder)
    if detached:
        forked = start.detach_fork(
            start.found(run, runs_dir), at, overrides or [], options, member=member, arguments=arguments
        )
        report.print_started(forked, as_json=as_json)
        return 0
    return start.fork(run, at, overrides or [], options, member=member, arguments=arguments)


@train_app.command(help=_("Train a run again, with every command at its step, and compare the two."))
def replay(
    run: Run,
    *,
    run_id: NewRunId = None,
    runs_dir: RunsDir = None,
    data_root: DataRoot = None,
    allow_code: AllowCode = False,
    folder: ScriptFolder = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> int:
    from engine.cli import report
    from engine.launch import start

    return start.replay(
        run, report.options(run_id, runs_dir, data_root, allow_code, as_json=as_json, quiet=quiet, folder=folder)
    )
