"""What it costs to be steered: a command's way to its acknowledgement, and a server that nobody calls."""

import asyncio
import json
import os
import random
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from descent.control import Queue, RefusedError, Server, send
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.lock import worker_pid
from descent.run.metrics import Metrics
from engine.launch import start
from engine.launch.options import Options
from tests.helpers.waiting import wait_for
from tests.tools.benchmarks.harness import Figure, Result, interleave, percentile, ratio, spread

COMMANDS = 600
PRESET = """
[data]
name = "npz"
path = "{data}"
validation = 0.08333
[model]
name = "mlp"
widths = [128, 64]
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.01
momentum = 0.9
[train]
epochs = 1000000
batch_size = 128
on_nan = "continue"
"""


def preset(folder: Path) -> Path:
    """A preset of mnist-mlp's shape: 60,000 images of 28 × 28 bytes, 10 classes, 784-128-64-10, batches of 128."""
    draw = np.random.default_rng(0)
    targets = draw.integers(0, 10, 60_000)
    inputs = draw.integers(0, 128, (60_000, 28, 28), dtype=np.uint8)
    inputs[np.arange(60_000), targets, :] += 100  # the class is a brighter line
    np.savez(folder / "data.npz", x=inputs, y=targets)
    file = folder / "mnist-shaped.toml"
    file.write_text(PRESET.format(data=folder / "data.npz"))
    return file


@contextmanager
def training(source: Path | str, *overrides: str, folder: Path) -> Iterator[RunFolder]:
    """A worker of its own, as `descent run --detach` starts it, that trains until the block ends."""
    run = start.detach(str(source), overrides, Options("live", folder / "runs"))
    try:
        wait_for(lambda: len(Metrics(run.path)) > 100, "the run")
        yield run
    finally:
        pid = worker_pid(run.path)
        if pid is not None:
            os.kill(pid, signal.SIGKILL)


# --- control ---------------------------------------------------------------------------------------------


def acknowledged(folder: Path) -> Result:
    """A client's call of `send`, connection and all, while the run trains, evaluates and saves as ever."""
    draw = random.Random(0)
    times: dict[str, list[float]] = {"set": [], "pause": [], "resume": []}
    late = []
    with training(preset(folder), folder=folder) as run:
        for number in range(COMMANDS):
            command = list(times)[number % len(times)]
            rest = draw.uniform(0.005, 0.06)
            begin = time.perf_counter()
            time.sleep(rest)
            asked = time.perf_counter()
            late.append(asked - begin - rest)
            arguments = {"edits": [f"lr_scale={draw.uniform(0.5, 1)}"]} if command == "set" else {}
            send(run.path, command, arguments)
            times[command].append(time.perf_counter() - asked)
        facts = run.facts()
    everything = [seconds for kind in times.values() for seconds in kind]
    worst = percentile(everything, 99)
    figures = [
        Figure("99th percentile", _ms(worst), "≤ 150 ms", worst <= 0.15),
        Figure("median; longest", f"{_ms(statistics.median(everything))}; {_ms(max(everything))}"),
        *(Figure(f"{kind}: median; 99th", _two(kind_times)) for kind, kind_times in times.items()),
        Figure("the client's own sleep, late by: median; 99th", _two(late)),
    ]
    return Result(figures, {**times, "late": late}, {"threads": facts["threads"], "commands": COMMANDS})


def _two(times: list[float]) -> str:
    return f"{_ms(statistics.median(times))}; {_ms(percentile(times, 99))}"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


# --- control-idle ----------------------------------------------------------------------------------------

STEPS, ROUNDS = 25, 600


