"""`descent pause RUN` and the like: commands to a run that trains, each a few lines."""

from typing import Annotated

import typer

from engine.cli.options import Json, Run, RunsDir, step_number

live_app = typer.Typer()


@live_app.command()
def pause(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    """Let a live run stand still; `descent resume` goes on."""
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "pause", {}, as_json=as_json)


@live_app.command()
def step(
    run: Run,
    steps: Annotated[int, typer.Argument(help="How many.")] = 1,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Train a paused run for one step, or a few."""
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "step", {"steps": steps}, as_json=as_json)


@live_app.command("set")
def set_(
    run: Run,
    edits: Annotated[list[str], typer.Argument(metavar="KEY=VALUE…", help="As in optimizer.lr=0.01.")],
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Change a live run: learning rate, momentum, weight decay, dropout, clipping, batch size, augmentation …"""
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "set", {"edits": edits}, as_json=as_json)


@live_app.command()
def checkpoint(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    """Save a live run now."""
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "checkpoint", {}, as_json=as_json)


@live_app.command()
def evaluate(run: Run, runs_dir: RunsDir = None, as_json: Json = False) -> int:
    """Loss and accuracy of a live run on its validation split, now."""
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "evaluate", {}, as_json=as_json)


@live_app.command()
def picture(
    run: Run,
    kind: Annotated[str | None, typer.Argument(metavar="[KIND]", help="Else list the kinds that there are.")] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="OPTION=VALUE", help="As in --set resolution=100; repeatable."),
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Draw the model into a file: decision boundary, confusion matrix, worst mistakes, filters, histograms …"""
    from engine.cli import live_view

    if kind is None:
        return live_view.picture_kinds(run, runs_dir, as_json=as_json)
    return live_view.draw_picture(run, kind, options or [], runs_dir, as_json=as_json)


@live_app.command()
def extend(
    run: Run,
    epochs: Annotated[int, typer.Option("--epochs", help="So many more passes.")] = 0,
    steps: Annotated[int, typer.Option("--steps", help="So many more updates.")] = 0,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Let a live run train longer."""
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "extend", {"epochs": epochs, "steps": steps}, as_json=as_json)


@live_app.command()
def rewind(
    run: Run,
    to: Annotated[
        int | None, typer.Argument(metavar="[STEP]", help="Else the last checkpoint.", parser=step_number)
    ] = None,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """Take a live run back to a checkpoint; what came after stays on the disk."""
    from engine.cli import live_view

    return live_view.give(run, runs_dir, "rewind", {"to": to}, as_json=as_json)


@live_app.command()
def stop(
    run: Run,
    now: Annotated[bool, typer.Option("--now", help="After the step under way; the default.")] = False,
    after_epoch: Annotated[bool, typer.Option("--after-epoch", help="At the end of the epoch.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Without saving.")] = False,
    runs_dir: RunsDir = None,
    as_json: Json = False,
) -> int:
    """End a live run: save it, and say where."""
    from engine.cli import live_view

    if now + after_epoch + discard > 1:
        raise typer.BadParameter("--now, --after-epoch and --discard exclude one another")
    how = "epoch" if after_epoch else "discard" if discard else "now"
    return live_view.give(run, runs_dir, "stop", {"how": how}, as_json=as_json)
