"""Output of the commands: plain tables that can be piped, and JSON as one last line."""

import json
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from descent.common import stdio
from descent.common.i18n import _
from descent.common.numbers import size
from descent.common.stdio import plain
from descent.common.text import clean
from engine.launch.download import download

if TYPE_CHECKING:
    from rich.console import RenderableType

    from engine.cli.doctor import Check
    from engine.preset.datasets import Downloadable
    from engine.preset.listing import Entry


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object on one line."""
    print(json.dumps(value, allow_nan=False))


def print_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[str] = (),
    whole: Collection[str] = (),
    gap: int = 2,
) -> None:
    """Print columns under a head, folded to the terminal's width.

    right: heads of the columns of numbers. whole: heads of the columns that are folded last. gap: cells between two.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for name in head:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(Text(name), overflow="fold", justify=justify, no_wrap=name in whole)
    for row in rows:
        # Text, not str: a title such as "[red]" is no markup.
        table.add_row(*(Text(clean(cell), style=style_of(cell)) for cell in row))
    _print(table)


def print_in_blocks(head: Sequence[str], rows: Sequence[Sequence[str]], *, gap: int = 2) -> None:
    """Print a table of many narrow columns: as many at once as the terminal has room for, each time behind the first.

    What stands in the first column is cut to a third of the width.
    """
    from rich.cells import cell_len, set_cell_size

    most = max(16, stdio.width() // 3)

    def cut(text: str) -> str:
        return text if cell_len(text) <= most else set_cell_size(text, most - 1).rstrip() + "…"

    lines = [[clean(cell) for cell in line] for line in (head, *rows)]
    lines = [[cut(line[0]), *line[1:]] for line in lines]
    widths = [max(map(cell_len, column)) + gap for column in zip(*lines, strict=True)]
    blocks: list[list[int]] = [[]]
    for column, cells in enumerate(widths[1:], 1):
        if blocks[-1] and widths[0] + sum(widths[one] for one in blocks[-1]) + cells > stdio.width():
            blocks.append([])
        blocks[-1].append(column)
    for turn, columns in enumerate(blocks):
        if turn:
            stdio.say("")
        shown = [[line[0], *(line[one] for one in columns)] for line in lines]
        print_table(shown[0], shown[1:], whole=shown[0][:1], gap=gap)


def print_fields(title: str, fields: Sequence[tuple[str, str]]) -> None:
    """Print a title, and below it each label with its value."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for label, value in fields:
        table.add_row(
            Text(label, style="dim", no_wrap=True), Text(clean(value), overflow="fold", style=style_of(value))
        )
    _print(Group(Text(clean(title), style="bold", overflow="fold"), table))


_STYLES = {"✓": "green", "▶": "blue", "▷": "blue", "‖": "yellow", "■": "dim", "★": "green"}
_STYLES |= dict.fromkeys("✗?!", "red")


def style_of(text: str) -> str:
    """Return the colour of a text that begins with the sign of a state, or that ends with the star of the best."""
    sign, blank, _words = text.partition(" ")
    if blank and sign in _STYLES:
        return _STYLES[sign]
    return "bold" if text.endswith("*") else ""


def say(line: str) -> None:
    """Print a line in the colour of its sign. Plain where it goes to no terminal, and with NO_COLOR."""
    style = style_of(line)
    if not style or not sys.stdout.isatty():
        stdio.say(line)
        return
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(plain(line, sys.stdout.encoding), style=style), soft_wrap=True)


def padded(text: str, cells: int, *, right: bool = False) -> str:
    """Return `text` with blanks up to a width in cells: a Korean letter takes two."""
    from rich.cells import cell_len

    blanks = " " * max(0, cells - cell_len(text))
    return blanks + text if right else text + blanks


def _print(renderable: "RenderableType") -> None:
    from rich.console import Console

    console = Console(width=stdio.width(), highlight=False)
    with console.capture() as captured:
        console.print(renderable)
    # Rich fills each line with blanks up to its width.
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    print(plain(text, sys.stdout.encoding))


def presets(entries: "Sequence[Entry]", *, as_json: bool) -> None:
    """Print the presets, the broken ones last with the first line of their error."""
    if as_json:
        print_json({"presets": [_entry(entry) for entry in entries]})
        return
    if not entries:
        print(_("No preset matches."))
        return
    whole = [entry for entry in entries if not entry.broken]
    if whole:
        rows = [(e.name, e.topic, e.title, e.reaches, _(e.origin)) for e in whole]
        print_table((_("NAME"), _("TOPIC"), _("TITLE"), _("REACHES"), _("FROM")), rows)
    for entry in entries:
        if entry.broken:
            error = _("broken: {error}", error=entry.broken.splitlines()[0])
            print(f"{clean(entry.name)}: {error}")


def _entry(entry: "Entry") -> dict[str, Any]:
    fields = ("name", "topic", "title", "reaches", "origin")
    found: dict[str, Any] = {field: getattr(entry, field) for field in fields}
    return {**found, "path": str(entry.path), "error": entry.broken or None}


def data_sets(root: Path, *, as_json: bool) -> None:
    """Print the data sets that can be downloaded, and whether each is below `root`."""
    from engine.preset import datasets

    there = {known.name: datasets.is_there(known.name, root) for known in datasets.catalogue()}
    if as_json:
        found = [
            {
                "name": known.name,
                "title": known.title,
                "there": there[known.name],
                "megabytes": known.megabytes,
            }
            for known in datasets.catalogue()
        ]
        print_json({"root": str(root), "data": found})
        return
    print(_("Data folder: {folder}", folder=clean(str(root))))
    rows = [(known.name, _(known.title), _here(known, there[known.name])) for known in datasets.catalogue()]
    print_table((_("NAME"), _("TITLE"), _("HERE")), rows)


def _here(known: "Downloadable", there: bool) -> str:
    return _("yes") if there else _("no ({size} to download)", size=size(known.download_bytes))


def checks(found: "Sequence[Check]") -> None:
    """Print the doctor's report: a mark, the subject, the finding, and below it what to do."""
    from rich.console import Console
    from rich.text import Text

    marks = {"ok": ("ok", "green"), "note": ("--", "yellow"), "broken": ("!!", "red")}
    console = Console(highlight=False)
    for check in found:
        mark, style = marks[check.state]
        lines = [Text.assemble((mark, style), f"  {padded(_(check.subject), 14)} {check.text}")]
        if check.todo:
            lines.append(Text(f"    {'':<14} -> {check.todo}", style="" if check.state == "ok" else style))
        for line in lines:
            if sys.stdout.isatty():
                console.print(line, soft_wrap=True)
            else:
                print(line.plain)


def fetch(name: str, root: Path) -> None:
    """Download a data set and print its folder."""
    print(_("{name} is in {folder}", name=name, folder=clean(str(download(name, root)))))
