"""Run folders of today's version, to be kept: later versions must go on to read them.

    python -m tests.tools.old_runs VERSION

writes tests/old_runs/VERSION anew. Those of a version that was released stay as they are: they are what users have.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import tempfile
from pathlib import Path

from descent import handle
from descent.common.errors import ExitCode
from descent.control import NotRunningError
from tests.helpers.old_runs import FOLDER, descent, environment

SAME = ("train.device=cpu", "train.threads=1", "train.statistics_every=20", "train.keep=1")
DIGITS = ("digits-mlp", "model.widths=[8]")
LINE = ("linear-regression", "train.evaluate_every={steps=50}")
HALF, WHOLE = 200, 400  # steps of the run that was stopped


def do(*words: str, code: int = ExitCode.DONE) -> None:
    done = descent(words, Path.cwd(), os.environ)
    assert done.code == code, done


def run(name: str, preset: tuple[str, ...], *words: str, code: int = ExitCode.DONE) -> None:
    """words: settings, and options where they begin with a dash."""
    settings = [word for word in (*preset[1:], *SAME, *words) if not word.startswith("-")]
    options = [word for word in words if word.startswith("-")]
    do("run", preset[0], *(f"--set={text}" for text in settings), *options, f"--id={name}", code=code)


async def rewound() -> None:
    """A run that diverged, went back and goes on with a smaller learning rate: two generations of rows."""
    settings = ["optimizer.lr=5", "train.steps=200", "train.checkpoint_every={steps=10}", "train.on_nan=pause"]
    made = await handle.start(LINE[0], [*LINE[1:], *SAME, *settings], run_id="rewound")
    while made.state != "paused":
        await asyncio.sleep(0.05)
    await made.rewind(10)
    await made.set("optimizer.lr=0.1")
    await made.resume()
    assert await made.wait() == "finished", made.summary()


async def stopped() -> None:
    """A run that was stopped half way, and can go on."""
    settings = ["train.epochs=10"]
    made = await handle.start(DIGITS[0], [*DIGITS[1:], *SAME, *settings], run_id="stopped")
    while True:
        try:
            step = int((await made.pause())["step"])
            break
        except NotRunningError:
            await asyncio.sleep(0.01)
    assert step < HALF, f"paused at step {step} only; try again"
    await made.step(HALF - step)
    await made.stop()
    assert await made.wait() == "stopped", made.summary()


def make() -> None:
    """All the runs, in the current folder."""
    run("plain", DIGITS, "train.epochs=2", "train.checkpoint_every=1", "train.keep=2")
    run("repeats", DIGITS, "train.epochs=2", "--repeats=3")
    run(
        "sweep", LINE, "train.epochs=100", "data.validation=0.2", "--repeats=2", "--sweep=optimizer.lr=[0.1, 0.01, 5]"
    )
    run("failed", LINE, "train.epochs=100", "optimizer.lr=5", code=ExitCode.NON_FINITE)
    do("fork", "plain", "--at=40", "--set=optimizer.lr=0.01", "--id=fork")
    asyncio.run(rewound())
    asyncio.run(stopped())
    do("lab", "start", "lr-edge")
    do("lab", "predict", "lr-edge", "edge=0.8", "far=swings")
    run("lab", ("lr-edge",), "train.evaluate_every={steps=50}")
    settings = [f"--set={text}" for text in (*SAME, "train.epochs=1")]
    do("study", "run", "digits-mlp", "--vary=model.widths=[[4],[8]]", *settings, "--id=widths", "--jobs=1")


def scrub(folder: Path, place: Path) -> None:
    """Take the machine's name, the processes' numbers and the place out of the files in `folder`.

    A log keeps its length: other files name bytes of it.
    """
    host = json.dumps(socket.gethostname())
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        if file.suffix in (".pt", ".f32"):
            assert str(place).encode() not in file.read_bytes(), file
            continue
        text = file.read_text(encoding="utf-8")
        clean = text.replace(str(place), "/home/user").replace(host, json.dumps("h" * (len(host) - 2)))
        clean = re.sub(r'(?<="pid": )\d+', lambda pid: "1" * len(pid[0]), clean)
        assert file.name != "events.jsonl" or len(clean) == len(text), file
        file.write_text(clean, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.tools.old_runs", description=__doc__.splitlines()[0])
    parser.add_argument("version", metavar="VERSION")
    kept = FOLDER / parser.parse_args().version
    os.environ["PYTHONPATH"] = os.getcwd()
    with tempfile.TemporaryDirectory(prefix="old-runs-") as made:
        place = Path(made).resolve()
        os.environ.update(environment(place))
        os.chdir(place)
        make()
        scrub(place / "runs", place)
        scrub(place / "studies", place)
        shutil.rmtree(kept, ignore_errors=True)
        for name in ("runs", "studies"):
            shutil.copytree(place / name, kept / name)


if __name__ == "__main__":
    main()
