"""What the commands print: plain tables that can be piped, and JSON as one last line."""

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
    from engine.preset.listing import Entry


def print_json(value: dict[str, Any]) -> None:
    """One JSON object on one line."""
    print(json.dumps(value, allow_nan=False))


def print_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[str] = (), whole: Collection[str] = ()
) -> None:
    """Columns under a head, folded to the terminal's width.

    right: heads of the columns of numbers. whole: heads of those that are folded last.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in head:
        justify: Literal["left", "right"] = "right" if name in right else "left"
        table.add_column(Text(name), overflow="fold", justify=justify, no_wrap=name in whole)
    for row in rows:
        # Text, not str: a title such as "[red]" is no markup.
        table.add_row(*(Text(clean(cell)) for cell in row))
    _print(table)


def print_fields(title: str, fields: Sequence[tuple[str, str]]) -> None:
    """A title, and below it a value beside each label."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for label, value in fields:
        table.add_row(Text(label, style="dim", no_wrap=True), Text(clean(value), overflow="fold"))
    _print(Group(Text(clean(title), style="bold", overflow="fold"), table))


def _print(renderable: "RenderableType") -> None:
    from rich.console import Console

    console = Console(width=stdio.width(), highlight=False)
    with console.capture() as captured:
        console.print(renderable)
    # Rich fills each line with blanks up to its width.
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    print(plain(text, sys.stdout.encoding))


def presets(entries: "Sequence[Entry]", *, as_json: bool) -> None:
    """The presets that were found; the broken ones last, with the first line of what is wrong."""
    if as_json:
        print_json({"presets": [_entry(entry) for entry in entries]})
        return
    if not entries:
        print("No preset matches.")
        return
    whole = [entry for entry in entries if not entry.broken]
    if whole:
        rows = [(e.name, e.topic, e.title, e.reaches, _(e.origin)) for e in whole]
        print_table(("NAME", "TOPIC", "TITLE", "REACHES", "FROM"), rows)
    for entry in entries:
        if entry.broken:
            print(f"{clean(entry.name)}: broken: {entry.broken.splitlines()[0]}")


def _entry(entry: "Entry") -> dict[str, Any]:
    fields = ("name", "topic", "title", "reaches", "origin")
    found: dict[str, Any] = {field: getattr(entry, field) for field in fields}
    return {**found, "path": str(entry.path), "error": entry.broken or None}


def data_sets(root: Path, *, as_json: bool) -> None:
    """The data sets that can be downloaded, and which of them lie below `root`."""
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
    print(f"Data folder: {clean(str(root))}")
    rows = [
        (known.name, _(known.title), "yes" if there[known.name] else f"no ({size(known.download_bytes)} to download)")
        for known in datasets.catalogue()
    ]
    print_table(("NAME", "TITLE", "HERE"), rows)


def checks(found: "Sequence[Check]") -> None:
    """The doctor's report: a mark, the subject, what is so, and what to do about it below."""
    marks = {"ok": "ok", "note": "--", "broken": "!!"}
    for check in found:
        print(f"{marks[check.state]}  {check.subject:<14} {check.text}")
        if check.todo:
            print(f"    {'':<14} -> {check.todo}")


def fetch(name: str, root: Path) -> None:
    """Download a data set, and say where it is."""
    print(f"{name} is in {clean(str(download(name, root)))}")
