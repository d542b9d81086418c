"""Commands `descent lab …`, each a few lines."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import likely, show
from engine.cli.options import Json, Lang

if TYPE_CHECKING:
    from engine.labs.library import Lab
    from engine.labs.progress import Progress


class LabGroup(TyperGroup):
    """Opens a lab whose id is in the place of a command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            from engine.labs import library

            if not library.is_known(args[0]):
                raise DescentError(_not_a_command(args[0], [name for name in self.commands if name != _OPEN]))
            args = [_OPEN, *args]
        return super().resolve_command(ctx, args)


def _not_a_command(word: str, commands: list[str]) -> str:
    from engine.labs import library

    ids = [lab.id for lab in library.labs()]
    meant = likely(word, [*commands, *ids])
    if meant is not None:
        line = f"descent lab {meant}"
        return _("{word}: no lab and no command of descent lab; did you mean {line}?", word=show(word), line=line)
    names = ", ".join(commands)
    return _(
        "{word}: no lab (descent lab list) and no command of descent lab; there are: {names}",
        word=show(word),
        names=names,
    )


_OPEN = "open"  # what `descent lab ID` does

lab_app = typer.Typer(
    cls=LabGroup,
    help=_("The labs of a course. Without a command, continue where you were; with a lab's ID alone, open that lab."),
)

class_app = typer.Typer()

Id = Annotated[str, typer.Argument(metavar="ID", help=_("A lab's id, as in `descent lab list`."))]
Instructor = Annotated[
    Path | None,
    typer.Option(
        "--instructor",
        metavar="DIR",
        help=_("The folder of ID/hidden.toml, with hidden seeds and criteria. [default: $DESCENT_INSTRUCTOR]"),
    ),
]


@lab_app.callback(invoke_without_command=True)
def lab(context: typer.Context, lang: Lang = None) -> int:
    if context.invoked_subcommand is not None:
        return 0
    from engine.cli import lab_view
    from engine.labs import flow

    progress = _progress()
    upcoming = flow.upcoming(progress)
    if upcoming is not None and _has_screen():
        return _on_screen(upcoming)
    lab_view.show_next(upcoming, progress)
    return 0


@lab_app.command(_OPEN, hidden=True, help=_("Open a lab. Without a terminal, print its text and its next step."))
def lab_open(lab_id: Id, *, lang: Lang = None) -> int:
    from engine.cli import lab_view

    found, progress = _find(lab_id), _progress()
    if _has_screen():
        return _on_screen(found)
    lab_view.show_lab(found)
    lab_view.show_next(found, progress)
    return 0


@lab_app.command("list", help=_("List the labs, your attempts and your best results."))
def lab_list(*, lang: Lang = None, as_json: Json = False) -> None:
    from engine.cli import lab_view
    from engine.labs import library

    progress = _progress()
    lab_view.show_list(library.all_labs(), progress, as_json=as_json)


@lab_app.command(
    "start", help=_("Copy a lab's preset, and the code to complete if it has any, into the current folder.")
)
def lab_start(
    lab_id: Id,
    *,
    again: Annotated[bool, typer.Option("--again", help=_("Start over: move your files of this lab aside."))] = False,
    lang: Lang = None,
) -> None:
    from engine.cli import lab_view
    from engine.labs import flow

    found, before = _find(lab_id), _progress()
    left = flow.folder_of_files(found, before)
    files = flow.start(found, Path.cwd(), again)
    lab_view.show_lab(found)
    print()
    lab_view.show_written(files)
    if left is not None and left != Path.cwd():
        lab_view.show_move(found, left)
    lab_view.show_next(found, _progress(), at_work=True)


