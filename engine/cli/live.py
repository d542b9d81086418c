"""Commands such as `descent pause RUN` to a live run, each a few lines."""

from typing import Annotated

import typer

from descent.common.i18n import _
from engine.cli.options import Json, Run, RunsDir, step_number

live_app = typer.Typer()


@live_app.command(help=_("Pause a run; `descent resume` continues it."))
def pause(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "pause", {}, as_json=as_json)


@live_app.command(help=_("Train a paused run for one step, or for a few."))
def step(
    run: Run,
    steps: Annotated[int, typer.Argument(help=_("Number of steps."))] = 1,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "step", {"steps": steps}, as_json=as_json)


@live_app.command(
    "set",
    help=_("Change a live run: learning rate, momentum, weight decay, dropout, clipping, batch size, augmentation …"),
)
def set_(
    run: Run,
    edits: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE…", help=_("A setting and its new value, such as optimizer.lr=0.01.")),
    ],
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    from engine.cli import live_view

    if len(edits) == 2 and not any("=" in word for word in edits):
        edits = ["=".join(edits)]
    return live_view.give(run, runs_dir, "set", {"edits": edits}, as_json=as_json)


@live_app.command(help=_("Save a checkpoint of a live run now."))
def checkpoint(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "checkpoint", {}, as_json=as_json)


@live_app.command(help=_("Evaluate a live run on its validation split now."))
def evaluate(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "evaluate", {}, as_json=as_json)


@live_app.command(
    help=_("Draw the model into a file: decision boundary, confusion matrix, worst mistakes, filters, histograms …")
)
def picture(
    run: Run,
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help=_("Without it, the kinds are listed."))] = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="OPTION=VALUE", help=_("An option of the picture, such as resolution=100; repeatable.")
        ),
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    from engine.cli import live_view

    if kind is None:
        return live_view.picture_kinds(run, runs_dir, as_json=as_json)
    return live_view.draw_picture(run, kind, options or [], runs_dir, as_json=as_json)


@live_app.command(help=_("Train a live run for longer."))
def extend(
    run: Run,
    epochs: Annotated[int, typer.Option("--epochs", help=_("Number of epochs to add."))] = 0,
    steps: Annotated[int, typer.Option("--steps", help=_("Number of steps to add."))] = 0,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "extend", {"epochs": epochs, "steps": steps}, as_json=as_json)


@live_app.command(help=_("Call a function that a live run's script has declared: run.action(name, function)."))
def action(
    run: Run,
    name: Annotated[str | None, typer.Argument(metavar="NAME", help=_("Without it, the actions are listed."))] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    from engine.cli import live_view

    if name is None:
        return live_view.list_actions(run, runs_dir, as_json=as_json)
    return live_view.give(run, runs_dir, "action", {"name": name}, as_json=as_json)


@live_app.command(help=_("Rewind a live run to a checkpoint. Later steps stay on disk."))
def rewind(
    run: Run,
    to: Annotated[
        int | None,
        typer.Argument(metavar="STEP", help=_("The checkpoint's step. [default: the last one]"), parser=step_number),
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "rewind", {"to": to}, as_json=as_json)


@live_app.command(help=_("Stop a run and save a checkpoint."))
def stop(
    run: Run,
    now: Annotated[bool, typer.Option("--now", help=_("After the current step; the default."))] = False,
    after_epoch: Annotated[bool, typer.Option("--after-epoch", help=_("At the end of the epoch."))] = False,
    discard: Annotated[bool, typer.Option("--discard", help=_("Without saving a checkpoint."))] = False,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    from engine.cli import live_view

    if now + after_epoch + discard > 1:
        raise typer.BadParameter(_("--now, --after-epoch and --discard exclude one another"))
    how = "epoch" if after_epoch else "discard" if discard else "now"
    return live_view.give(run, runs_dir, "stop", {"how": how}, as_json=as_json)


@live_app.command(help=_("Show your runs to an AI assistant: an MCP server on stdin and stdout."))
def mcp(
    steer: Annotated[
        bool, typer.Option("--steer", help=_("Also let it steer: pause, set, rewind, fork, stop …"))
    ] = False,
    runs_dir: RunsDir = None,
) -> None:
    from descent.mcp_server import serve

    serve(runs_dir, steer=steer)
