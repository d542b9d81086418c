"""The download of a data set, with its progress; Escape ends it."""

import asyncio
import math
import threading
import time
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from descent.common.errors import DescentError
from descent.common.glyphs import ascii_cells, progress_bar
from descent.common.i18n import N_, _
from descent.common.numbers import duration, percent, size
from descent.common.stdio import lines
from engine.preset.datasets import Downloadable

BAR = 40  # cells
EVERY = 0.2  # seconds between two looks at how far it is


class EndedError(DescentError):
    """The user has given the download up."""


class Download(ModalScreen[bool | None]):
    """Dismissed with True once the data set is there, with False where the user gave it up."""

    CSS = """
    Download {
        .dialog { width: 64; max-width: 96%; }
        #download-bar { height: auto; }
        .hint { color: $quiet; margin-top: 1; height: auto; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "leave", N_("stop the download"), show=False)]

    def __init__(self, known: Downloadable, root: Path) -> None:
        super().__init__()
        self._known, self._root = known, root
        self._done, self._total = 0, known.download_bytes
        self._given_up = threading.Event()
        self._failed = False
        self._begun = time.monotonic()

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as box:
            box.border_title = _("downloading {dataset}", dataset=self._known.name)
            yield Static("", id="download-bar", markup=False)
            yield Static(_("esc stop (removes the incomplete file)"), classes="hint", markup=False)

    def on_mount(self) -> None:
        self._show()
        self.set_interval(EVERY, self._show)
        self.run_worker(self._fetch())

    async def _fetch(self) -> None:
        from engine.launch import download

        try:
            await asyncio.to_thread(download.download, self._known.name, self._root, self._take)
        except EndedError:
            self.dismiss(False)
        except (DescentError, OSError) as error:
            self._failed = True
            self.add_class("-trouble")
            self.query_one("#download-bar", Static).update(Text(lines(str(error))))
            self.query_one(".hint", Static).update(_("esc back"))
        else:
            self.dismiss(not self._given_up.is_set())

    def _take(self, done: int, total: int) -> None:
        """Keep the progress. Called in the thread that downloads."""
        self._done, self._total = done, total
        if self._given_up.is_set():
            raise EndedError(self._known.name)

    def _show(self) -> None:
        if self._failed or not self.query("#download-bar"):
            return
        share = min(1.0, self._done / self._total) if self._total else 0.0
        unicode = bool(getattr(getattr(self.app, "terminal", None), "unicode", True))
        taken = time.monotonic() - self._begun
        left = taken * (1 - share) / share if share > 0.01 else math.nan
        bar = "".join(progress_bar(share, BAR))
        text = f"{bar if unicode else ascii_cells(bar)} {percent(share, width=6)}"
        sizes = {"done": size(self._done), "total": size(self._total)}
        if math.isnan(left):
            progress = _("downloaded {done} of {total}", **sizes)
        else:
            progress = _("downloaded {done} of {total}, {left} left", left=duration(left), **sizes)
        self.query_one("#download-bar", Static).update(Text(f"{text}\n{progress}"))

    def action_leave(self) -> None:
        if self._failed:
            self.dismiss(False)
            return
        self._given_up.set()
        self.query_one(".hint", Static).update(_("stopping…"))
