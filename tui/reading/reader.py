"""Reads one run in a thread of its own, at the terminal's pace: a slow disk delays a frame, never a key."""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator

from engine.follow import Follower, Member
from engine.run import RunFolder
from tui.reading.camera import Camera
from tui.reading.meters import EVERY
from tui.reading.snapshot import Snapshot

PATIENCE = 0.02  # seconds that a chart waits for a look to end before it keeps what it has
BACKLOG = 2.0  # seconds that a screen may take to show a snapshot before the next is taken all the same


class Reader:
    """Calls `seen` from its thread with a snapshot whenever something changed, and once a second for the clocks.

    The follower is None until its first look is over. Charts take their curves from it inside `looking`.
    """

    def __init__(self, folder: RunFolder, fps: float, seen: Callable[[Snapshot], object]) -> None:
        self.folder = folder
        self.follower: Follower | None = None
        self.camera: Camera | None = None
        self.member: int | None = None  # the one that is shown; None: the mean
        self.trends: Collection[str] = ()  # layers whose sparkline is on the screen
        self.wants_output = False
        self._interval = 1 / fps
        self._seen = seen
        self._lock = threading.Lock()
        self._shown = threading.Event()  # the screen has taken the last snapshot
        self._wanted = threading.Event()  # somebody sees the screen
        self._now = threading.Event()  # do not wait for the next turn
        self._over = False
        self._wanted.set()
        # A daemon: a folder on a dead network drive must not keep the app from ending.
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._over = True
        for event in (self._wanted, self._now, self._shown):
            event.set()

    def look(self, wanted: bool) -> None:
        """Whether anybody sees what is read; a screen that is hidden reads nothing."""
        if wanted:
            self._wanted.set()
        else:
            self._wanted.clear()

    def look_now(self) -> None:
        """A key has changed what is wanted."""
        self._now.set()

    def shown(self) -> None:
        """The screen is ready for the next snapshot."""
        self._shown.set()

    @property
    def who(self) -> Member:
        """Whose numbers are shown."""
        layout = self.follower.layout if self.follower is not None else None
        if self.member is not None or layout is None:
            return self.member or 0
        return "mean" if len(layout.members) > 1 else 0

    @contextlib.contextmanager
    def looking(self) -> Iterator[Follower | None]:
        """The follower, held still; None where it is busy or not there yet: keep what is shown."""
        if self.follower is None or not self._lock.acquire(timeout=PATIENCE):
            yield None
            return
        try:
            yield self.follower
        finally:
            self._lock.release()

    # --- the thread ---

    def _run(self) -> None:
        last = 0.0
        while not self._over:
            self._wanted.wait()
            if self._over:
                return
            begun = time.monotonic()
            self._shown.clear()
            asked = self._now.is_set()
            self._now.clear()
            snapshot = self._look(anyway=asked or begun - last >= EVERY)
            if snapshot is not None and not self._over:
                last = begun
                self._seen(snapshot)
                self._shown.wait(BACKLOG)
            self._now.wait(max(0.0, self._interval - (time.monotonic() - begun)))

    def _look(self, *, anyway: bool) -> Snapshot | None:
        with self._lock:
            camera = self.camera or Camera(Follower(self.folder))
            if self.camera is not None and not (camera.follower.look() or camera.is_behind or anyway):
                return None
            camera.member, camera.wants_output = self.member, self.wants_output
            snapshot = camera.take(tuple(self.trends))
            self.camera, self.follower = camera, camera.follower  # known before, charts would wait for this look
            return snapshot
