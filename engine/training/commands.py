"""Where commands meet the training: between two steps, in the order they came."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from descent.common.errors import DescentError
from descent.control import Queue, Request
from descent.run.events import Events
from engine.training import live_edits
from engine.training.train_state import TrainState

if TYPE_CHECKING:
    from engine.training.session import Session


PATIENCE = 0.2  # seconds between looks at the signals while paused
WITHIN = ("pause", "resume")  # what is followed in the middle of an evaluation


class Scripted:
    """A command of a replay, which nobody waits for."""

    def __init__(self, command: str, arguments: dict[str, Any]) -> None:
        self.command, self.arguments = command, arguments

    def answer(self, answer: dict[str, Any]) -> None:
        if not answer["ok"]:
            raise DescentError(f"the replay can't follow {self.command} at step {answer['step']}: {answer['error']}")


class CommandHandler:
    """Follows the commands of a run's clients. Each is answered once it has taken effect and its line is written."""

    def __init__(
        self,
        run: TrainState,
        session: "Session",
        queue: Queue,
        events: Events,
        script: Sequence[dict[str, Any]] = (),
    ) -> None:
        """script: of a replay, the commands still to be given, each with its `step`."""
        self._run, self._session, self._queue, self._events = run, session, queue, events
        self._script = deque(script)
        self._waiting: deque[Request | Scripted] = deque()
        self.paused = False
        self.stop: str | None = None  # "now", "discard" or "epoch", once asked for
        self._stopping: list[Request | Scripted] = []
        self._steps: tuple[int, Request | Scripted] | None = (
            None  # while stepping: the step to pause at, and who waits
        )
        self._follow: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "set": self._set,
            "checkpoint": self._checkpoint,
            "evaluate": self._evaluate,
            "picture": self._picture,
            "extend": self._extend,
            "rewind": self._rewind,
        }

    def attend(self, interrupted: Callable[[], bool]) -> None:
        """Follow what waits; stay here while paused. `interrupted`: a signal wants the worker to end."""
        if self._steps is not None and self._run.step >= self._steps[0]:
            self._end_steps()
        if self._script:
            self._waiting.extend(self._due())
        self._waiting.extend(self._queue.take_all())
        if not self._waiting and not self._idle():
            return
        with self._session.clock.stopped():
            self._session.drain()  # a command's answer comes after the rows of the steps before it
            while True:
                while self._waiting:
                    self._take(self._waiting.popleft())
                if not self._idle() or self.stop in ("now", "discard") or interrupted():
                    return
                self._queue.wait(PATIENCE)
                self._waiting.extend(self._queue.take_all())

    def attend_within(self, interrupted: Callable[[], bool]) -> None:
        """Between two batches of an evaluation: pause and resume are followed there, and what changes more waits.

        A paused evaluation goes on where anything else waits, or the worker is to end: neither is to wait for ever.
        """
        while True:
            self._waiting.extend(self._queue.take_all())
            while self._waiting and self._waiting[0].command in WITHIN:
                self._take(self._waiting.popleft())
            if self._waiting or not self._idle() or interrupted():
                return
            self._queue.wait(PATIENCE)

    def _due(self) -> list[Scripted]:
        """What the replayed run was told before this step."""
        due = []
        while self._script and self._script[0]["step"] <= self._run.step:
            entry = self._script.popleft()
            due.append(Scripted(entry["command"], entry["arguments"]))
        return due

    def _idle(self) -> bool:
        return self.paused and self._steps is None

    def _take(self, request: Request | Scripted) -> None:
        try:
            if request.command == "stop":
                self._ask_to_stop(request)
            elif request.command == "step":
                self._begin_steps(request)
            else:
                self._answer(request, self._follow[request.command](request.arguments))
        except DescentError as error:
            request.answer(self._frame(request) | {"ok": False, "error": str(error)})
        except (RuntimeError, ValueError, OverflowError) as error:  # of torch: a value that no check foresaw
            if isinstance(request, Scripted):
                raise
            request.answer(self._frame(request) | {"ok": False, "error": f"{type(error).__name__}: {error}"})

    def _frame(self, request: Request | Scripted) -> dict[str, Any]:
        return {"run": self._session.id, "command": request.command, "step": self._run.step}

    def _answer(self, request: Request | Scripted, result: dict[str, Any]) -> None:
        again = {"replayed": True} if isinstance(request, Scripted) else {}
        self._events.write(
            "command", step=self._run.step, command=request.command, arguments=request.arguments, **again
        )
        request.answer(self._frame(request) | {"ok": True, "error": None} | result)

    # --- one for each command ---

    def _pause(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._steps is not None:
            self._end_steps()
        if not self.paused:
            self.paused = True
            self._events.state("paused", step=self._run.step)
        return {}

    def hold(self, reason: str | None) -> None:
        """Pause because the run itself wants a person to look."""
        if self._steps is not None:
            self._end_steps()
        if not self.paused:
            self.paused = True
            self._events.state("paused", step=self._run.step, reason=reason)

    def _resume(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._steps is not None:
            self._end_steps()
        if not self.paused:
            raise DescentError("the run is not paused")
        self._session.accept_trouble()
        self.paused = False
        self._events.state("running", step=self._run.step)
        return {}

    def _begin_steps(self, request: Request | Scripted) -> None:
        count = request.arguments.get("steps", 1)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise DescentError(f"steps = {count!r}: must be a whole number ≥ 1")
        if not self.paused:
            raise DescentError("pause the run first: a step is one of a paused run")
        if self._steps is not None:
            raise DescentError("still stepping; wait for it, or pause")
        self._session.accept_trouble()
        self._steps = self._run.step + count, request

    def _end_steps(self) -> None:
        assert self._steps is not None
        _, request = self._steps
        self._steps = None
        self._session.drain()
        self._answer(request, {})

    def _set(self, arguments: dict[str, Any]) -> dict[str, Any]:
        edits = arguments.get("edits")
        if not isinstance(edits, list) or not all(isinstance(text, str) for text in edits):
            raise DescentError('"edits" is a list of "key=value"')
        changed = live_edits.edit(self._run, edits)
        self._session.note_plan()
        return {"set": changed}

    def _checkpoint(self, arguments: dict[str, Any]) -> dict[str, Any]:
        saved = self._session.save(wanted=True)
        if saved is None:
            raise DescentError("nothing was saved: a number is not finite; rewind, or resume to go on as it is")
        return {"checkpoint": str(saved)}

    def _evaluate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._session.look()

    def _picture(self, arguments: dict[str, Any]) -> dict[str, Any]:
        kind, options = arguments.get("kind"), arguments.get("options", {})
        if not isinstance(kind, str) or not isinstance(options, dict):
            raise DescentError('a picture has a "kind", and "options" that are an object')
        return {"picture": str(self._session.picture(kind, options))}

    def _extend(self, arguments: dict[str, Any]) -> dict[str, Any]:
        allowed = {key: value for key, value in arguments.items() if key in ("epochs", "steps")}
        total_steps = live_edits.extend(self._run, **allowed)
        self._session.note_plan()
        return {"total_steps": total_steps}

    def _rewind(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"to": self._session.rewind(arguments.get("to"))}

    # --- stopping ---

    def _ask_to_stop(self, request: Request | Scripted) -> None:
        how = request.arguments.get("how", "now")
        if how not in ("now", "epoch", "discard"):
            raise DescentError(f"how = {how!r}: is one of now, epoch, discard")
        self.stop = how
        self._stopping.append(request)
        if how == "epoch":
            self.paused = False
            self._answer(request, {"at": "the end of the epoch"})
            self._stopping.pop()

    def end_epoch(self) -> None:
        """A stop that waited for the epoch's end has come."""
        if self.stop == "epoch":
            self.stop = "now"

    def say_stopped(self, receipt: str | None) -> None:
        """Answer those who asked the run to stop, and any that came too late."""
        if self._steps is not None:
            self._end_steps()
        for request in self._stopping:
            self._answer(request, {"checkpoint": receipt})
        for request in [*self._waiting, *self._queue.take_all()]:
            request.answer(self._frame(request) | {"ok": False, "error": "the run has ended"})
