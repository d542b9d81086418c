"""A newcomer who follows the documentation would type commands that do not exist, or follow links to nowhere."""

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from descent.run.folder import RunFolder
from engine.cli import app
from engine.launch import start as launch
from engine.launch.options import Options
from tests.helpers.workers import child

CHECKOUT = Path(__file__).resolve().parents[1]
BESIDE_THE_CODE = ("presets/labs/README.md", "presets/README.md", "tui/README.md", "engine/docs/*.md")
PAGES = [CHECKOUT / "README.md", CHECKOUT / "CONTRIBUTING.md"]
PAGES += [page for pattern in BESIDE_THE_CODE for page in sorted(CHECKOUT.glob(pattern))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)]+)\)")


def in_blocks(text: str) -> list[str]:
    """Every line of the shell blocks."""
    return [line for kind, block in BLOCK.findall(text) if kind == "sh" for line in block.splitlines()]


def in_sentences(text: str) -> list[str]:
    """What the text between the blocks names: `descent resume`, often without its arguments."""
    return [" ".join(found.split()) for found in re.findall(r"`(descent [^`]+)`", BLOCK.sub("", text))]


def words_of(line: str) -> Iterator[list[str]]:
    """The words behind every `descent` in a line."""
    for part in re.split(r" && | \\?\| ", line):
        if re.match(r"(\.venv/bin/)?descent\b", part):
            yield shlex.split(part, comments=True)[1:]


@functools.cache
def all_commands() -> Any:
    return typer.main.get_command(app)


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words ask for, and those behind its name. Raises where there is none."""
    command = all_commands()
    while words and hasattr(command, "commands") and not words[0].startswith("-") and words[0].islower():
        _name, command, words = command.resolve_command(typer.Context(command), words)
    return command, words


def named(page: Path) -> str:
    return str(page.relative_to(CHECKOUT))


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_exist_and_take_these_options(page: Path) -> None:
    """In a block a command is whole: it is parsed by the command line itself, and not run."""
    text = page.read_text()
    for line in in_blocks(text) + in_sentences(text):
        for words in words_of(line):
            command, rest = command_of(words)
            options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            rest = rest[: rest.index("--")] if "--" in rest else rest  # behind it are a script's own
            assert {word.partition("=")[0] for word in rest if word.startswith("-")} <= options, line
    for line in in_blocks(text):
        for words in words_of(line):
            command, rest = command_of(words)
            command.make_context("descent", rest)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        file, _, heading = link.partition("#")
        target = (page.parent / file) if file else page
        assert target.is_file(), link
        headings = {
            re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
            for title in re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        }
        assert not heading or heading in headings, link


def test_all_pages_are_found_from_the_readme() -> None:
    """A page that nothing links to is never read."""
    linked = {(CHECKOUT / link.partition("#")[0]).resolve() for link in LINK.findall(PAGES[0].read_text())}
    assert {page for page in PAGES[1:] if page not in linked} == set()


@pytest.mark.slow
def test_the_task_of_the_documentation_trains(tmp_path: Path) -> None:
    """Who copies the GAN would get an error, or a run that can't go on."""
    page = (CHECKOUT / "presets/README.md").read_text()
    text = next(block for kind, block in BLOCK.findall(page) if block.startswith("# gan.py"))
    (tmp_path / "gan.py").write_text(text)
    line = re.search(r"^`descent run digits-mlp (.*gan\.py.*) --allow-code`$", page, re.MULTILINE)
    assert line is not None
    settings = [word for word in shlex.split(line[1].replace("gan.py", f"{tmp_path}/gan.py")) if word != "--set"]
    options = Options("gan", tmp_path / "runs", quiet=True, allow_code=True)
    assert child(lambda: launch.run("digits-mlp", [*settings, "train.steps=60", "train.threads=1"], options)) == 0
    found = RunFolder(tmp_path / "runs" / "gan")
    assert [event["split"] for event in found.events() if event["event"] == "evaluation"][-1] == "test"
