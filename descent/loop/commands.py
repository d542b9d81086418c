"""Commands of clients, followed between two steps in the order in which they came."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import clean
from descent.control import Queue, Request
from descent.control.protocol import too_late
from descent.loop import device as devices
from descent.loop.clock import Clock
from descent.run.events import STEERING, Events

PATIENCE = 0.2  # seconds between checks of the signals while paused
WITHIN = ("pause", "resume")  # commands that are followed in the middle of an evaluation


class Steered(Protocol):
    """What commands need of the training that they steer: a preset's, or a loop of one's own.

    A method that can't do as asked raises DescentError, which says why, and changes nothing. step: updates so far.
    """

    @property
    def id(self) -> str: ...
    @property
    def step(self) -> int: ...
    @property
    def has_epochs(self) -> bool: ...
    @property
    def clock(self) -> Clock: ...
    def drain(self) -> None: ...
    def warn(self, message: str, /) -> None: ...
    def edit(self, texts: list[str], /) -> dict[str, Any]: ...
    def extend(self, **more: int) -> int: ...
    def accept_trouble(self) -> None: ...
    def save(self, *, wanted: bool) -> Path | None: ...
    def look(self) -> dict[str, float]: ...
    def picture(self, kind: str, options: dict[str, Any], /) -> Path: ...
    def act(self, name: object, /) -> None: ...
    def rewind(self, to: object, /) -> int: ...


def described(entry: Mapping[str, Any]) -> str:
    """Return a `set`, `extend` or `action` command of the log in a few words."""
    arguments = entry["arguments"]
    given = arguments.get("edits") or [
        str(value) if key == "name" else f"{key}={value}" for key, value in arguments.items()
    ]
    return _("step {step:,}: {command}", step=entry["step"], command=clean(f"{entry['command']} {' '.join(given)}"))


def promise_again(again: Sequence[dict[str, Any]], step: int, events: Events, warn: Callable[[str], None]) -> None:
    """Keep the commands to follow again in the log, for the case that this worker is killed too, and tell of them."""
    if not again:
        return
    events.write("again", step=step, commands=list(again))
    warn(
        _(
            "these changes came after the last checkpoint; they are made again at their steps: {changes}",
            changes="; ".join(described(entry) for entry in again),
        )
    )


class Scripted:
    """A command of a replay. No client waits for its answer."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self.command, self.arguments, self.given_by = entry["command"], entry["arguments"], entry.get("given_by")

    def answer(self, answer: dict[str, Any]) -> None:
        if not answer["ok"]:
            raise DescentError(
                _(
                    "the replay can't follow {command} at step {step}: {error}",
                    command=self.command,
                    step=answer["step"],
                    error=answer["error"],
                )
            )


class Again(Scripted):
    """A command that a killed worker had followed after the last checkpoint, and that this one follows again."""

    def __init__(self, entry: dict[str, Any], warn: Callable[[str], None]) -> None:
        super().__init__(entry)
        self.step = int(entry["step"])
        self.described = described(entry)
        self._warn = warn

    def answer(self, answer: dict[str, Any]) -> None:
        if not answer["ok"]:
            self._warn(
                _("this earlier change is lost: {change}: {error}", change=self.described, error=answer["error"])
            )


