"""A text without its translation would meet a learner in a language that he or she may not read."""

import ast
import re
import string
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message

from descent.common import i18n
from descent.common.i18n import N_, _, language, ngettext, pgettext, use_language_of
from engine import cli
from tests.helpers.korean import mended
from tests.helpers.processes import process
from tests.tools.translations import ROOT, catalogues, template

CODES = [code for code in i18n.LANGUAGES if code != "en"]
# Rooms whose every sentence is marked for translation. What a program reads, or only a developer, is not.
MARKED = ["descent", "engine", "tui"]
STYLE_WORDS = {"bold", "reverse", "dim"}  # as Rich takes them
# What programs read: kinds of events, and keys that random numbers are drawn from. A class of Fashion-MNIST keeps its
# name, and the last one is shown while there is no catalogue.
NOT_SHOWN = {
    # heads of columns, as Moodle, Canvas and spreadsheets of rosters have them
    *("full name", "Full name", "Last modified (grade)", "Feedback comments", "SIS User ID", "SIS Login ID"),
    "    Points Possible",
    "stopped early",
    "loss of every member",
    "loss of member ",
    "gradient of layer ",
    "buffer of layer ",
    " of layer ",
    "epoch order ",
    "Ankle boot",
    ".* found in sys.modules",
    ": descent.mo is missing; installing Descent makes it (pip install -e .)",
}
UNMARKED_CALLS = {"N_", "_", "ngettext", "pgettext"}


@pytest.fixture(scope="module")
def texts() -> Catalog:
    return template()


def _keys(catalogue: Catalog) -> set[tuple[str | None, str]]:
    return {(message.context, _english(message)[0]) for message in catalogue if message.id}


def _english(message: Message) -> tuple[str, ...]:
    return message.id if isinstance(message.id, tuple) else (message.id,)


def _translated(message: Message) -> tuple[str, ...]:
    return message.string if isinstance(message.string, tuple) else (message.string,)


@pytest.mark.parametrize("code", CODES)
def test_every_text_has_its_translation_and_every_translation_its_text(code: str, texts: Catalog) -> None:
    """`python -m tests.tools.translations` mends both, but for the translating."""
    there = catalogues()[code]
    assert _keys(texts) - _keys(there) == set(), "not in the catalogue"
    assert _keys(there) - _keys(texts) == set(), "no longer in the code"
    assert [message.id for message in there if message.id and not all(_translated(message))] == []
    assert [message.id for message in there if message.fuzzy and message.id] == []


@pytest.mark.parametrize("code", CODES)
def test_a_translation_fills_in_what_its_text_does(code: str) -> None:
    """A field that only one of them has would be lost, or end in a KeyError."""
    for message in catalogues()[code]:
        if message.id:
            wanted = {name for text in _english(message) for name in _fields(text)} - {"count"}
            for translated in _translated(message):
                assert set(_fields(translated)) - {"count"} == wanted, message.id


def _fields(text: str) -> Iterator[str]:
    return (name for _text, name, _form, _conversion in string.Formatter().parse(text) if name is not None)


def test_the_korean_has_one_word_for_each_term() -> None:
    """A person would take two words for two things, and wonder at the change of tone."""
    for message in catalogues()["ko"]:
        for translated in _translated(message):
            assert translated == mended(translated)


def test_a_text_is_shown_in_the_language_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESCENT_LANG", "ko")
    assert _("Hint {level} of {of}", level=1, of=3) == "힌트 1/3"
    monkeypatch.setenv("DESCENT_LANG", "en")
    assert _("Hint {level} of {of}", level=1, of=3) == "Hint 1 of 3"
    assert ngettext("{count} step", "{count} steps", 1) == "1 step"
    assert ngettext("{count} step", "{count} steps", 2) == "2 steps"
    assert pgettext("key", N_("train")) == "train"


