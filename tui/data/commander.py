"""Commands from keys to a worker: sent one after the other, with a notice when one is under way, done or refused."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from descent.common.errors import CannotGoOnError, DescentError
from descent.common.i18n import _
from descent.common.numbers import count, number, percent, trimmed
from descent.control import Answer, NotRunningError
from descent.handle import Run
from descent.run.result_metrics import score_words, values_on
from descent.run.state import ALIVE
from engine.launch.options import Options
from tui.base import Notice

WAIT_FOR_WORKER = 60.0  # seconds in which a new worker should have said something
NOTCH = 2.0  # notches of the dial on the learning rate to a factor of two
Send = Callable[[Run], Awaitable[Answer]]


@dataclass
class Order:
    """A command on its way.

    doing: the notice until the answer comes. done: makes the notice of the answer. kind: a later order of this kind
    replaces one that has not been sent.
    """

    doing: str
    send: Send
    done: Callable[[Answer], str]
    kind: str = ""
    failed: Callable[[str], None] | None = None  # given the reason, which the status line shows too


class Commander:
    """Sends orders one after the other without blocking the screen. `say` shows a notice of each."""

    def __init__(self, run: Run, say: Callable[[Notice], None]) -> None:
        self._run, self._say = run, say
        self._waiting: deque[Order] = deque()
        self._arrived = asyncio.Event()
        self.doing: Order | None = None

    def give(self, order: Order) -> None:
        if order.kind:
            for index, waiting in enumerate(self._waiting):
                if waiting.kind == order.kind:
                    self._waiting[index] = order
                    return
        self._waiting.append(order)
        self._arrived.set()
        if self.doing is not None:
            self._tell_doing(self.doing)

    def is_waiting(self, kind: str) -> bool:
        """Return whether an order of this kind is not answered yet."""
        return any(o.kind == kind for o in self._waiting) or (self.doing is not None and self.doing.kind == kind)

    async def serve(self) -> None:
        """Send orders until cancelled. An order that was sent takes effect all the same."""
        while True:
            await self._arrived.wait()
            while self._waiting:
                order = self.doing = self._waiting.popleft()
                self._tell_doing(order)
                try:
                    await self._follow(order)
                finally:
                    self.doing = None
            self._arrived.clear()

    async def _follow(self, order: Order) -> None:
        try:
            answer = await order.send(self._run)
            text, style = order.done(answer), "good"
        except (NotRunningError, CannotGoOnError) as error:
            ended = self._run.state not in ALIVE  # it may have died with the command half done
            cut_off = _("the worker ended before it answered: {doing}", doing=order.doing)
            text, style = cut_off if ended else reason(error, self._run.id), "trouble"
        except DescentError as error:
            text, style = reason(error, self._run.id), "trouble"
        except (OSError, ValueError) as error:
            text, style = _("the worker can't be reached: {error}", error=error), "trouble"
        if style == "trouble":
            dropped = [order, *self._waiting]
            self._waiting.clear()  # what was asked for next counted on this one
            for each in dropped:
                if each.failed is not None:
                    each.failed(text)
        self._say(Notice(text, style, since=time.monotonic()))

    def _tell_doing(self, order: Order) -> None:
        waiting = len(self._waiting)
        text = _("{doing} ({waiting} waiting)", doing=order.doing, waiting=waiting) if waiting else order.doing
        self._say(Notice(text, busy=True))


def reason(error: DescentError, run_id: str) -> str:
    """Return the text of an error without the run's id, which the screen shows anyway."""
    return " ".join(str(error).removeprefix(f"{run_id}: ").split())


# --- the orders ---


def step_of(answer: Answer) -> str:
    """Return the step at which the worker answered."""
    return count(answer["step"])


def pause() -> Order:
    return Order(_("pausing"), lambda run: run.pause(), lambda a: _("paused at step {step}", step=step_of(a)))


def go_on() -> Order:
    return Order(_("resuming"), lambda run: run.resume(), lambda a: _("resumed at step {step}", step=step_of(a)))


def one_step() -> Order:
    return Order(_("one step"), lambda run: run.step(), lambda a: _("one step, now at step {step}", step=step_of(a)))


def save() -> Order:
    return Order(_("saving"), lambda run: run.checkpoint(), lambda a: _("saved at step {step}", step=step_of(a)))


def evaluate() -> Order:
    def done(answer: Answer) -> str:
        values = values_on(answer, "validation")
        accuracy = [percent(values["accuracy"])] if values.get("accuracy") is not None else []
        loss = _("validation at step {step}: loss {loss}", step=step_of(answer), loss=number(values.get("loss")))
        return ", ".join([loss, *accuracy, *score_words(values)])

    return Order(_("evaluating"), lambda run: run.evaluate(), done)


def turn_dial(scale: float, before: float, planned: float | None) -> Order:
    """Multiply the planned learning rate by `scale`.

    before: the scale in force now. planned: the learning rate at a scale of 1, where it is known.
    """

    def done(answer: Answer) -> str:
        if planned is None:
            return _scaled(scale, answer)
        old, new = number(planned * before), number(planned * scale)
        return _("learning rate {old} → {new} from step {step}", old=old, new=new, step=step_of(answer))

    doing = _("learning rate × {factor}", factor=trimmed(scale))
    return Order(doing, lambda run: run.set(f"lr_scale={scale!r}"), done, kind="dial")