class CommandHandler:
    """Follows the commands of a run's clients. Each is answered once it has taken effect and is in the log."""

    def __init__(
        self,
        session: Steered,
        queue: Queue,
        events: Events,
        script: Sequence[dict[str, Any]] = (),
        again: Sequence[dict[str, Any]] = (),
    ) -> None:
        """script: the commands that a replay has still to give, each with its `step`. again: those that were given
        after the last checkpoint, for a worker that was killed.
        """
        self._session, self._queue, self._events = session, queue, events
        self._script = deque(script)
        self._again = deque(Again(entry, session.warn) for entry in again)
        self._waiting: deque[Request | Scripted] = deque()
        self.pictures: dict[str, dict[str, Any]] = {}  # options of those that a client has asked for, by kind
        self.paused = False
        self.tell: Callable[[str, dict[str, Any]], None] | None = (
            None  # called with each command before it is followed
        )
        self.rest: Callable[[], None] | None = None  # called when the run stands still at another step
        self.stop: str | None = None  # "now", "discard" or "epoch", once asked for
        self._stopping: list[Request | Scripted] = []
        # While stepping, the step to pause at and the request that waits.
        self._steps: tuple[int, Request | Scripted] | None = None
        self._follow: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "set": self._set,
            "checkpoint": self._checkpoint,
            "evaluate": self._evaluate,
            "picture": self._picture,
            "extend": self._extend,
            "action": self._act,
            "rewind": self._rewind,
        }

    @property
    def is_due(self) -> bool:
        """Return whether `attend` has something to do, or has been told to end the run."""
        if self._waiting or self._script or self._again or self._steps is not None:
            return True
        return self.paused or self.stop is not None or not self._queue.is_empty

    def attend(self, interrupted: Callable[[], bool]) -> None:
        """Follow the waiting commands. Does not return while the run is paused.

        interrupted: whether a signal asks the worker to end.
        """
        if self._steps is not None and self._session.step >= self._steps[0]:
            self._end_steps()
        if self._script or self._again:
            self._waiting.extend(self._due())
        self._waiting.extend(self._queue.take_all())
        if not self._waiting and not self._idle():
            return
        with self._session.clock.stopped():
            self._session.drain()  # the rows of the steps so far are written before a command is answered
            given_back, rested = False, None
            while True:
                while self._waiting:
                    self._take(self._waiting.popleft())
                if not self._idle() or self.stop in ("now", "discard") or interrupted():
                    return
                if self.rest is not None and rested != self._session.step:
                    rested = self._session.step
                    self.rest()
                if not given_back:
                    given_back = True
                    devices.give_back_unused()  # others may use it while nobody trains here
                self._queue.wait(PATIENCE)
                self._waiting.extend(self._queue.take_all())

    def attend_within(self, interrupted: Callable[[], bool]) -> None:
        """Follow pause and resume between two batches of an evaluation. Other commands wait for its end.

        A paused evaluation goes on if another command waits or the worker is to end, so that neither waits for ever.
        """
        while True:
            self._waiting.extend(self._queue.take_all())
            while self._waiting and self._waiting[0].command in WITHIN:
                self._take(self._waiting.popleft())
            if self._waiting or not self._idle() or interrupted():
                return
            self._queue.wait(PATIENCE)

    def _due(self) -> list[Scripted]:
        """Return the commands that the replayed run, or the killed worker, was given before this step."""
        due: list[Scripted] = []
        while self._again and self._again[0].step <= self._session.step:
            due.append(self._again.popleft())
        while self._script and self._script[0]["step"] <= self._session.step:
            due.append(Scripted(self._script.popleft()))
        return due

    @property
    def next_scripted(self) -> int | None:
        """The step of the next command that is followed again. None without one."""
        steps = [self._again[0].step] if self._again else []
        steps += [int(self._script[0]["step"])] if self._script else []
        return min(steps, default=None)

    @property
    def is_stepping(self) -> bool:
        return self._steps is not None

    def follow(self, request: "Request | Scripted") -> None:
        """Follow a command now, which another process has taken."""
        self._take(request)

    def _idle(self) -> bool:
        return self.paused and self._steps is None

    def _take(self, request: Request | Scripted) -> None:
        try:
            if self.tell is not None:
                self.tell(request.command, request.arguments)
            if request.command == "stop":
                self._ask_to_stop(request)
            elif request.command == "step":
                self._begin_steps(request)
            else:
                self._answer(request, self._follow[request.command](request.arguments))
        except DescentError as error:
            request.answer(self._frame(request) | {"ok": False, "error": str(error)})
        except (
            RuntimeError,
            ValueError,
            OverflowError,
        ) as error:  # raised by torch for a value that no check refuses
            if isinstance(request, Scripted) and not isinstance(request, Again):
                raise
            request.answer(self._frame(request) | {"ok": False, "error": f"{type(error).__name__}: {error}"})

    def _frame(self, request: Request | Scripted) -> dict[str, Any]:
        return {"run": self._session.id, "command": request.command, "step": self._session.step}

    def _answer(self, request: Request | Scripted, result: dict[str, Any]) -> None:
        marks = {"again": True} if isinstance(request, Again) else {}
        if isinstance(request, Scripted) and not marks:
            marks = {"replayed": True}
        giver = {} if request.given_by is None else {"given_by": request.given_by}
        told = {"step": self._session.step, "command": request.command, "arguments": request.arguments}
        self._events.write("command", **told, **giver, **marks)
        if self._again and not marks and request.command in (*STEERING, "rewind"):
            result = result | {"dropped": self._drop_again()}
        request.answer(self._frame(request) | {"ok": True, "error": None} | result)

    def _drop_again(self) -> list[str]:
        """Drop the commands that were to be followed again: a person has changed the run in another way now.

        Returns them in words.
        """
        dropped = [entry.described for entry in self._again]
        self._again.clear()
        self._events.write("again", step=self._session.step, commands=[])
        self._session.warn(
            _("these earlier changes are lost, because of the new one: {changes}", changes="; ".join(dropped))
        )
        return dropped

    # --- one for each command ---

    def _pause(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._steps is not None:
            self._end_steps()
        if not self.paused:
            self.paused = True
            self._events.state("paused", step=self._session.step)
        return {}

    def hold(self, reason: str | None) -> None:
        """Pause because something has happened that a person must decide on."""
        if self._steps is not None:
            self._end_steps()
        if not self.paused:
            self.paused = True
            self._events.state("paused", step=self._session.step, reason=reason)

    def _resume(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._steps is not None:
            self._end_steps()
        if not self.paused:
            raise DescentError(_("the run is not paused"))
        self._session.accept_trouble()
        self.paused = False
        self._events.state("running", step=self._session.step)
        return {}

    def _begin_steps(self, request: Request | Scripted) -> None:
        count = request.arguments.get("steps", 1)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise DescentError(_("{key} = {given!r}: must be a whole number ≥ 1", key="steps", given=count))
        if not self.paused:
            raise DescentError(_("pause the run first: only a paused run can be stepped"))
        if self._steps is not None:
            raise DescentError(_("the run is still stepping; wait for it, or pause"))
        self._session.accept_trouble()
        self._steps = self._session.step + count, request

    def _end_steps(self) -> None:
        assert self._steps is not None
        request = self._steps[1]
        self._steps = None
        self._session.drain()
        self._answer(request, {})

    def _set(self, arguments: dict[str, Any]) -> dict[str, Any]:
        edits = arguments.get("edits")
        if not isinstance(edits, list) or not all(isinstance(text, str) for text in edits):
            raise DescentError(_('"edits" must be a list of "key=value"'))
        return {"set": self._session.edit(edits)}

    def _checkpoint(self, arguments: dict[str, Any]) -> dict[str, Any]:
        saved = self._session.save(wanted=True)
        if saved is None:
            raise DescentError(_("nothing was saved: a number is not finite; rewind, or resume to go on as it is"))
        return {"checkpoint": str(saved)}

    def _evaluate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._session.look()

    def _picture(self, arguments: dict[str, Any]) -> dict[str, Any]:
        kind, options = arguments.get("kind"), arguments.get("options", {})
        if not isinstance(kind, str) or not isinstance(options, dict):
            raise DescentError(_('a picture needs a "kind", and "options" must be an object'))
        path = self._session.picture(kind, options)
        self.pictures[kind] = options
        return {"picture": str(path)}

    def _extend(self, arguments: dict[str, Any]) -> dict[str, Any]:
        allowed = {key: value for key, value in arguments.items() if key in ("epochs", "steps")}
        return {"total_steps": self._session.extend(**allowed)}

    def _act(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._session.act(arguments.get("name"))
        return {"action": arguments["name"]}

    def _rewind(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"to": self._session.rewind(arguments.get("to"))}

    # --- stopping ---

    def _ask_to_stop(self, request: Request | Scripted) -> None:
        how = request.arguments.get("how", "now")
        if how not in ("now", "epoch", "discard"):
            raise DescentError(_("how = {given!r}: must be now, epoch or discard", given=how))
        if how == "epoch" and not self._session.has_epochs:
            raise DescentError(_("the epochs of this loop are not known; stop it after its step: descent stop --now"))
        self.stop = how
        self._stopping.append(request)
        if how == "epoch":
            self.paused = False
            self._answer(request, {"at": N_("the end of the epoch")})  # programs read it, so it stays English
            self._stopping.pop()

    def end_epoch(self) -> None:
        """End the run now if a stop has waited for the end of the epoch."""
        if self.stop == "epoch":
            self.stop = "now"

    def say_stopped(self, receipt: str | None) -> None:
        """Answer the requests to stop, and refuse the commands that came too late."""
        if self._steps is not None:
            self._end_steps()
        for request in self._stopping:
            self._answer(request, {"checkpoint": receipt})
        for request in [*self._waiting, *self._queue.take_all()]:
            request.answer(too_late(request.command) | self._frame(request))
