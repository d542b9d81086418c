"""Makes the README's pictures from real runs in the real app. Of the scene digits it makes the recording too."""

import argparse
import asyncio
import os
import re
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.pilot import Pilot

from descent.handle import Run
from descent.run.folder import RunFolder
from descent.run.metrics import Metrics
from engine.launch import script
from engine.launch.options import Options
from engine.launch.start import detach
from tests.helpers.readme_loop import BEFORE_README, readme_loop
from tests.helpers.waiting import until
from tests.tools.screenshots.recording import Tape
from tests.tools.screenshots.recording import svg as recording_svg
from tui.app import DescentApp
from tui.screens.console.layer import Layer
from tui.terminal import Terminal

SIZE = (100, 30)
BOARD = (112, 36)  # of a board with all of its panels
DIGITS = (  # units of a deeper net die at this rate
    "model.widths=[64,64,32]", "optimizer.lr=0.2", "train.epochs=100", "train.threads=1", "train.statistics_every=5",
)  # fmt: skip
# Fonts are fetched from afar, where the reader's own do as well; lines are cut off where they end anyway.
_NEEDLESS = re.compile(
    r"@font-face \{.*?\}\s*|<clipPath id=\"[^\"]*-line-\d+\">.*?</clipPath>\s*"
    r"| clip-path=\"url\(#[^)]*-line-\d+\)\"| shape-rendering=\"crispEdges\"", re.DOTALL,
)  # fmt: skip

Take = Callable[[Pilot[None], "RunFolder"], Awaitable[None]]


async def recording(pilot: Pilot[None], run: RunFolder) -> None:
    """A run does not learn; its rate is lowered too late, and then, rewound to its start, in time."""
    tape = Tape(pilot.app)

    async def press(*keys: str, tells: tuple[str, str], state: str = "") -> None:
        tape.tell(tells)
        await pilot.pause(0.5)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.25)
        if state:
            await until(pilot, lambda: run.state() == state, state)
        await pilot.pause(0.8)

    async def train(to: int) -> None:
        await until(pilot, lambda: steps(run) >= to, f"step {to}")

    command = ("$ descent console digits-mlp", "--set optimizer.lr=0.2 …")
    tape.tell(command)
    async with tape.rolling():
        await pilot.pause(1)
    await train(1)  # PyTorch is being loaded: some seconds of the same
    slower = ("minus",) * 4
    async with tape.rolling():
        await train(500)
        await press("space", tells=("space", "pause"), state="paused")
        await press(*slower, tells=("− − − −", "a quarter of the learning rate"))
        await press("space", tells=("space", "resume: too late, its units are dead"), state="running")
        await train(steps(run) + 350)
        await press("space", tells=("space", "pause"), state="paused")
        await press("r", tells=("r", "rewind to a checkpoint"))
        await press("end", "enter", tells=("enter", "from the start again"))
        await until(pilot, lambda: steps(run) == 0, "the start")
        await press(*slower, tells=("− − − −", "a quarter of the rate, this time before it trains"))
        await press("space", tells=("space", "resume"), state="running")
        await train(700)
        await press("space", tells=("space", "pause"), state="paused")
        tape.poster = len(tape.frames) - 1
        await pilot.pause(1.5)
    svg = recording_svg(tape.frames, tape.seconds, tape.poster, "A run of digits-mlp is steered")
    write("recording", svg)