def _scaled(scale: float, answer: Answer) -> str:
    return _("learning rate × {factor} from step {step}", factor=trimmed(scale), step=step_of(answer))


def notch(scale: float, by: int) -> float:
    """Return the dial's next place. Places are powers of √2: two presses are a factor of two."""
    if scale <= 0:
        return 1.0 if by > 0 else 0.0
    place = NOTCH * math.log2(scale)
    # From between two places to the one that lies in the direction of the press.
    nearest = round(place)
    here = nearest if abs(place - nearest) < 1e-3 else math.floor(place) if by > 0 else math.ceil(place)
    return float(f"{2 ** ((here + by) / NOTCH):.4g}")


def change(edits: dict[str, str], done: Callable[[Answer], None], failed: Callable[[str], None]) -> Order:
    texts = [f"{key}={value}" for key, value in edits.items()]
    said = ", ".join(f"{key} = {value}" for key, value in edits.items())

    def follow(answer: Answer) -> str:
        done(answer)
        return _("{settings} from step {step}", settings=said, step=step_of(answer))

    return Order(_("setting {settings}", settings=said), lambda run: run.set(*texts), follow, failed=failed)


def act(name: str, done: Callable[[Answer], None], failed: Callable[[str], None]) -> Order:
    def follow(answer: Answer) -> str:
        done(answer)
        return _("{action}: done at step {step}", action=name, step=step_of(answer))

    return Order(_("calling {action}", action=name), lambda run: run.action(name), follow, failed=failed)


def more(amount: dict[str, int]) -> Order:
    def done(answer: Answer) -> str:
        return _("will train to step {step}", step=count(answer["total_steps"]))

    return Order(_("extending"), lambda run: run.extend(**amount), done)


def back(to: int) -> Order:
    def done(answer: Answer) -> str:
        return _("back at step {step}; later edits are undone", step=step_of(answer))

    return Order(_("rewinding to step {step}", step=count(to)), lambda run: run.rewind(to), done)


def stop(how: str) -> Order:
    async def end(run: Run) -> Answer:
        answer = await run.stop(how)
        there = await asyncio.to_thread(run.folder.checkpoints)
        return {**answer, "kept": there[-1] if there else None}

    return Order(_("stopping"), end, _receipt)


def _receipt(answer: Answer) -> str:
    """How a run has stopped, and the checkpoint that it can go on from."""
    if answer.get("at"):
        return _("will stop at the end of the epoch")
    step, saved, kept = step_of(answer), answer.get("checkpoint"), answer.get("kept")
    if saved and str(saved).endswith(f"step-{answer['step']}.pt"):
        return _("stopped at step {step}; saved {file}", step=step, file=saved)
    if saved:  # the numbers of the run are broken
        return _("stopped at step {step}; not saved, last good checkpoint: {file}", step=step, file=saved)
    if kept is not None:
        return _("stopped at step {step}; not saved, last checkpoint: step {kept}", step=step, kept=count(kept))
    return _("stopped at step {step}; not saved, and there is no checkpoint", step=step)


def revive(options: Options) -> Order:
    """Start a worker in the background that goes on with an ended run. It is done once the worker trains."""

    async def begin(run: Run) -> Answer:
        from engine.launch import start

        before = run.state
        await asyncio.to_thread(start.detach_resume, run.folder, options)
        deadline = time.monotonic() + WAIT_FOR_WORKER
        while run.state in (before, "starting"):
            if time.monotonic() > deadline:
                raise DescentError(_("the new worker does not answer; press l to see its output"))
            await asyncio.sleep(0.1)
        if run.state == "failed":
            failed = await asyncio.to_thread(run.folder.last, "state") or {}
            raise DescentError(_("failed again: {reason}", reason=failed.get("reason", "")))
        event = await asyncio.to_thread(run.folder.last, "resumed")
        return {"step": int(event["to"]) if event is not None else 0}

    return Order(_("starting a worker"), begin, lambda a: _("resumed at step {step}", step=step_of(a)))


def back_gently(to: int, factor: float, member: int | None = None) -> list[Order]:
    """Go back to the checkpoint of step `to`, and on from there at `factor` times the learning rate that it had.

    member: the one of several whose rate is lowered; None for all.
    """

    async def lower(run: Run) -> Answer:
        scale = await asyncio.to_thread(_dial_of, run)
        whose = [] if member is None else [f"member={member}"]
        return await run.set(*whose, f"lr_scale={scale * factor:.4g}")

    def lowered(answer: Answer) -> str:
        return _scaled(answer["set"]["lr_scale"], answer)

    return [back(to), Order(_("lowering the learning rate"), lower, lowered), go_on()]


def _dial_of(run: Run) -> float:
    """lr_scale after a rewind, which undoes later edits."""
    event = run.folder.last("plan")
    return float(event["lr_scale"]) if event is not None else 1.0
