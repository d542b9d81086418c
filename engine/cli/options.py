"""The options and arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer


def step_number(text: str) -> int:
    """A step as it is printed, 8,400, or plain."""
    digits = text.replace(",", "")
    if not digits.isdecimal():
        raise typer.BadParameter(f"{text!r} is not a step; give a whole number")
    return int(digits)


Preset = Annotated[str, typer.Argument(help="A preset's name, or its .toml file.")]
RunId = Annotated[str | None, typer.Option("--id", metavar="NAME", help="The run's id.")]
NewRunId = Annotated[str | None, typer.Option("--id", metavar="NAME", help="The new run's id.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")]
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
Detached = Annotated[bool, typer.Option("--detach", help="Train in the background; print the run's id and return.")]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="An id, its beginning or last four letters, a path, or `last`.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, as in --set optimizer.lr=0.1; repeatable."),
]
Repeats = Annotated[
    int | None, typer.Option("--repeats", metavar="N", help="Train N models together, with a seed each.")
]
Folds = Annotated[
    int | None, typer.Option("--folds", metavar="K", help="Train K models together: K-fold cross-validation.")
]
Sweep = Annotated[
    list[str] | None,
    typer.Option("--sweep", metavar="KEY=[…]", help="Compare values, as in optimizer.lr=[0.1,0.01]; repeatable."),
]
Draws = Annotated[
    int | None, typer.Option("--draws", metavar="N", help="Draw N candidates of the sweep, not all combinations.")
]

Fps = Annotated[float | None, typer.Option("--fps", help="Frames a second [default: 10, over SSH 4].")]
Ascii = Annotated[bool, typer.Option("--ascii", help="Draw with ASCII alone.")]
Theme = Annotated[str | None, typer.Option("--theme", metavar="NAME", help="dark, light, contrast or ansi.")]
