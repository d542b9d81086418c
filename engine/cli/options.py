"""Options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

from descent.common import stdio
from descent.common.errors import DescentError
from descent.common.i18n import LANGUAGES, Language, _, keep


def step_number(text: str) -> int:
    """Read a step, with or without separators: 8,400 or 8400."""
    digits = text.replace(",", "")
    if not digits.isdecimal():
        raise typer.BadParameter(_("{given!r} is not a step; give a whole number", given=text))
    return int(digits)


def _speak(code: str) -> Language:
    """Use a language from now on, in later sessions too."""
    chosen = next((language for language in LANGUAGES if language == code), None)
    if chosen is None:
        raise typer.BadParameter(_("{given!r}: must be en or ko", given=code))
    try:
        keep(chosen)
    except DescentError as error:  # it is used now all the same
        stdio.complain(str(error))
    return chosen


# Eager: the messages of the other options are in this language already.
Lang = Annotated[
    Language | None,
    typer.Option(
        "--lang",
        metavar="en|ko",
        parser=_speak,
        is_eager=True,
        help=_("The language of all texts, kept for later. [default: the system's]"),
    ),
]
Preset = Annotated[str, typer.Argument(help=_("A preset's name or its .toml file."))]
PresetOrScript = Annotated[
    str, typer.Argument(metavar="PRESET", help=_("A preset's name or its .toml file, or a training script, .py."))
]
RunId = Annotated[str | None, typer.Option("--id", metavar="NAME", help=_("The run's id."))]
NewRunId = Annotated[str | None, typer.Option("--id", metavar="NAME", help=_("The new run's id."))]
Yes = Annotated[bool, typer.Option("--yes", "-y", help=_("Delete without asking."))]
Json = Annotated[bool, typer.Option("--json", help=_("Print one JSON object, on the last line."))]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help=_("Print errors only."))]
RunsDir = Annotated[
    Path | None,
    typer.Option("--runs-dir", help=_("The folder of all runs [default: $DESCENT_RUNS, else ./runs].")),
]
ScriptFolder = Annotated[
    Path | None, typer.Option("--folder", metavar="DIR", help=_("Of a script: the folder its project was moved to."))
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help=_("The folder of downloaded data [default: $DESCENT_DATA]."))
]
AllowCode = Annotated[bool, typer.Option("--allow-code", help=_("Agree to run the code file that the preset names."))]
Detached = Annotated[
    bool, typer.Option("--detach", help=_("Train in the background; print the run's id and return."))
]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help=_("A run's id, its beginning or last four letters, a path, or `last`."))
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help=_("Change a setting, such as optimizer.lr=0.1; repeatable.")),
]
Repeats = Annotated[
    int | None, typer.Option("--repeats", metavar="N", help=_("Train N models together, each with its own seed."))
]
Folds = Annotated[
    int | None, typer.Option("--folds", metavar="K", help=_("Train K models together: K-fold cross-validation."))
]
Sweep = Annotated[
    list[str] | None,
    typer.Option(
        "--sweep", metavar="KEY=[…]", help=_("Compare values, such as optimizer.lr=[0.1,0.01]; repeatable.")
    ),
]
Draws = Annotated[
    int | None,
    typer.Option(
        "--draws", metavar="N", help=_("Draw N random candidates of the sweep instead of all combinations.")
    ),
]
Ranks = Annotated[
    int | None, typer.Option("--ranks", metavar="N", min=1, help=_("Train in N processes that work together."))
]

Fps = Annotated[float | None, typer.Option("--fps", help=_("Frames per second [default: 10, over SSH 4]."))]
Ascii = Annotated[bool, typer.Option("--ascii", help=_("Draw with ASCII characters only."))]
Theme = Annotated[
    str | None,
    typer.Option(
        "--theme", metavar="NAME", help=_("dark, light, contrast, ansi, nord, gruvbox, dracula … (tui/README).")
    ),
]
