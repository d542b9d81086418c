"""Pictures of what a run has learned. The console opens them with `i`."""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.numbers import count
from descent.common.text import clean
from descent.control import NotRunningError
from descent.handle import Run
from descent.run import samples
from descent.run.folder import RunFolder
from descent.run.samples import Sample
from descent.run.state import ALIVE
from engine import pictures
from engine.pictures import KINDS, Kind, Picture, from_rows
from engine.pictures.request import picture_of
from tui.data import ended
from tui.data.snapshot import Snapshot
from tui.pictures import examples, followed
from tui.pictures.followed import Following
from tui.pictures.kinds import Caption, CaptionLine, Kinds
from tui.pictures.picture import PictureView, save
from tui.screens.console.base import SideScreen
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.top_line import TopLine

EVERY = 2.0  # seconds between pictures that refresh by themselves
EVERY_SSH = 5.0  # the same over SSH
SHARE = 0.02  # of the worker's time that they may take at most
SAMPLE = "sample: "  # begins the names of what the run's own loop has given


class Pictures(SideScreen):
    """The kinds of pictures on the left, the chosen one on the right. A picture changes nothing in the run."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (76, "-normal")]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,i", "leave", N_("back to the console"), show=False, id="pictures.back"),
        Binding("up,k", "other(-1)", N_("previous kind"), show=False, id="pictures.before"),
        Binding("down,j", "other(1)", N_("next kind"), show=False, id="pictures.after"),
        Binding("left", "beside(-1)", N_("previous kind or cell, or earlier"), show=False, id="pictures.left"),
        Binding("right", "beside(1)", N_("next kind or cell, or later"), show=False, id="pictures.right"),
        Binding("v", "follow", N_("follow a mistake through training"), show=False, id="pictures.follow"),
        Binding("enter,r", "ask", N_("redraw"), show=False, id="pictures.ask"),
        Binding("a", "auto", N_("refresh every few seconds: on / off"), show=False, id="pictures.auto"),
        Binding("pagedown,right_square_bracket", "page(1)", N_("next page"), show=False, id="pictures.next"),
        Binding("pageup,left_square_bracket", "page(-1)", N_("previous page"), show=False, id="pictures.previous"),
        Binding("s", "save('svg')", N_("save the picture as SVG"), show=False, id="pictures.svg"),
        Binding("t", "save('txt')", N_("save the picture as text"), show=False, id="pictures.txt"),
    ]
    DEFAULT_CSS = """
    Pictures {
        #picture { width: 1fr; padding: 0 1; }
        PictureView { height: 1fr; }
    }
    Pictures.-narrow Kinds { display: none; }
    """

    def __init__(
        self,
        folder: RunFolder,
        kind: str | None = None,
        *,
        now: Snapshot | None = None,
        opened: Callable[[str], None] | None = None,
    ) -> None:
        """kind: the first to show; else the first that the run can have. now: the latest snapshot of the run.

        opened: of a lab, whose tasks some pictures would answer: is told the kind of each picture that is shown.
        """
        super().__init__()
        self.folder = folder
        self._now, self._opened = now, opened
        self._complaints: dict[str, str | None] = dict.fromkeys(KINDS)
        self._wanted = kind
        self._row = 0
        self._state: str | None = None
        self._step: int | None = None  # where the run is now
        self._saved = 0  # the step of its last checkpoint when this screen was opened
        self._known = False
        self._auto = False
        self._asking: set[str] = set()
        self._asked_at = 0.0
        self._doing = ""
        self._trouble: dict[str, str] = {}
        self._looked_for: set[str] = set()  # on the disk
        self._seen: dict[str, Picture] = {}
        self._samples: dict[str, list[Sample]] = {}  # that the run's loop has given, by the name of the kind
        self._following: Following | None = None  # of the mistakes, the one that is shown alone
        self._places: dict[str, int] = {}  # of those at which an earlier step is shown: which of its steps

    def compose(self) -> ComposeResult:
        yield TopLine()
        with Horizontal():
            yield Kinds()
            with Vertical(id="picture"):
                yield CaptionLine()
                yield PictureView()
        yield KeyLine()

    async def on_mount(self) -> None:
        if self._now is not None:
            self.draw(self._now)
        await self._look_up()
        await self._look_for_samples()
        names = [kind.name for kind in self._kinds]
        fitting = [*self._samples, *(name for name in names if self._complaints.get(name) is None)]
        self._row = names.index(self._wanted if self._wanted in names else fitting[0])
        self.set_interval(0.5, self._tick)
        self._choose(self._row)

    async def _look_up(self) -> None:
        known = await asyncio.to_thread(pictures.traits, self.folder.path)
        self._state = await asyncio.to_thread(self.folder.state)
        self._saved = max(await asyncio.to_thread(self.folder.checkpoints), default=0)
        self._known = known.task is not None
        self._complaints = {name: kind.complaint(known) for name, kind in KINDS.items()}

    # --- what is shown ---

    @property
    def kind(self) -> Kind:
        """The chosen one."""
        return self._kinds[self._row]

    def _row_of(self, name: str) -> int:
        """Return where a kind is now in the list, which may have changed; the first one if it is gone."""
        return next((row for row, kind in enumerate(self._kinds) if kind.name == name), 0)

    @property
    def _kinds(self) -> list[Kind]:
        """All there are: those that fit the run, its samples, then the others."""
        shows = N_("given by the run's own loop")
        own = [Kind(name, name.removeprefix(SAMPLE), shows, "", (), lambda _: None) for name in self._samples]
        fitting = [kind for kind in KINDS.values() if self._complaints[kind.name] is None]
        others = [kind for kind in KINDS.values() if self._complaints[kind.name] is not None]
        return [*fitting, *own, *others]

    def draw(self, now: Snapshot) -> None:
        """Take a snapshot of the console's reader."""
        super().draw(now)
        was_alive, self._state, self._step = self._is_alive, now.state, now.step
        self._now = now
        if was_alive != self._is_alive:
            self._show()  # which keys work

    def _choose(self, row: int) -> None:
        self._row = row % len(self._kinds)
        self._following = None
        name = self.kind.name
        self._show()
        if name in self._samples:
            self.run_worker(self._read_sample(name), group=f"read-{name}", exclusive=True)
        elif name not in self._seen:
            self.run_worker(self._read(name), group=f"read-{name}", exclusive=True)
        elif self._is_stale(name):
            self._ask()

    async def _read(self, name: str) -> None:
        """Show the last picture on the disk. Ask for a new one where there is none or it is old."""
        try:
            last = await asyncio.to_thread(pictures.latest, self.folder.path, name)
        except DescentError as error:
            self._trouble[name] = str(error)
            last = None
        self._looked_for.add(name)
        if last is not None:
            self._seen.setdefault(name, last)
        self._show()
        if name == self.kind.name and self._is_stale(name):
            self._ask()

    async def _look_for_samples(self) -> None:
        """Find out which samples there are by now."""
        found = await asyncio.to_thread(lambda: samples.listed(self.folder.path, self.folder.events()))
        self._samples = {f"{SAMPLE}{clean(name)}": there for name, there in found.items()}

    async def _read_sample(self, name: str) -> None:
        """Show the sample of the step that was asked for, or the latest one."""
        there = self._samples[name]
        one = there[min(self._places.get(name, len(there) - 1), len(there) - 1)]
        self._looked_for.add(name)
        if name not in self._seen or self._seen[name].step != one.step:
            try:
                content = await asyncio.to_thread(samples.read, one.file)
                self._trouble.pop(name, None)
                arrays = {"texts": np.array(content.texts)} if content.images is None else {"images": content.images}
                self._seen[name] = Picture("sample", one.step, arrays | {"of": np.array(content.of)})
            except DescentError as error:
                self._trouble[name] = str(error)
        self._show()

    def _is_stale(self, name: str) -> bool:
        """Return whether a newer picture is possible."""
        seen = self._seen.get(name)
        if name in self._samples or self._complaints[name] is not None or self.app.read_only:
            return False
        if seen is None:
            return True
        return seen.step != self._step if self._is_alive else seen.step < self._saved

    def _show(self) -> None:
        if not self.query(PictureView):
            return  # left while it was being drawn
        name, kind = self.kind.name, self.kind
        complaint = self._complaints.get(name)
        picture = self._seen.get(name) if self._following is None else self._following.picture()
        view = self.query_one(PictureView)
        why_not = _("Not available for this run: {reason}.", reason=complaint) if complaint else ""
        view.message = why_not or self._empty()
        if view.picture is not picture:
            if view.picture is None or picture is None or view.picture.kind != picture.kind:
                view.first = 0
            elif name == "confusion":
                view.first = examples.again(view.picture, picture, view.first)
            view.picture = picture
            if picture is not None and self._opened is not None and name not in self._samples:
                self._opened(name)
        self.query_one(CaptionLine).show(
            Caption(
                _(kind.title) if self._following is None else _("One mistake through training"),
                _(kind.shows) if self._following is None else _("probability of each class, at the steps kept"),
                None if picture is None else picture.step,
                None if picture is None or "seconds" not in picture.arrays else float(picture.arrays["seconds"]),
                self._doing if name in self._asking else "",
                self._trouble.get(name, ""),
                self._every(name) if self._auto and self._is_alive else None,
            )
        )
        self.query_one(Kinds).show([(k, self._complaints.get(k.name) is None) for k in self._kinds], self._row)
        self.query_one(KeyLine).show(self._hints(name, picture, view))

    def _hints(self, name: str, picture: Picture | None, view: PictureView) -> list[Hint]:
        hints = [Hint("↑ ↓", _("other pictures"), "other(1)")]
        if self._following is not None:
            hints += [Hint("← →", _("earlier, later"), "beside(-1)"), Hint("[ ]", _("other mistakes"), "page(1)")]
        elif len(self._samples.get(name, ())) > 1:
            hints.append(Hint("← →", _("earlier, later"), "beside(-1)"))
        elif not self.app.read_only and self._complaints.get(name) is None and name not in self._samples:
            hints.append(Hint("enter", _("redraw"), "ask"))
            if self._is_alive:
                hints.append(Hint("a", _("auto off") if self._auto else _("auto refresh"), "auto"))
        if name == "mistakes" and picture is not None:
            hints.append(Hint("v", _("all mistakes") if self._following is not None else _("follow one"), "follow"))
        if picture is not None and view.is_paged:
            is_matrix = name == "confusion"
            hints += [Hint("← →", _("cell"), "beside(1)")] if is_matrix else []
            hints.append(Hint("[ ]", _("sample") if is_matrix else _("page"), "page(1)"))
        if picture is not None:
            hints += [Hint("s", _("save SVG"), "save('svg')"), Hint("t", _("save text"), "save('txt')")]
        return [*hints, Hint("esc", _("back"), "leave"), Hint("?", _("help"), "app.help")]

    def _empty(self) -> str:
        if self.kind.name in self._asking:
            return _("Drawing…")
        if self.kind.name not in self._looked_for:
            return ""  # there may be one
        return _("It was not drawn yet.") if self.app.read_only else _("Not drawn yet. Press enter to draw it.")

    @property
    def _is_alive(self) -> bool:
        return self._state in ALIVE

    # --- asking ---

    def _every(self, name: str) -> float:
        """Seconds between pictures, so that neither the worker nor the connection is slowed down."""
        seen = self._seen.get(name)
        cost = float(seen.arrays["seconds"]) if seen is not None and "seconds" in seen.arrays else 0.0
        return max(EVERY_SSH if self.app.terminal.ssh else EVERY, cost / SHARE)

    async def _tick(self) -> None:
        name = self.kind.name
        if self._following is not None and self._is_alive and self.is_current:
            self._follow(self._following.grown)
        if name in self._samples and self._is_alive and self.is_current:
            await self._look_for_samples()  # the latest one, unless a person looks at an earlier one
            self._choose(self._row_of(name))
            return
        if not self._samples and self._is_alive and (self.folder.path / samples.FOLDER).is_dir():
            await self._look_for_samples()
            self._row = self._row_of(name)
            self._show()
        if not self._known and self._is_alive:  # a run that has not begun may not tell yet which kinds fit it
            await self._look_up()
            self._row = self._row_of(name)
            self._show()
        if not self._auto or not self.is_current or not self._is_alive or self._asking or not self._is_stale(name):
            return
        if time.monotonic() - self._asked_at >= self._every(name):
            self._ask()

    def _ask(self) -> None:
        name = self.kind.name
        if name in self._asking or name in self._samples or self._complaints[name] is not None:
            return
        self._asked_at = time.monotonic()
        self.run_worker(self._get(name), group=f"picture-{name}")

    async def _get(self, name: str) -> None:
        """Get a new picture: from the worker, or from the last checkpoint where the run has ended."""
        self._asking.add(name)
        self._doing = _("Drawing…")
        self._show()
        try:
            try:
                if name in from_rows.KINDS:
                    answer = await asyncio.to_thread(picture_of, self.folder, name, {}, "console")
                else:
                    answer = await Run(self.folder, "console").picture(name, **self._options(name))
            except NotRunningError:
                await self._look_up()
                if self._is_alive:
                    raise
                self._auto = False
                answer = await self._from_checkpoint(name)
            self._seen[name] = await asyncio.to_thread(pictures.read, Path(answer["picture"]))
            self._trouble[name] = "; ".join(answer.get("notes", ()))
        except DescentError as error:
            self._trouble[name] = str(error).removeprefix(f"{self.folder.id}: ").removeprefix("picture: ")
        finally:
            self._asking.discard(name)
            if self.is_mounted:
                self._show()

    def _tell_waiting(self, for_what: str) -> None:
        self._doing = for_what
        if self.is_mounted:
            self._show()

    def _options(self, kind: str) -> dict[str, str]:
        """The options of a picture. In a lab, the best rate of each optimizer would be the answer to a task."""
        return {"rates": "run"} if self._opened is not None and kind == "paths" else {}

    async def _from_checkpoint(self, name: str) -> dict[str, Any]:
        """Draw from the last checkpoint. PyTorch is loaded once for all the kinds that this run can have."""
        self._doing = _("loading PyTorch…")
        wanted = [name, *(k for k, no in self._complaints.items() if no is None and k != name)]
        wanted = [k for k in wanted if k == name or k not in self._seen]
        self._asking.update(wanted)
        self._show()
        asked = {kind: self._options(kind) for kind in wanted}
        try:
            answers = await ended.drawn(self.folder, asked, self._tell_waiting)
        finally:
            self._asking.difference_update(set(wanted) - {name})
        for kind, answer in answers.items():
            if kind != name and "picture" in answer:
                self._seen[kind] = await asyncio.to_thread(pictures.read, Path(str(answer["picture"])))
                self._trouble[kind] = "; ".join(answer.get("notes", ()))
        if "error" in answers[name]:
            raise DescentError(str(answers[name]["error"]))
        return answers[name]

    # --- keys ---

    def action_other(self, by: int) -> None:
        self._choose(self._row + by)

    def action_beside(self, by: int) -> None:
        """Show an earlier or a later sample, or another picture."""
        name = self.kind.name
        if self._following is not None:
            self._following = self._following.moved(by)
            self._show()
            return
        view = self.query_one(PictureView)
        if name == "confusion" and view.picture is not None and examples.examples_of(view.picture):
            view.first = examples.beside(view.picture, view.first, by)
            return
        if name not in self._samples:
            self.action_other(by)
            return
        last = len(self._samples[name]) - 1
        self._places[name] = max(0, min(last, self._places.get(name, last) + by))
        if self._places[name] == last:
            del self._places[name]  # it goes on with the run
        self._choose(self._row)

    @on(Kinds.Chosen)
    def _clicked(self, message: Kinds.Chosen) -> None:
        self._choose(message.row)

    def action_ask(self) -> None:
        if not self.app.read_only:
            self._ask()

    def action_auto(self) -> None:
        if self._is_alive and not self.app.read_only:
            self._auto = not self._auto
            self._show()

    def action_page(self, by: int) -> None:
        if self._following is not None:
            self._follow(partial(self._following.other, by))
            return
        self.query_one(PictureView).page(by)

    def action_follow(self) -> None:
        """Show one of the mistakes through training, or all of them again."""
        if self.kind.name != "mistakes" or self._complaints["mistakes"] is not None:
            return
        if self._following is not None:
            self._following = None
            self._show()
            return
        past = self._now.past if self._now is not None else None
        self._follow(partial(followed.begin, self.folder.path, past))

    def _follow(self, read: Callable[[], Following | None]) -> None:
        self.run_worker(self._read_followed(read), group="follow", exclusive=True)

    async def _read_followed(self, read: Callable[[], Following | None]) -> None:
        try:
            found = await asyncio.to_thread(read)
        except DescentError as error:
            self.app.tell(str(error), trouble=True)
            return
        if self.kind.name != "mistakes":
            return  # another picture was chosen meanwhile
        if found is None:
            self._trouble["mistakes"] = _("The worker of this run has kept no mistake that could be followed.")
            self._show()
        if found is not self._following:
            self._following = found
            self._show()

    def action_leave(self) -> None:
        """Leave the one sample, or the screen."""
        if self._following is not None:
            self._following = None
            self._show()
        else:
            self.app.pop_screen()

    def action_save(self, form: str) -> None:
        """Save the picture as it is on the screen, in the current folder."""
        view = self.query_one(PictureView)
        if view.picture is None:
            return
        path = Path(f"{self.folder.id}-{view.picture.kind}-step-{view.picture.step}.{form}").absolute()
        step = count(view.picture.step)
        try:
            title = _("{run}: {picture}, step {step}", run=self.folder.id, picture=_(self.kind.title), step=step)
            save(path, view.canvas(), title)
        except OSError as error:
            self.app.tell(_("{path}: can't be written: {error}", path=path, error=error.strerror), trouble=True)
        else:
            self.app.tell(_("saved {file}", file=path))
