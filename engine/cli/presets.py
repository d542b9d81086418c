"""Commands `descent presets …` and `descent data …`, each a few lines."""

from pathlib import Path
from typing import Annotated

import typer

from descent.common.i18n import _
from engine.cli.options import DataRoot, Json, Overrides

presets_app = typer.Typer(help=_("List, show, copy and check presets."), no_args_is_help=True)
data_app = typer.Typer(help=_("List, look at and download data sets."), no_args_is_help=True)


@presets_app.command("list", help=_("List all presets: shipped, your own, and those in the current folder."))
def presets_list(
    containing: Annotated[str, typer.Argument(metavar="[FILTER]", help=_("Part of a name, topic or title."))] = "",
    as_json: Json = False,
) -> None:
    from engine.cli import tables
    from engine.preset import listing

    tables.presets(listing.presets(containing), as_json=as_json)


@presets_app.command("show", help=_("Print a preset with all its settings, including defaults."))
def presets_show(preset: Annotated[str, typer.Argument(metavar="NAME")], overrides: Overrides = None) -> None:
    from engine.preset import listing

    print(listing.resolved(preset, overrides or []), end="")


@presets_app.command("copy", help=_("Copy a preset to change it. [default destination: the current folder]"))
def presets_copy(
    preset: Annotated[str, typer.Argument(metavar="NAME")],
    destination: Annotated[
        Path, typer.Argument(metavar="[DEST]", readable=False, help=_("A folder or a new file."))
    ] = Path(),
) -> None:
    from engine.preset import listing

    print(listing.copy(preset, destination))


@presets_app.command("check", help=_("Check preset files and print all their errors."))
def presets_check(files: Annotated[list[Path], typer.Argument(metavar="FILE...")]) -> None:
    from engine.preset import listing

    listing.check_files(files)


@presets_app.command("schema", help=_("Print the JSON Schema of presets, for editors."))
def presets_schema() -> None:
    from engine.preset import listing

    print(listing.schema_text(), end="")


@data_app.command("list", help=_("List the data sets and whether each is on this machine."))
def data_list(data_root: DataRoot = None, as_json: Json = False) -> None:
    from engine.cli import tables
    from engine.preset import datasets

    tables.data_sets(datasets.data_root(data_root), as_json=as_json)


@data_app.command("look", help=_("Show what a table or a preset's data are: columns, classes, what is left out."))
def data_look(
    source: Annotated[str, typer.Argument(metavar="FILE|FOLDER|PRESET")],
    target: Annotated[
        list[str] | None,
        typer.Option("--target", metavar="NAME", help=_("A table's target column; repeatable.")),
    ] = None,
    overrides: Overrides = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    from engine.cli import data_view
    from engine.preset import datasets

    data_view.look(source, target or [], overrides or [], datasets.data_root(data_root), as_json=as_json)


@data_app.command("fetch", help=_("Download a data set."))
def data_fetch(name: str, data_root: DataRoot = None) -> None:
    from engine.cli import tables
    from engine.preset import datasets

    tables.fetch(name, datasets.data_root(data_root))