@lab_app.command("predict", help=_("Predict the results before anything runs. Predictions are final."))
def lab_predict(
    lab_id: Id,
    answers: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help=_("Predictions. Without any, you are asked."))
    ] = None,
    *,
    lang: Lang = None,
) -> None:
    from engine.cli import lab_view
    from engine.labs import flow

    found, progress = _find(lab_id), _progress()
    given = flow.pairs(found, answers) if answers else lab_view.ask(found, progress)
    progress = flow.predict(found, given)
    lab_view.show_predictions(found, progress)
    lab_view.show_next(found, progress)


@lab_app.command(
    "hint", help=_("Show a hint: what to look at, then which setting to change, then the answer. Hints cost nothing.")
)
def lab_hint(
    lab_id: Id,
    *,
    level: Annotated[
        int | None,
        typer.Option(
            "--level", metavar="1|2|3", help=_("The hint's level. [default: the next one you have not seen]")
        ),
    ] = None,
    lang: Lang = None,
) -> None:
    from engine.cli import lab_view
    from engine.labs import flow

    _progress()
    found = _find(lab_id)
    lab_view.show_hint(flow.hint(found, level))


@lab_app.command("explain", help=_("Show the explanation after you passed, then the next lab."))
def lab_explain(lab_id: Id, *, lang: Lang = None) -> None:
    from engine.cli import lab_view
    from engine.labs import flow

    _progress()
    found = _find(lab_id)
    lab_view.show_explanation(flow.explain(found))
    progress = _progress()
    lab_view.show_next(found, progress)


@lab_app.command("solution", help=_("Show the reference solution after you passed."))
def lab_solution(
    lab_id: Id,
    *,
    instructor: Annotated[bool, typer.Option("--instructor", help=_("Show it before a pass too."))] = False,
    lang: Lang = None,
) -> None:
    from engine.cli import lab_view
    from engine.labs import flow

    _progress()
    found = _find(lab_id)
    lab_view.show_solution(found, flow.solution(found, instructor=instructor))


@lab_app.command("new", help=_("Create the folder ID with a small, complete lab as the start of your own."))
def lab_new(
    lab_id: Id,
    *,
    code: Annotated[bool, typer.Option("--code", help=_("One in which the learner writes code, too."))] = False,
    lang: Lang = None,
) -> None:
    from engine.labs import template

    for file in template.make(lab_id, Path.cwd(), code=code):
        print(file)


@lab_app.command(
    "try",
    help=_("Grade a lab's start and solution. Exit code 0: the solution passes every time, and the start never."),
)
def lab_try(
    lab_id: Id,
    *,
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help=_("Gradings of each, with other seeds."))
    ] = 3,
    instructor: Instructor = None,
    lang: Lang = None,
    as_json: Json = False,
) -> int:
    from engine.cli import try_view
    from engine.labs import library

    return try_view.try_lab(_find(lab_id), seeds, library.instructor_of(instructor), as_json)


@lab_app.command(
    "check", help=_("Grade the lab with its own seeds in a fresh process. Exit code 0: passed, 1: not yet.")
)
def lab_check(lab_id: Id, *, lang: Lang = None, as_json: Json = False) -> int:
    from engine.cli import lab_view

    _progress()
    return lab_view.grade_lab(lab_id, as_json)


@lab_app.command("watch", help=_("Grade the lab quickly, with one seed, whenever one of its files is saved."))
def lab_watch(lab_id: Id, *, lang: Lang = None) -> int:
    from engine.cli.lab_watch import watch_again

    _progress()
    return watch_again(lab_id)


@lab_app.command(
    "report",
    help=_(
        "Write a zip to hand in: who and when, the preset, the code, attempts, edits, metrics, checks, and a page."
    ),
)
def lab_report(
    lab_id: Id,
    to: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]",
            readable=False,  # in the folder of a class nobody sees what others have handed in
            help=_("A .zip, or the folder for it. [default: ID-STUDENT.zip here]"),
        ),
    ] = None,
    *,
    student: Annotated[
        str | None,
        typer.Option(
            "--student",
            metavar="NAME",
            help=_("Your name or number, kept for later. [default: $DESCENT_STUDENT, else you are asked once]"),
        ),
    ] = None,
    lang: Lang = None,
) -> int:
    from engine.cli import lab_view

    _progress()
    return lab_view.hand_in(lab_id, to, student)


