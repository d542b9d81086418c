"""Looks at all runs in a thread of its own: a slow disk delays the list of runs, never a key."""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

from engine import library
from tui.home.glance import Glance, Glances

EVERY = 1.0  # seconds between looks while the list is shown
RARELY = 3.0  # seconds between looks at the live runs alone, while it is not
_AT_ONCE = 24  # runs read before the first of them are shown


class Watch:
    """Calls `seen` from its thread with all glances, the latest start first, whenever they differ."""

    def __init__(self, runs_dir: Path | None, seen: Callable[[tuple[Glance, ...]], object]) -> None:
        self._runs_dir, self._seen = runs_dir, seen
        self._glances = Glances()
        self._last: tuple[Glance, ...] | None = None
        self._all = True
        self._wake = threading.Event()
        self._over = False
        # A daemon: a folder on a dead network drive must not keep the app from ending.
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def look_at_all(self, wanted: bool) -> None:
        """Whether the whole list is shown; else only those that were live are looked at."""
        self._all = wanted
        if wanted:
            self._wake.set()

    def look_now(self) -> None:
        self._wake.set()

    def end(self) -> None:
        self._over = True
        self._wake.set()

    def _run(self) -> None:
        while not self._over:
            with contextlib.suppress(OSError):  # the next look may fare better
                self._look()
            self._wake.wait(EVERY if self._all else RARELY)
            self._wake.clear()

    def _look(self) -> None:
        if not self._all and self._last is not None:
            self._show(tuple(self._glances.of(g.folder.path) if g.alive else g for g in self._last))
            return
        paths = library.known_runs(library.runs_dir(self._runs_dir))
        found: list[Glance] = []
        for path in paths:
            found.append(self._glances.of(path))
            if self._last is None and len(found) == _AT_ONCE < len(paths):
                self._seen(tuple(found))
        if self._last is not None:
            self._glances.forget({g.folder.path for g in self._last} - set(paths))
        self._show(tuple(found))

    def _show(self, found: tuple[Glance, ...]) -> None:
        if self._over or found == self._last:
            return
        self._last = found
        self._seen(found)
