"""The pictures that a lab is about, beside the charts of its run: drawn while it trains, and when it has ended."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message

from descent.common.errors import DescentError
from descent.common.glyphs import spelled_out
from descent.common.i18n import _
from descent.common.numbers import count
from descent.control import NotRunningError
from descent.handle import Run
from descent.run.folder import RunFolder
from descent.run.state import ALIVE
from engine import pictures
from engine.pictures import KINDS, Picture, from_rows, kept
from engine.pictures.request import picture_of
from tui.base import ConsoleApp
from tui.data import ended
from tui.data.snapshot import Snapshot
from tui.pictures.picture import PictureView
from tui.widgets.lines import numbered

EVERY = 0.5  # seconds between pictures of a kind at the soonest
EVERY_SSH = 5.0  # the same over SSH
SHARE = 0.02  # of the worker's time that the pictures may take at most
NARROWEST = 34  # cells of a picture that has another one beside it
OPTIONS = {"paths": {"rates": "run"}}  # the best rate of each optimizer would be the answer to a task
MOST = 2  # at a time


class FramedPicture(PictureView):
    """A picture with its name and step in its border."""

    DEFAULT_CSS = """
    FramedPicture {
        border: round $border-blurred; border-title-color: $foreground; border-subtitle-color: $quiet;
        width: 1fr; height: 1fr;
        &.-ascii { border: ascii $border-blurred; }
    }
    """

    @property
    def _is_ascii(self) -> bool:
        terminal = getattr(self.app, "terminal", None)
        return terminal is not None and not terminal.unicode

    def on_mount(self) -> None:
        self.set_class(self._is_ascii, "-ascii")

    def name_it(self, title: str, subtitle: str) -> None:
        """Set both, as plain text."""
        if self._is_ascii:
            title, subtitle = spelled_out(title), spelled_out(subtitle)
        self.border_title, self.border_subtitle = Content(title), Content(subtitle)


def pictures_of(run: RunFolder, kinds: Sequence[str], until: int | None = None) -> dict[str, Picture]:
    """Return the latest picture of each kind that was drawn of a run. until: the last step that counts."""
    return {kind: found for kind in kinds if (found := _last(run, kind, until)) is not None}


def _last(run: RunFolder, kind: str, until: int | None = None) -> Picture | None:
    try:
        return kept.latest(run.path, kind, until)
    except DescentError:
        return None  # damaged


def _moment(now: Snapshot) -> tuple[object, ...]:
    """What makes a board look for another picture at once: an earlier step, a step while it stands still, the end."""
    return now.past, now.state, now.step if now.state not in ("running", "starting") else None


class LabPictures(Horizontal):
    """As many of the kinds as there is room for. Those that the run can't have are left out.

    The worker of a live run draws them between two steps, as often as that costs it no more than SHARE of its time.
    """

    app: ConsoleApp

    class Shown(Message):
        """A picture of this kind is on the screen for the first time."""

        def __init__(self, kind: str) -> None:
            super().__init__()
            self.kind = kind

    def __init__(
        self, folder: RunFolder, kinds: Sequence[str], *, number: int | None = None, every: float = EVERY
    ) -> None:
        """kinds: names of KINDS, the first ones first. every: seconds between pictures of a kind at the soonest.

        number: of a board, the key that shows them alone. A board shows the latest that the worker has kept by itself
        or that somebody has asked for, and asks for none: each would stand in the run's log.
        """
        super().__init__(id="pictures" if number is None else "picture")
        self.folder, self._every, self._number = folder, every, number
        self._all = tuple(kind for kind in kinds if kind in KINDS)
        # A board does not know yet which kinds its run can have; a lab has named them.
        self._kinds = list(self._all) if number is None else []
        self._first = 0
        self._known = False  # which kinds fit the run
        self._seen: dict[str, Picture] = {}
        self._told: set[str] = set()  # kinds that were on the screen
        self._trouble: dict[str, str] = {}
        self._ghosts: dict[str, Picture] = {}
        self._asked_at = 0.0
        self._cost = 0.0  # seconds of the worker, of all that are shown
        self._now: Snapshot | None = None
        self._waits_for: list[str] = []  # kinds that are drawn at the end of the run
        self._ended_at: int | None = None  # the step at which the ended run was drawn

    def compose(self) -> ComposeResult:
        for _at in range(min(MOST, len(self._all))):
            yield FramedPicture()

    def on_mount(self) -> None:
        self._show()
        self.set_interval(0.1, self._tick)

    def on_resize(self) -> None:
        self._show()

    # --- what is shown ---

    @property
    def kinds(self) -> tuple[str, ...]:
        """All of them, on the screen or not."""
        return tuple(self._kinds)

    @property
    def shown(self) -> list[str]:
        """The kinds on the screen."""
        room = min(len(self._kinds), max(1, self.size.width // NARROWEST), MOST)
        return [self._kinds[(self._first + at) % len(self._kinds)] for at in range(room)]

    @property
    def has_more(self) -> bool:
        """Return whether there are kinds that have no room."""
        return len(self._kinds) > len(self.shown)

    def turn(self) -> None:
        """Show the next kind."""
        if self._kinds:
            self._first = (self._first + 1) % len(self._kinds)
            self._ended_at = None
            self._asked_at = 0.0
            self._show()

    def draw(self, now: Snapshot) -> None:
        """Take a snapshot of the console's reader."""
        before, self._now = self._now, now
        if self._number is not None and before is not None and _moment(before) != _moment(now):
            self._asked_at = 0.0  # look at once

    def show_ghosts(self, ghosts: dict[str, Picture]) -> None:
        """Draw the run before as a ghost behind this one."""
        self._ghosts = ghosts
        self._show()

    def _show(self) -> None:
        self.set_class(not self._kinds, "-empty")
        views, kinds = list(self.query(FramedPicture)), self.shown
        for kind in {*kinds} & {*self._seen} - self._told:
            self._told.add(kind)
            self.post_message(self.Shown(kind))
        for at, view in enumerate(views):
            view.display = at < len(kinds)
            if not view.display:
                continue
            kind = kinds[at]
            picture, trouble = self._seen.get(kind), self._trouble.get(kind, "")
            view.message = trouble or (_("Drawing…") if self._known else "")
            if view.picture is not picture:
                view.picture = picture
            if view.ghost is not self._ghosts.get(kind):
                view.ghost = self._ghosts.get(kind)
            title, step = _(KINDS[kind].title), ""
            if picture is not None:
                step = _("step {step}", step=count(picture.step))
            if self._number is not None:
                view.name_it(numbered(None if at else self._number, title), step)
                continue
            more = _("p next picture") if self.has_more and at == len(kinds) - 1 else ""
            if kind in self._waits_for and picture is not None:  # it is of a step before the end
                more = _("Drawing…")
            view.name_it(f"{title}  {step}".rstrip(), more)

    # --- asking ---

    async def _tick(self) -> None:
        now = self._now
        if self._number is not None:
            every = EVERY if now is not None and now.state == "paused" else self._every
            if time.monotonic() - self._asked_at >= every and not any(
                one.group == "pictures" and not one.is_finished for one in self.workers
            ):
                self.run_worker(self._read_latest(), group="pictures")
            return
        if now is None or not self._kinds or self.app.read_only or not self.region:
            return
        if any(one.group == "pictures" and not one.is_finished for one in self.workers):
            return
        if not self._known:
            self.run_worker(self._look_up(), group="pictures")
        elif now.state in ALIVE:
            seen = [self._seen.get(kind) for kind in self.shown]
            every = max(2 * self._every, EVERY_SSH) if self.app.terminal.ssh else self._every
            every = max(every, self._cost / SHARE)
            is_new = any(one is None or one.step != now.step for one in seen)
            if now.state in ("running", "paused") and is_new and time.monotonic() - self._asked_at >= every:
                self.run_worker(self._ask_worker(), group="pictures")
        elif self._ended_at != now.step:
            self._ended_at = now.step
            self.run_worker(self._ask_ended(), group="pictures")

    async def _read_latest(self) -> None:
        """Take the pictures of now, or of the earlier step that the board shows."""
        self._asked_at = time.monotonic()
        past = self._now.past if self._now is not None else None
        found = await asyncio.to_thread(pictures_of, self.folder, self._all, past)
        if self._known and {kind: one.step for kind, one in found.items()} == self._steps:
            return
        self._seen, self._known = found, True
        if past is None or not self._kinds:
            self._kinds = [kind for kind in self._all if kind in found]
        for kind in self._kinds:
            self._trouble[kind] = "" if kind in found else _("No picture was kept so early.")
        self._show()

    @property
    def _steps(self) -> dict[str, int]:
        return {kind: one.step for kind, one in self._seen.items()}

    async def _look_up(self) -> None:
        known = await asyncio.to_thread(pictures.traits, self.folder.path)
        if known.input_shape is None or known.members is None:
            await asyncio.sleep(0.1)  # the worker has not written it yet
            if self._now is None or self._now.state in ALIVE:
                return
        self._known = True
        self._kinds = [kind for kind in self._kinds if KINDS[kind].complaint(known) is None]
        self._first = 0
        self._show()

    async def _ask_worker(self) -> None:
        self._asked_at, cost = time.monotonic(), 0.0
        for kind in self.shown:
            try:
                if kind in from_rows.KINDS:
                    answer = await asyncio.to_thread(picture_of, self.folder, kind, {}, "console")
                else:
                    answer = await Run(self.folder, "console").picture(kind, **OPTIONS.get(kind, {}))
                await self._take(kind, answer)
            except NotRunningError:
                return  # it has ended meanwhile, or is about to begin
            except DescentError as error:
                self._trouble[kind] = str(error)
            if kind in self._seen and kind not in from_rows.KINDS:
                cost += float(self._seen[kind].arrays.get("seconds", 0.0))
        self._cost = cost
        self._show()

    async def _ask_ended(self) -> None:
        """Draw what is older than the last checkpoint, all in one process."""
        saved = max(await asyncio.to_thread(self.folder.checkpoints), default=None)
        for kind in self.shown:
            last = await asyncio.to_thread(_last, self.folder, kind)
            if last is not None:
                self._seen[kind] = last
        self._show()
        old = [kind for kind in self._kinds if kind not in self._seen or self._seen[kind].step != saved]
        if saved is None:
            self._ended_at = None  # it may be there a moment later
        if not old or saved is None:
            return
        self._waits_for = old
        self._show()
        asked = {kind: OPTIONS.get(kind, {}) for kind in old}
        try:
            answers = await ended.drawn(self.folder, asked, self._tell_waiting)
            for kind, answer in answers.items():
                await self._take(kind, answer)
        except DescentError as error:
            self._trouble |= dict.fromkeys(old, str(error))
        self._waits_for = []
        self._show()

    def _tell_waiting(self, for_what: str) -> None:
        """Say what the pictures of the end wait for, in their place."""
        self._trouble |= dict.fromkeys(self._waits_for, for_what)
        self._show()

    async def _take(self, kind: str, answer: dict[str, object]) -> None:
        if answer.get("error"):
            self._trouble[kind] = str(answer["error"])
            return
        self._seen[kind] = await asyncio.to_thread(pictures.read, Path(str(answer["picture"])))
        self._trouble.pop(kind, None)
        self._show()