@lab_app.command("verify", help=_("Grade what was handed in again and say whether each result agrees."))
def lab_verify(
    handed_in: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help=_("Hand-ins, folders of them, or the zip that Moodle or Canvas gives of them.")
        ),
    ],
    *,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", readable=False, help=_("Also write the table as CSV into FILE.")),
    ] = None,
    moodle: Annotated[
        Path | None,
        typer.Option("--moodle", metavar="FILE", readable=False, help=_("Also write Moodle's grading worksheet.")),
    ] = None,
    canvas: Annotated[
        Path | None,
        typer.Option("--canvas", metavar="FILE", readable=False, help=_("Also write Canvas's gradebook.")),
    ] = None,
    instructor: Instructor = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", metavar="N", min=1, help=_("Gradings at once. [default: half the cores]")),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help=_("Grade anew what was graded before with the same lab."))
    ] = False,
    allow_code: Annotated[
        bool,
        typer.Option(
            "--allow-code",
            help=_("Run the code that was handed in, kept from your files, the network and other processes."),
        ),
    ] = False,
    unprotected: Annotated[
        bool,
        typer.Option(
            "--unprotected",
            help=_("With --allow-code: run it even where it can't be kept from your files. See `descent doctor`."),
        ),
    ] = False,
    lang: Lang = None,
    as_json: Json = False,
) -> int:
    from engine.cli import handins_view
    from engine.labs import library, regrade
    from engine.labs.sandbox.enclosure import ENOUGH, LEVELS

    _progress()
    settings = regrade.Settings(
        allow_code=allow_code,
        least=LEVELS[0] if unprotected else ENOUGH,
        instructor=library.instructor_of(instructor),
        at_once=jobs or regrade.half_the_cores(),
        again=again,
    )
    return handins_view.verify(handed_in, settings, table=csv, moodle=moodle, canvas=canvas, as_json=as_json)


@class_app.command("class", help=_("Show who has handed in what: students and labs, what is late, what was hard."))
def class_table(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help=_("The hand-ins, and roster.csv and due.csv if there are any."))
    ],
    *,
    roster: Annotated[
        Path | None,
        typer.Option(
            "--roster", metavar="FILE", help=_("CSV with the columns id and name. [default: FOLDER/roster.csv]")
        ),
    ] = None,
    due: Annotated[
        Path | None,
        typer.Option("--due", metavar="FILE", help=_("CSV with the columns lab and due. [default: FOLDER/due.csv]")),
    ] = None,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="FILE", readable=False, help=_("Also write the table as CSV into FILE.")),
    ] = None,
    pages: Annotated[
        Path | None,
        typer.Option(
            "--pages", metavar="DIR", readable=False, help=_("Also write a page a student, in HTML, into DIR.")
        ),
    ] = None,
    instructor: Annotated[
        Path | None,
        typer.Option("--instructor", metavar="DIR", help=_("As `descent lab verify` had it.")),
    ] = None,
    lang: Lang = None,
    as_json: Json = False,
) -> int:
    from engine.cli import handins_view
    from engine.labs import library

    return handins_view.show_class(
        folder,
        roster=roster,
        due=due,
        instructor=library.instructor_of(instructor),
        table=csv,
        pages=pages,
        as_json=as_json,
    )


def _has_screen() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _on_screen(lab: "Lab") -> int:
    import tui

    return tui.open_console(lab=lab.id)


def _find(lab_id: str) -> "Lab":
    from engine.labs import library

    return library.find_lab(lab_id)


def _progress() -> "Progress":
    """Load the learner's progress and print its notes: the first load tells what is wrong with the file."""
    from descent.common import stdio
    from engine.labs import progress

    found = progress.load()
    for note in found.notes:
        stdio.complain(note)
    return found
