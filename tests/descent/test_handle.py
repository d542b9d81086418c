"""A script must be able to start a run, follow it, steer it and leave it, without ever blocking."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from descent import handle
from descent.common.errors import DescentError
from descent.control import RefusedError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("warm")]

LONG = ["train.epochs=100000", "train.evaluate_every=100", "train.threads=1"]


def descent(*words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "descent", *words, "--json"], capture_output=True, text=True, check=False
    )
    return {"code": done.returncode, "err": done.stderr, **json.loads(done.stdout.splitlines()[-1])}


async def test_a_run_is_started_steered_followed_and_stopped(tmp_path: Path) -> None:
    run = await handle.start("digits-mlp", LONG, run_id="mine", runs_dir=tmp_path)
    seen: list[str] = []

    async def follow() -> None:
        seen.extend([event.get("state", event["event"]) async for event in run.events()])

    following = asyncio.create_task(follow())
    paused = await run.pause()
    assert run.state == "paused"
    assert len(run.metrics()) == paused["step"]
    assert (await run.step(5))["step"] == paused["step"] + 5
    with pytest.raises(RefusedError, match="can't be changed in a live run"):
        await run.set("model.widths=[3]")
    await run.set("optimizer.lr=0.01")

    same = await handle.attach("mine", tmp_path)
    assert (await same.checkpoint())["step"] == paused["step"] + 5
    await same.resume()
    stopped = await run.stop()
    assert await run.wait() == "stopped"
    await asyncio.wait_for(following, 30)
    assert stopped["step"] == len(run.metrics())
    assert [word for word in seen if word in ("starting", "running", "paused", "stopped")] == [
        "starting", "running", "paused", "running", "stopped",
    ]  # fmt: skip


async def test_a_run_is_drawn_forked_and_taken_up_again(tmp_path: Path) -> None:
    run = await handle.start("digits-mlp", LONG, run_id="mine", runs_dir=tmp_path)
    await run.pause()
    drawn = await run.picture("confusion", samples=50)
    assert Path(drawn["picture"]).is_file()
    with pytest.raises(RefusedError, match="boundary"):
        await run.picture("boundary")
    saved = await run.checkpoint()
    await run.stop()
    assert await run.wait() == "stopped"

    last = saved["step"] + 10
    other = await run.fork(saved["step"], ["optimizer.lr=0.01", f"train.steps={last}"], run_id="other")
    await run.revive()
    assert (await run.pause())["step"] >= saved["step"]
    await run.stop()
    assert [await run.wait(), await other.wait()] == ["stopped", "finished"]
    assert other.summary()["step"] == last


async def test_what_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DescentError, match="no preset of this name"):
        await handle.start("digits-mpl", runs_dir=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.name != "home"]


async def test_a_run_that_fails_later_has_the_reason(tmp_path: Path) -> None:
    missing = tmp_path / "nothing.npz"
    run = await handle.start(
        "digits-mlp", [f'data={{name="npz", path="{missing}"}}'], run_id="mine", runs_dir=tmp_path / "runs"
    )
    assert await run.wait() == "failed"
    assert "there is no such file" in run.summary()["reason"]
    assert repr(run) == "<descent.Run mine: failed>"


def test_the_same_from_a_shell(tmp_path: Path) -> None:
    """One person starts a run in the background; another shell steers it and gets a receipt."""
    where = ("--runs-dir", str(tmp_path))
    started = descent("run", "digits-mlp", *(f"--set={text}" for text in LONG), "--detach", "--id", "bg", *where)
    assert started["run"] == "bg"
    paused = descent("pause", "bg", *where)
    assert paused["ok"]
    assert descent("show", "bg", *where)["state"] == "paused"
    assert descent("show", "bg", *where)["step"] == paused["step"]
    assert descent("step", "bg", "2", *where)["step"] == paused["step"] + 2
    assert descent("set", "bg", "lr_scale=0.5", *where)["set"] == {"lr_scale": 0.5}
    refused = descent("set", "bg", "data.name=wine", *where)
    assert refused["code"] == 2
    assert "can't be changed in a live run" in refused["error"]
    assert descent("resume", "bg", *where)["ok"]
    receipt = descent("stop", "bg", *where)
    assert Path(receipt["checkpoint"]).exists()
    assert descent("show", "bg", *where)["state"] == "stopped"
    late = descent("pause", "bg", *where)
    assert late["code"] == 2
    assert "bg is stopped; continue with: descent resume bg" in late["error"]