async def layers(pilot: Pilot[None], run: RunFolder) -> None:
    """One layer, from the table of all."""
    await pilot.press("6", "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, Layer), "the layer")
    await pilot.pause(3)
    save(pilot, "layers")


async def own_loop(pilot: Pilot[None], run: RunFolder) -> None:
    """The README's loop, steered by its own setting and its own action."""
    await until(pilot, lambda: steps(run) >= 1_500, "a part of the training")
    await Run(run).set("smoothing=0.2")
    await until(pilot, lambda: steps(run) >= 3_000, "more of the training")
    await Run(run).action("reset-head")
    await until(pilot, lambda: steps(run) >= 5_000, "the rest of the training")
    await Run(run).pause()
    await pilot.pause(1)
    save(pilot, "own-loop")


async def moons(pilot: Pilot[None], run: RunFolder) -> None:
    """The decision boundary of a net that has learned its data."""
    from tui.pictures.picture import PictureView

    await until(pilot, lambda: steps(run) >= 1_500, "a part of the training")
    await Run(run).pause()
    await pilot.press("i")
    view = await until(pilot, lambda: next(iter(pilot.app.screen.query(PictureView)), None), "the pictures")
    await until(pilot, lambda: view.picture is not None, "the boundary")
    await pilot.pause(1)
    save(pilot, "boundary")
    await Run(run).resume()


async def home() -> None:
    """The list of runs and presets."""
    async with DescentApp(terminal=Terminal(), theme="dark").run_test(size=SIZE) as pilot:
        await pilot.pause(4)
        save(pilot, "home")


def steps(run: RunFolder) -> int:
    return len(Metrics(run.path)) if (run.path / "metrics.json").exists() else 0


PARSER = argparse.ArgumentParser(prog="python -m tests.tools.screenshots", description=__doc__)
PARSER.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent, help="where they are put")
PARSER.add_argument("scene", nargs="*", help="compare, moons, digits, loop or home; all of them without any")
GIVEN = PARSER.parse_args()
FOLDER: Path = GIVEN.folder.absolute()


def save(pilot: Pilot[None], name: str) -> None:
    svg = _NEEDLESS.sub("", pilot.app.export_screenshot(title="descent", simplify=True))
    svg = re.sub(r"terminal-\d+-", "", svg)
    svg = svg.replace('<g class="matrix">', '<g class="matrix" shape-rendering="crispEdges">')
    svg = re.sub(r'(="\d+\.\d)\d+', r"\1", svg)  # of places, not of what is written
    write(name, svg)


def write(name: str, svg: str) -> None:
    (FOLDER / f"{name}.svg").write_text(svg)
    print(f"{name}.svg  {len(svg.encode()) / 1024:.0f} KB")


async def compare(*runs: RunFolder) -> None:
    """Two runs over one another, once both have ended."""
    app = DescentApp(terminal=Terminal(), theme="dark", compare=runs)
    async with app.run_test(size=SIZE) as pilot:
        await until(pilot, lambda: all(run.state() == "finished" for run in runs), "the runs' ends")
        await pilot.pause(3)
        save(pilot, "compare")


async def show(run: RunFolder, *takes: Take, size: tuple[int, int] = SIZE) -> None:
    app = DescentApp(terminal=Terminal(), theme="dark", run=run)
    async with app.run_test(size=size) as pilot:
        for take in takes:
            await take(pilot, run)
    await Run(run).stop("discard")


def take_compare() -> None:
    short = ["train.epochs=40", "train.threads=1", "schedule.name=cosine"]
    rates = [detach("digits-mlp", [*short, f"optimizer.lr={lr}"], Options(f"rate-{lr}")) for lr in (0.02, 0.3)]
    asyncio.run(compare(*rates))


def take_digits() -> None:
    asyncio.run(show(detach("digits-mlp", DIGITS, Options("digits")), recording, layers, size=BOARD))


def take_moons() -> None:
    moons_run = detach("moons-mlp", ["train.epochs=100000", "train.threads=1"], Options("moons"))
    asyncio.run(show(moons_run, moons))


def take_loop() -> None:
    Path("train.py").write_text(BEFORE_README + readme_loop())
    run = script.run("train.py", [], Options("train"), resume_if_exists=False, detached=True)
    asyncio.run(show(run, own_loop))


SCENES: dict[str, Callable[[], None]] = {
    "compare": take_compare,
    "moons": take_moons,
    "digits": take_digits,
    "loop": take_loop,
    "home": lambda: asyncio.run(home()),
}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        for variable in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            os.environ[variable] = f"{place}/home"
        for scene in GIVEN.scene or SCENES:
            SCENES[scene]()


main()