def test_the_language_is_the_one_chosen_before_the_locales(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server speaks English as a rule; a learner who has chosen Korean once gets Korean there."""
    monkeypatch.delenv("DESCENT_LANG")
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "ko_KR.UTF-8")
    i18n.look_again()
    assert i18n.language() == "ko"
    i18n.keep("en")
    monkeypatch.delenv("DESCENT_LANG")
    i18n.look_again()
    assert i18n.language() == "en"


def test_a_language_given_once_is_kept(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A learner would have to write --lang with every command."""
    monkeypatch.setenv("DESCENT_LANG", "en")
    assert cli.main(["--lang", "ko", "presets", "list", "no-such-preset"]) == 0
    assert capsys.readouterr().out == "맞는 프리셋이 없습니다.\n"
    monkeypatch.delenv("DESCENT_LANG")
    i18n.look_again()
    assert i18n.language() == "ko"


def test_a_text_within_an_f_string_is_found(texts: Catalog) -> None:
    """It would be missing from the catalogue, and nothing would say so."""
    assert (None, "bonus") in _keys(texts)


def _unmarked(path: Path) -> Iterator[str]:
    """Yield the sentences of a file that no call of gettext marks: two English words in a row."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    passed = {id(inner) for node in nodes for skipped in _not_shown(node) for inner in ast.walk(skipped)}
    # What a Literal type lists is compared by programs, and shown by a table.
    literals = [
        node.slice for node in nodes if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal"
    ]
    values = {one.value for listed in literals for one in ast.walk(listed) if isinstance(one, ast.Constant)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed:
            words = node.value.split()
            is_command = node.value.lstrip(" ").startswith(
                ("descent ", "\nimport ", "#!")
            )  # to a shell, or to Python
            has_both_languages = re.search("[가-힣]", node.value) is not None
            if node.value in values | NOT_SHOWN or is_command or has_both_languages or STYLE_WORDS.issuperset(words):
                continue
            if any(one.isalpha() and two.isalpha() and one.isascii() for one, two in pairwise(words)):
                yield f"{path.relative_to(ROOT)}:{node.lineno}: {node.value!r}"


def _not_shown(node: ast.AST) -> Sequence[ast.AST]:
    """Return the parts of a node whose texts are marked, or are never shown."""
    match node:
        case ast.Call(func=ast.Name(id=name)) if name in UNMARKED_CALLS:
            return node.args
        case ast.Dict(keys=[ast.Constant(value="$schema"), *_rest]):
            return [node]  # a JSON Schema, which editors read
        case ast.Dict():
            return [key for key in node.keys if key is not None]  # what a program looks up
        case (
            ast.Expr(value=ast.Constant())  # a docstring
            | ast.Assign(targets=[ast.Name(id="CSS" | "DEFAULT_CSS")])
            | ast.FunctionDef(name="__repr__")  # for who writes Python
            | ast.Compare()
            | ast.Call(func=ast.Attribute(attr="startswith"))
            | ast.Assert()
            | ast.Raise(exc=ast.Call(func=ast.Name(id="AssertionError" | "AttributeError" | "TypeError")))
            | ast.Subscript()
            | ast.keyword(arg="description" | "pattern")  # of the schema; of an error of Python's
        ):
            return [node]
    return []


@pytest.mark.slow
@pytest.mark.parametrize("room", MARKED)
def test_a_sentence_is_marked_for_translation(room: str) -> None:
    """One that is not stays English for everybody."""
    path = ROOT / room
    files = [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert files
    assert [found for file in files for found in _unmarked(file)] == []


@pytest.mark.slow
def test_the_help_is_in_the_language_that_the_same_command_names() -> None:
    """A learner's first look at Descent would be in a language that he or she may not read."""
    for words in (["--lang", "ko", "run", "--help"], ["lab", "list", "--lang=ko", "--help"]):
        assert re.search("[가-힣]", process(words).out), words


@pytest.mark.parametrize("words", [[], ["--lang"], ["--lang", "fr"], ["runs"]], ids=" ".join)
def test_without_a_language_on_the_command_line_nothing_changes(words: list[str]) -> None:
    """`descent` alone would end in a traceback before its first frame."""
    before = language()
    use_language_of(words)
    assert language() == before
