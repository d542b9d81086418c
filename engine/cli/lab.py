"""`descent lab …`: each command in a few lines."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from descent.common.i18n import Language, keep
from engine.cli.options import Json

if TYPE_CHECKING:
    from engine.labs.library import Lab
    from engine.labs.progress import Progress


lab_app = typer.Typer(help="The labs of a course: predict, train, be graded, read why.")

Id = Annotated[str, typer.Argument(metavar="ID", help="A lab's id, as in `descent lab list`.")]
Lang = Annotated[
    Language | None, typer.Option("--lang", metavar="en|ko", help="The language; kept. [default: the locale's]")
]


@lab_app.callback(invoke_without_command=True)
def lab(context: typer.Context, lang: Lang = None) -> int:
    """Go on where you were."""
    if context.invoked_subcommand is not None:
        return 0
    _speak(lang)
    from engine.cli import lab_view
    from engine.labs import flow

    progress = _progress()
    upcoming = flow.upcoming(progress)
    if sys.stdin.isatty() and sys.stdout.isatty() and upcoming is not None:
        import tui

        return tui.open_console(lab=upcoming.id)
    lab_view.show_next(upcoming, progress)
    return 0


@lab_app.command("list")
def lab_list(*, lang: Lang = None, as_json: Json = False) -> None:
    """List the labs, how often you tried each, and the best you reached."""
    from engine.cli import lab_view
    from engine.labs import library

    _speak(lang)
    progress = _progress()
    lab_view.show_list(library.all_labs(), progress, as_json=as_json)


@lab_app.command("start")
def lab_start(
    lab_id: Id,
    *,
    again: Annotated[bool, typer.Option("--again", help="Begin anew: move the files that are here aside.")] = False,
    lang: Lang = None,
) -> None:
    """Put a lab's preset, and the code to fill where there is some, into the current folder."""
    from engine.cli import lab_view
    from engine.labs import flow

    _speak(lang)
    found = _find(lab_id)
    files = flow.start(found, Path.cwd(), again)
    lab_view.show_lab(found)
    print()
    lab_view.show_written(files)
    lab_view.show_next(found, _progress())


@lab_app.command("predict")
def lab_predict(
    lab_id: Id,
    answers: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Predictions; without any, you are asked.")
    ] = None,
    *,
    lang: Lang = None,
) -> None:
    """Say what you think will come out. It is final, and comes before anything runs."""
    from engine.cli import lab_view
    from engine.labs import flow

    _speak(lang)
    found, progress = _find(lab_id), _progress()
    given = flow.pairs(found, answers) if answers else lab_view.ask(found, progress)
    progress = flow.predict(found, given)
    lab_view.show_predictions(found, progress)
    lab_view.show_next(found, progress)


@lab_app.command("hint")
def lab_hint(
    lab_id: Id,
    *,
    level: Annotated[
        int | None, typer.Option("--level", metavar="1|2|3", help="That one; else the next you have not seen.")
    ] = None,
    lang: Lang = None,
) -> None:
    """Show a hint: what to look at, then which knob, then the worked answer. It costs nothing."""
    from engine.cli import lab_view
    from engine.labs import flow

    _speak(lang)
    found = _find(lab_id)
    lab_view.show_hint(*flow.hint(found, level))


@lab_app.command("explain")
def lab_explain(lab_id: Id, *, lang: Lang = None) -> None:
    """Show, after a pass, why it came out so; then the next lab."""
    from engine.cli import lab_view
    from engine.labs import flow

    _speak(lang)
    found = _find(lab_id)
    lab_view.show_explanation(flow.explain(found))
    progress = _progress()
    lab_view.show_next(flow.upcoming(progress), progress)


@lab_app.command("solution")
def lab_solution(
    lab_id: Id,
    *,
    instructor: Annotated[bool, typer.Option("--instructor", help="Before a pass too.")] = False,
    lang: Lang = None,
) -> None:
    """Show, after a pass, the reference solution."""
    from engine.cli import lab_view
    from engine.labs import flow

    _speak(lang)
    found = _find(lab_id)
    lab_view.show_solution(found, flow.solution(found, instructor=instructor))


@lab_app.command("new")
def lab_new(lab_id: Id) -> None:
    """Make the folder ID with a small lab, whole and checkable, to write one's own from."""
    from engine.labs import template

    for file in template.make(lab_id, Path.cwd()):
        print(file)


@lab_app.command("check")
def lab_check(lab_id: Id, *, lang: Lang = None, as_json: Json = False) -> int:
    """Have the lab graded, with its own seeds and in a fresh process. Exit code 0: passed, 1: not yet."""
    from engine.cli import lab_view

    _speak(lang)
    return lab_view.grade_lab(lab_id, as_json)


@lab_app.command("watch")
def lab_watch(lab_id: Id, *, lang: Lang = None) -> int:
    """Run the lab quickly, with one seed, whenever one of its files is saved."""
    from engine.cli.lab_watch import watch_again

    _speak(lang)
    return watch_again(lab_id)


@lab_app.command("report")
def lab_report(
    lab_id: Id,
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="A new one. [default: ID-report]")] = None,
) -> int:
    """Write a folder to hand in: preset, code, edits, metrics, checks, a page with a plot."""
    from engine.labs import handin

    return handin.command(lab_id, folder)


@lab_app.command("verify")
def lab_verify(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders that were handed in.")],
    *,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write the table there too.")] = None,
    allow_code: Annotated[
        bool,
        typer.Option(
            "--allow-code", help="Run the code that was handed in, under limits of time and memory: no sandbox."
        ),
    ] = False,
    lang: Lang = None,
    as_json: Json = False,
) -> int:
    """Grade what was handed in once more, and say of each folder whether that agrees."""
    from engine.cli import lab_view

    _speak(lang)
    return lab_view.verify_handins(folders, csv, allow_code, as_json)


def _speak(given: Language | None) -> None:
    """Speak the language that was asked for, and keep it."""
    from descent.common.errors import DescentError

    _progress()  # the first look, which may have something to tell
    if given is None:
        return
    with contextlib.suppress(DescentError):  # where it can't be kept, it is spoken all the same
        keep(given)


def _find(lab_id: str) -> "Lab":
    from engine.labs import library

    return library.find_lab(lab_id)


def _progress() -> "Progress":
    """How far the learner is; what is to be told about the file of it is told."""
    from descent.common import stdio
    from engine.labs import progress

    found = progress.load()
    for note in found.notes:
        stdio.complain(note)
    return found
