"""Commands from keys to a worker: one after the other, each told when it is under way, done, or refused."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from descent.common.errors import CannotGoOnError, DescentError
from descent.common.numbers import number, percent, trimmed
from descent.control import Answer, NotRunningError
from descent.handle import Run
from descent.run.state import ALIVE
from engine.launch.options import Options
from tui.base import Notice

WAIT_FOR_WORKER = 60.0  # seconds in which a new worker should have said something
NOTCH = 2.0  # notches of the dial on the learning rate to a factor of two
Send = Callable[[Run], Awaitable[Answer]]


@dataclass
class Order:
    """A command on its way. doing: told while it is; done: told of the answer. kind: a later order of that kind
    takes the place of one that has not been sent."""

    doing: str
    send: Send
    done: Callable[[Answer], str]
    kind: str = ""
    failed: Callable[[str], None] | None = None  # told the reason too, besides the status line


class Commander:
    """Sends orders in turn. The caller's screen stays alive; `say` is told what becomes of each."""

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
        """Whether an order of this kind is not answered yet."""
        return any(o.kind == kind for o in self._waiting) or (self.doing is not None and self.doing.kind == kind)

    async def serve(self) -> None:
        """Until cancelled. An order that was sent takes effect all the same."""
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
            told = f"the worker ended before it answered: {order.doing}" if ended else reason(error, self._run.id)
            text, style = told, "trouble"
        except DescentError as error:
            text, style = reason(error, self._run.id), "trouble"
        except (OSError, ValueError) as error:
            text, style = f"the worker can't be reached: {error}", "trouble"
        if style == "trouble":
            self._waiting.clear()  # what was asked for next counted on this one
            if order.failed is not None:
                order.failed(text)
        self._say(Notice(text, style, since=time.monotonic()))

    def _tell_doing(self, order: Order) -> None:
        more = f" ({len(self._waiting)} waiting)" if self._waiting else ""
        self._say(Notice(order.doing + more, busy=True))


def reason(error: DescentError, run_id: str) -> str:
    """An error without the id that the screen shows anyway."""
    return " ".join(str(error).removeprefix(f"{run_id}: ").split())


# --- the orders ---


def at(answer: Answer) -> str:
    return f"step {answer['step']:,}"


def pause() -> Order:
    return Order("pausing", lambda run: run.pause(), lambda a: f"paused at {at(a)}")


def go_on() -> Order:
    return Order("going on", lambda run: run.resume(), lambda a: f"goes on at {at(a)}")


def one_step() -> Order:
    return Order("one step", lambda run: run.step(), lambda a: f"one step, now at {at(a)}")


def save() -> Order:
    return Order("saving", lambda run: run.checkpoint(), lambda a: f"saved at {at(a)}")


def evaluate() -> Order:
    def done(answer: Answer) -> str:
        accuracy = answer.get("val_accuracy")
        reached = "" if accuracy is None else f", {percent(accuracy)}"
        return f"validation at {at(answer)}: loss {number(answer.get('val_loss'))}{reached}"

    return Order("evaluating", lambda run: run.evaluate(), done)


def turn_dial(scale: float, rate: float | None) -> Order:
    """rate: what the learning rate is at the present scale of 1, where it is known."""

    def done(answer: Answer) -> str:
        now = f": it is {trimmed(rate * scale)} now" if rate is not None else ""
        return f"rate × {trimmed(scale)} of the plan from {at(answer)} on{now}"

    return Order(f"rate × {trimmed(scale)}", lambda run: run.set(f"lr_scale={scale!r}"), done, kind="dial")


def notch(scale: float, by: int) -> float:
    """The dial's next place: powers of the square root of two, so that two presses are a factor of two."""
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
        return f"{said} from {at(answer)} on"

    return Order(f"setting {said}", lambda run: run.set(*texts), follow, failed=failed)


def more(amount: dict[str, int]) -> Order:
    return Order("extending", lambda run: run.extend(**amount), lambda a: f"will train to step {a['total_steps']:,}")


def back(to: int) -> Order:
    return Order(
        f"going back to step {to:,}", lambda run: run.rewind(to), lambda a: f"back at {at(a)}; edits since are undone"
    )


def stop(how: str) -> Order:
    async def end(run: Run) -> Answer:
        answer = await run.stop(how)
        there = await asyncio.to_thread(run.folder.checkpoints)
        return {**answer, "kept": there[-1] if there else None}

    return Order("stopping", end, _receipt)


def _receipt(answer: Answer) -> str:
    """How a run has stopped, and what there is of it to go on from."""
    if answer.get("at"):
        return f"will stop at {answer['at']}"
    saved, kept = answer.get("checkpoint"), answer.get("kept")
    if saved and str(saved).endswith(f"step-{answer['step']}.pt"):
        receipt = f"saved {saved}"
    elif saved:  # of a run with broken numbers
        receipt = f"not saved; the last good checkpoint is {saved}"
    elif kept is not None:
        receipt = f"nothing was saved, the checkpoint of step {kept:,} is kept"
    else:
        receipt = "nothing was saved, and there is no checkpoint"
    return f"stopped at {at(answer)}; {receipt}"


def revive(options: Options) -> Order:
    """A worker in the background that goes on with a run that has ended; done once it trains."""

    async def begin(run: Run) -> Answer:
        from engine.launch import start

        before = run.state
        await asyncio.to_thread(start.detach_resume, run.folder, options)
        deadline = time.monotonic() + WAIT_FOR_WORKER
        while run.state in (before, "starting"):
            if time.monotonic() > deadline:
                raise DescentError("the new worker says nothing; look at its output with l")
            await asyncio.sleep(0.1)
        if run.state == "failed":
            failed = await asyncio.to_thread(run.folder.last, "state") or {}
            raise DescentError(f"failed again: {failed.get('reason', '')}")
        event = await asyncio.to_thread(run.folder.last, "resumed")
        return {"step": int(event["to"]) if event is not None else 0}

    return Order("starting a worker", begin, lambda a: f"resumed at {at(a)}")


def back_gently(to: int, factor: float, member: int | None = None) -> list[Order]:
    """Back to the checkpoint of step `to`, and on from there at `factor` times the rate that it had.

    member: the one of several whose rate is lowered; None for all.
    """

    async def lower(run: Run) -> Answer:
        scale = await asyncio.to_thread(_dial_of, run)
        whose = [] if member is None else [f"member={member}"]
        return await run.set(*whose, f"lr_scale={scale * factor:.4g}")

    def lowered(answer: Answer) -> str:
        return f"rate × {trimmed(answer['set']['lr_scale'])} from {at(answer)} on"

    return [back(to), Order("lowering the rate", lower, lowered), go_on()]


def _dial_of(run: Run) -> float:
    """lr_scale as it is after a rewind, which has undone the edits since."""
    event = run.folder.last("plan")
    return float(event["lr_scale"]) if event is not None else 1.0
