"""The command line, assembled from the files of this folder.

Each command is a few lines. The code that does its work is imported when the command runs.
"""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from descent.common.i18n import N_, _, language
from engine.cli.lab import class_app, lab_app
from engine.cli.learned import learned_app
from engine.cli.live import live_app
from engine.cli.options import Lang
from engine.cli.presets import data_app, presets_app
from engine.cli.runs import runs_app
from engine.cli.study import study_app
from engine.cli.train import train_app

# Click wraps the help by letters, and a Korean letter takes two cells.
_HELP_WIDTH = 56 if language() == "ko" else 80
# The commands of each group, in the order of the help. A command that is in none is listed last.
_GROUPS = (
    (N_("Train"), ("run", "console", "attach", "resume", "fork", "replay", "study", "presets", "data")),
    (N_("Look"), ("runs", "show", "compare", "note", "picture", "predict", "export", "rm", "doctor", "mcp")),
    (N_("Steer"), ("pause", "step", "set", "checkpoint", "evaluate", "extend", "action", "rewind", "stop")),
    (N_("Course"), ("lab", "class")),
)


class _Commands(TyperGroup):
    """The command, whose help lists the commands in groups, each with the whole of its first sentence."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        left = dict(self.commands)
        for title, names in (*_GROUPS, (N_("Others"), tuple(self.commands))):
            found = [(name, left.pop(name)) for name in names if name in left]
            rows = [(name, command.get_short_help_str(limit=1000)) for name, command in found if not command.hidden]
            if rows:
                with formatter.section(_(title)):
                    formatter.write_dl(rows)


# The help is plain: importing Rich would take a third of the time that `descent --help` may take.
app = typer.Typer(
    name="descent",
    cls=_Commands,
    help=_("A training console for PyTorch: `descent` opens it, `descent run digits-mlp` trains without a screen."),
    rich_markup_mode=None,
    suggest_commands=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": _HELP_WIDTH},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from descent.common.paths import version

        print(f"descent {version()}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def descent(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help=_("Print the version."))
    ] = False,
    lang: Lang = None,
) -> int:
    if context.invoked_subcommand is not None:
        return 0
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        print(context.get_help())
    import tui

    return tui.open_console()


app.add_typer(train_app)
app.add_typer(runs_app)
app.add_typer(learned_app)
app.add_typer(live_app)
app.add_typer(presets_app, name="presets")
app.add_typer(data_app, name="data")
app.add_typer(study_app, name="study")
app.add_typer(lab_app, name="lab")
app.add_typer(class_app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    from descent.common.exit import end

    words = list(sys.argv[1:] if arguments is None else arguments)
    return end(lambda: app_command(words), as_json="--json" in words)


def app_command(words: list[str]) -> object:
    """Run the command in `words` and return its exit code. Its exceptions pass through."""
    wrong_use: Any = typer.BadParameter.__base__  # Typer keeps click's UsageError to itself
    try:
        return typer.main.get_command(app).main(words, prog_name="descent", standalone_mode=False)
    except wrong_use as error:
        from engine.cli import slips

        meant = slips.meant(error, words)
        if not meant:
            raise
        error.possibilities = None  # options that are spelled alike
        raise wrong_use(f"{error.format_message()}\n{meant}", error.ctx) from None
