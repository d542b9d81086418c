"""Where commands meet the training: between two steps, in the order they came."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from engine.control import Queue, Request
from engine.errors import DescentError
from engine.run import Events
from engine.training import steering
from engine.training.setup import Training

if TYPE_CHECKING:
    from engine.training.session import Session

PATIENCE = 0.2  # seconds between looks at the signals while paused


class Desk:
    """Follows the commands of a run's clients. Each is answered once it has taken effect and its line is written."""

    def __init__(self, run: Training, session: "Session", queue: Queue, events: Events) -> None:
        self._run, self._session, self._queue, self._events = run, session, queue, events
        self.paused = False
        self.stop: str | None = None  # "now", "discard" or "epoch", once asked for
        self._stopping: list[Request] = []
        self._steps: tuple[int, Request] | None = None  # while stepping: the step to pause at, and who waits
        self._follow: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "pause": self._pause,
            "resume": self._resume,
            "set": self._set,
            "checkpoint": self._checkpoint,
            "evaluate": self._evaluate,
            "extend": self._extend,
            "rewind": self._rewind,
        }

    def attend(self, interrupted: Callable[[], bool]) -> None:
        """Follow what waits; stay here while paused. `interrupted`: a signal wants the worker to end."""
        if self._steps is not None and self._run.step >= self._steps[0]:
            self._end_steps()
        requests = self._queue.take_all()
        if not requests and not self._idle():
            return
        with self._session.clock.stopped():
            self._session.drain()  # a command's answer comes after the rows of the steps before it
            while True:
                for request in requests:
                    self._take(request)
                if not self._idle() or self.stop in ("now", "discard") or interrupted():
                    return
                self._queue.wait(PATIENCE)
                requests = self._queue.take_all()

    def _idle(self) -> bool:
        return self.paused and self._steps is None

    def _take(self, request: Request) -> None:
        try:
            if request.command == "stop":
                self._ask_to_stop(request)
            elif request.command == "step":
                self._begin_steps(request)
            else:
                self._answer(request, self._follow[request.command](request.arguments))
        except DescentError as error:
            request.answer(self._frame(request) | {"ok": False, "error": str(error)})

    def _frame(self, request: Request) -> dict[str, Any]:
        return {"run": self._session.id, "command": request.command, "step": self._run.step}

    def _answer(self, request: Request, result: dict[str, Any]) -> None:
        self._events.write("command", step=self._run.step, command=request.command, arguments=request.arguments)
        request.answer(self._frame(request) | {"ok": True, "error": None} | result)

    # --- one for each command ---

    def _pause(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._steps is not None:
            self._end_steps()
        if not self.paused:
            self.paused = True
            self._events.state("paused", step=self._run.step)
        return {}

    def _resume(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self._steps is not None:
            self._end_steps()
        if not self.paused:
            raise DescentError("the run is not paused")
        self.paused = False
        self._events.state("running", step=self._run.step)
        return {}

    def _begin_steps(self, request: Request) -> None:
        count = request.arguments.get("steps", 1)
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise DescentError(f"steps = {count!r}: must be a whole number ≥ 1")
        if not self.paused:
            raise DescentError("pause the run first: a step is one of a paused run")
        if self._steps is not None:
            raise DescentError("still stepping; wait for it, or pause")
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
        changed = steering.edit(self._run, edits)
        self._session.note_plan()
        return {"set": changed}

    def _checkpoint(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"checkpoint": str(self._session.save())}

    def _evaluate(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._session.look()

    def _extend(self, arguments: dict[str, Any]) -> dict[str, Any]:
        allowed = {key: value for key, value in arguments.items() if key in ("epochs", "steps")}
        total_steps = steering.extend(self._run, **allowed)
        self._session.note_plan()
        return {"total_steps": total_steps}

    def _rewind(self, arguments: dict[str, Any]) -> dict[str, Any]:
        return {"to": self._session.rewind(arguments.get("to"))}

    # --- stopping ---

    def _ask_to_stop(self, request: Request) -> None:
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
        for request in self._queue.take_all():
            request.answer(self._frame(request) | {"ok": False, "error": "the run has ended"})
