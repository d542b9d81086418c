"""Bring the catalogues of translations up to date with the code, and say what is missing.

    python -m tests.tools.translations

Texts that are new in the code get an empty translation in descent/locale/*/LC_MESSAGES/descent.po, to be filled in by
hand; texts that the code no longer has are removed. Then the catalogues are compiled.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from hatch_build import LOCALE, compile_catalogues

ROOT = Path(__file__).parents[2]
Text = str | tuple[str, str]  # a text, or one and many of it


def template() -> Catalog:
    """All texts of the code that are marked for translation, in the order of files."""
    found = Catalog(project="Descent", charset="utf-8")
    for package in ("descent", "engine", "tui"):
        for file in sorted((ROOT / package).rglob("*.py")):
            for text, context in _marked(file):
                found.add(text, context=context, locations=[(str(file.relative_to(ROOT)), 1)])
    return found


def _marked(file: Path) -> Iterator[tuple[Text, str | None]]:
    """Yield the marked texts of a file with their contexts, in order, also those within f-strings."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda call: call.lineno):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        texts = [node.value for node in call.args if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        match name, texts:
            case "_" | "N_", [text]:
                yield text, None
            case "ngettext", [one, many]:
                yield (one, many), None
            case "pgettext", [context, text]:
                yield text, context


def catalogues() -> dict[str, Catalog]:
    """The catalogue of each language other than English, by its code."""
    found = {}
    for path in sorted(LOCALE.glob("*/LC_MESSAGES/descent.po")):
        with path.open("rb") as file:
            found[path.parts[-3]] = read_po(file, locale=path.parts[-3])
    return found


def main() -> int:
    missing = 0
    for code, catalogue in catalogues().items():
        catalogue.update(template(), no_fuzzy_matching=True)
        catalogue.obsolete.clear()
        catalogue.creation_date = catalogue.revision_date  # a date of today would change with every run
        catalogue.msgid_bugs_address = catalogue.last_translator = catalogue.language_team = "Descent"
        path = LOCALE / code / "LC_MESSAGES" / "descent.po"
        with path.open("wb") as file:
            write_po(file, catalogue, width=118, include_lineno=False, ignore_obsolete=True, omit_header=False)
        for message in catalogue:
            texts = message.string if isinstance(message.string, tuple) else (message.string,)
            if message.id and not all(texts):
                missing += 1
                print(f"{code}: {message.locations[0][0]}: {message.id!r}")
    compile_catalogues()
    print(f"{missing} texts without a translation" if missing else "every text has its translation")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
