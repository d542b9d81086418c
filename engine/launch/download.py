"""The download of a data set, with its progress on the terminal."""

from collections.abc import Callable
from pathlib import Path


def download(name: str, root: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Download a data set, with a bar on stderr if that is a terminal. Returns the folder of its files.

    progress(done, total): gets the bytes instead of the bar. It may be called in several threads. What it raises ends
    the download.
    """
    from engine.preset import datasets

    known = datasets.entry(name)
    if progress is not None:
        from engine.training.data.downloads import fetch as fetch_quietly

        return fetch_quietly(name, root, progress)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from engine.training.data.downloads import fetch as fetch_files

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name, total=known.download_bytes)
        return fetch_files(name, root, lambda done, total: bar.update(task, completed=done, total=total))