def idle(folder: Path) -> Result:
    """The loop with a listening server, asked at every step, and the same loop without either."""
    import torch

    from descent.run.folder import create
    from descent.run.layout import Layout
    from engine.launch.display import Display
    from engine.preset.loading import load_preset
    from engine.training import loop, models
    from engine.training.build import build
    from engine.training.session import Session

    torch.set_num_threads(1)  # the loop's own time, without threads that wait for a core
    source = load_preset(str(preset(folder)), ["train.statistics_every=100", "train.evaluate_every=1000000"])
    run_folder = create(folder / "runs", "live", source.to_toml(), {})
    run = build(load_preset(run_folder.preset), run_folder, folder, torch.device("cpu"), fresh=True)
    run.statistics_every = 100
    layers = tuple({"name": name, "kind": models.describe(module)} for name, module in models.layers(run.model))
    layout = Layout.of(accuracy=True, members=({"member": 0, "seed": 0, "values": {}},), layers=layers)
    layout.save(run_folder.path)
    queue = Queue()
    session = Session(
        run, run_folder, layout, Events(run_folder.path), Display("idle", None),
        seconds=0.0, queue=queue, stop_wanted=lambda: False,
    )  # fmt: skip
    attend = session.commands.attend

    processor: dict[str, list[float]] = {"with": [], "without": []}

    def train(arm: str) -> float:
        run.total_steps = run.step + STEPS
        begin, spent = time.perf_counter(), time.process_time()
        loop.train(run, session)
        processor[arm].append(time.process_time() - spent)
        return time.perf_counter() - begin

    def with_server() -> float:
        server = Server(run_folder.path, queue)
        server.start()
        try:
            return train("with")
        finally:
            server.stop()

    def without() -> float:
        session.commands.attend = lambda interrupted: None  # type: ignore[method-assign]
        try:
            return train("without")
        finally:
            session.commands.attend = attend  # type: ignore[method-assign]

    with session.clock.running():
        times = interleave({"with": with_server, "without": without}, ROUNDS)
    session.close()
    figures = []
    for clock, measured in (("wall clock", times), ("processor time of all threads", processor)):
        cost = ratio(measured, "with", "without")
        low, high = spread(measured, "with", "without")
        holds = False if low > 1.01 else True if cost <= 1.01 else None  # else the machine was too busy to tell
        figures += [
            Figure(f"with an idle server / without, {clock}", f"{cost:.4f}", "≤ 1.01", holds),
            Figure("90 of 100 redrawn", f"{low:.4f} … {high:.4f}"),
        ]
    figures.append(Figure("a step without", _ms(statistics.median(times["without"]) / STEPS)))
    raw = times | {f"{arm}, processor": spent for arm, spent in processor.items()}
    return Result(figures, raw, {"steps": STEPS, "threads": 1})


# --- control-load ----------------------------------------------------------------------------------------

CLIENTS, A_SECOND, SECONDS = 20, 50, 10.0
HARMLESS: list[dict[str, Any]] = [
    {"command": "set", "arguments": {"edits": ["optimizer.lr=-1"]}},
    {"command": "set", "arguments": {"edits": ["model.widths=[3]"]}},
    {"command": "pause"},
    {"command": "resume"},
]


def load(folder: Path) -> Result:
    """1,000 commands a second from 20 clients for 10 s; every one must be answered, and no row be missing."""
    with training("digits-mlp", "train.epochs=1000000", folder=folder) as run:
        times, lasted = asyncio.run(give_load(run, CLIENTS, A_SECOND, SECONDS))
        with suppress(RefusedError):  # where the last pause of one client was followed by a resume of another
            send(run.path, "resume")
        step = send(run.path, "stop")["step"]
        wait_for(lambda: worker_pid(run.path) is None, "the end")
        rows = len(Metrics(run.path))
    wanted = round(CLIENTS * A_SECOND * SECONDS)
    figures = [
        Figure("commands answered", f"{len(times):,}", f"{wanted:,}", len(times) == wanted),
        Figure("rows missing", str(step - rows), "0", step == rows),
        Figure("commands a second", f"{len(times) / lasted:.0f}"),
        Figure("median; 99th percentile", _two(times)),
    ]
    return Result(figures, {"answers": times}, {"seconds": lasted, "steps": step})


async def give_load(run: RunFolder, clients: int, a_second: int, seconds: float) -> tuple[list[float], float]:
    """Commands that change nothing, at a steady rate from each client: the times to the answers; how long it took."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    times = []

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_unix_connection(run.path / "control.sock")
        for index in range(round(a_second * seconds)):
            await asyncio.sleep(begin + index / a_second - clock())
            asked = clock()
            writer.write(json.dumps(HARMLESS[(index + number) % len(HARMLESS)]).encode() + b"\n")
            json.loads(await reader.readline())
            times.append(clock() - asked)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return times, clock() - begin
