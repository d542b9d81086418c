"""`descent presets …` and `descent data …`: each command in a few lines."""

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.options import DataRoot, Json, Overrides

presets_app = typer.Typer(help="What can be trained: list, show, copy and check presets.", no_args_is_help=True)
data_app = typer.Typer(help="The data sets that can be downloaded.", no_args_is_help=True)


@presets_app.command("list")
def presets_list(
    containing: Annotated[str, typer.Argument(metavar="[FILTER]", help="A part of name, topic or title.")] = "",
    as_json: Json = False,
) -> None:
    """List the presets: the shipped ones, your own, those of the current folder."""
    from engine.cli import tables
    from engine.preset import listing

    tables.presets(listing.presets(containing), as_json=as_json)


@presets_app.command("show")
def presets_show(preset: Annotated[str, typer.Argument(metavar="NAME")], overrides: Overrides = None) -> None:
    """Print a preset with all its settings, defaults too."""
    from engine.preset import listing

    print(listing.resolved(preset, overrides or []), end="")


@presets_app.command("copy")
def presets_copy(
    preset: Annotated[str, typer.Argument(metavar="NAME")],
    destination: Annotated[Path, typer.Argument(metavar="[DEST]", help="A folder or a new file.")] = Path(),
) -> None:
    """Copy a preset, to change it; into the current folder where nothing else is said."""
    from engine.preset import listing

    print(listing.copy(preset, destination))


@presets_app.command("check")
def presets_check(files: Annotated[list[Path], typer.Argument(metavar="FILE...")]) -> None:
    """Say everything that is wrong with these files."""
    from engine.preset import listing

    listing.check_files(files)


@presets_app.command("schema")
def presets_schema() -> None:
    """Print the JSON Schema of presets, for editors."""
    from engine.preset import listing

    print(listing.schema_text(), end="")


@data_app.command("list")
def data_list(data_root: DataRoot = None, as_json: Json = False) -> None:
    """List the data sets, and which of them are here."""
    from engine.cli import tables
    from engine.preset import datasets

    tables.data_sets(datasets.data_root(data_root), as_json=as_json)


@data_app.command("fetch")
def data_fetch(name: str, data_root: DataRoot = None) -> None:
    """Download a data set."""
    from engine.cli import tables
    from engine.preset import datasets

    tables.fetch(name, datasets.data_root(data_root))
