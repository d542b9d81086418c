"""What a command line that Typer refuses was probably meant to be, for the end of the message."""

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer.core import TyperGroup

from descent.common import paths
from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import likely
from descent.run import find

# The commands of other tools, and what they are here.
_OTHER_WORDS = {
    "train": "run", "start": "run", "watch": "attach", "open": "attach", "view": "attach", "log": "attach",
    "logs": "attach", "ls": "runs", "list": "runs", "ps": "runs", "status": "show", "info": "show", "diff": "compare",
    "delete": "rm", "remove": "rm", "kill": "stop", "cancel": "stop", "save": "checkpoint", "unpause": "resume",
    "continue": "resume", "restart": "resume", "back": "rewind", "branch": "fork", "eval": "evaluate",
    "validate": "evaluate", "edit": "set", "change": "set",
}  # fmt: skip


def meant(error: Any, words: Sequence[str]) -> str:
    """Return a line that says what to type, or "" if nothing is known. error: Typer's usage error."""
    if error.ctx is None:
        return ""
    command = error.ctx.command
    if command.name == "descent":
        lines = _commands(words, list(command.commands))
    elif command.name not in words:
        return ""
    else:
        at = words.index(command.name) + 1
        before, rest = list(words[:at]), list(words[at:])
        if isinstance(command, TyperGroup):  # such as `descent presets`
            close = likely(next(iter(rest), ""), command.commands)
            lines = [] if close is None else [_command(*before, close, *rest[1:])]
        elif type(error).__name__ == "MissingParameter":
            lines = _missing(command.name, error.param.name, rest)
        else:
            lines = _arguments(command, rest, is_option_wrong=type(error).__name__ == "NoSuchOption")
    return _("Did you mean: {command}", command=_(" or ").join(lines)) if lines else ""


def _command(*words: str) -> str:
    return shlex.join(["descent", *words])


def _commands(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """Return what is meant by a first word that is no command: another tool's, a script, a preset or a run."""
    word, *rest = words or [""]
    if word == "help":
        return [_command(*rest, "--help")]
    if word in _OTHER_WORDS:
        return [_command(_OTHER_WORDS[word], *rest)]
    if _is_script(word):
        return [_run_of_script(word, rest)]
    with contextlib.suppress(DescentError):
        find.find_run(word, paths.runs_dir(None))
        return [_command("attach", word), _command("show", word)]
    from engine.preset.find import preset_names

    names = preset_names()
    close = likely(word, [*commands, *names])
    return [] if close is None else [_command(*(["run"] if close in names else []), close, *rest)]


def _missing(command: str, name: str, rest: Sequence[str]) -> list[str]:
    """Return what is meant where an argument is missing: in most cases the run."""
    if name == "run":
        return [_command(command, "last", *(rest or ["optimizer.lr=0.01"] * (command == "set")))]
    if command == "set" and any("=" in word for word in rest):
        return [_command("set", "last", *rest)]
    return []


def _arguments(command: Any, rest: list[str], *, is_option_wrong: bool) -> list[str]:
    """Return what is meant by arguments or options that a command does not take. rest: all that were given."""
    run, *more = rest or [""]
    numbers = [word for word in more if word.isdecimal()]
    match command.name:
        case "run" if (script := next(filter(_is_script, rest), None)) is not None:
            others = [] if rest[0].startswith("python") else rest[: rest.index(script)]
            own, theirs = _divided(command, [*others, *rest[rest.index(script) + 1 :]])
            return [_run_of_script(script, theirs, own)]
        case "extend" if numbers:
            return [_command("extend", run, unit, numbers[0]) for unit in ("--epochs", "--steps")]
        case "rewind" | "step" if numbers:
            return [_command(command.name, run, numbers[0])]
        case "set" if len(more) > 1 and more[0].startswith("--"):
            return [_command("set", run, f"{more[0].removeprefix('--')}={more[1]}")]
        case "fork" if any(word.startswith("--") for word in more):
            own, theirs = _divided(command, more)
            return [_("{command}, or --set KEY=VALUE", command=_command("fork", run, *own, "--", *theirs))]
    return [] if is_option_wrong else _as_options(command, run, more)


def _as_options(command: Any, run: str, words: Sequence[str]) -> list[str]:
    """Return what is meant where an option lacks its two dashes, or a file its --out."""
    own, others = _divided(command, words)
    options = [name for one in command.params for name in one.opts]
    flags = [f"--{word}" for word in others if f"--{word}" in options]
    files = ["--out", others[0]] if "--out" in options and not flags and len(others) == 1 else []
    return [_command(command.name, run, *own, *flags, *files)] if flags or files else []


def _divided(command: Any, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options that a command itself takes, with their values, and the other words."""
    options = {name: one for one in command.params for name in one.opts if name.startswith("-")}
    own: list[str] = []
    others: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        option = options.get(word.partition("=")[0])
        (others if option is None else own).append(word)
        if option is not None and not option.is_flag and "=" not in word and left:
            own.append(left.pop(0))
    return own, [word for word in others if word != "--"]


def _run_of_script(script: str, arguments: Sequence[str], own: Sequence[str] = ()) -> str:
    return _command("run", script, *own, *(["--", *arguments] if arguments else []))


def _is_script(word: str) -> bool:
    return word.endswith(".py") and Path(word).is_file()
