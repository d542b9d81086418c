"""An assistant that reads or steers runs would be told wrong numbers, or be given commands that nobody allowed."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from descent import mcp_server, sync
from descent.common.errors import DescentError
from descent.mcp_server import LONGEST_LIST, LONGEST_TEXT, bounded
from tests.helpers.recorded_run import STEPS, record

READING = {"list_runs", "run_state", "curves", "layers", "anomalies", "evaluations", "compare"}
STEERING = {"pause", "resume", "step", "set", "evaluate", "extend", "action", "checkpoint", "rewind", "fork", "stop"}
LONG = ["train.epochs=100000", "train.evaluate_every=100", "train.threads=1"]


async def test_a_run_is_read_in_few_numbers(tmp_path: Path) -> None:
    run = record(tmp_path)
    reader = mcp_server.Reader(tmp_path)
    [listed] = (await reader.list_runs())["runs"]
    assert (listed["run"], listed["state"], listed["step"]) == (run.id, "finished", STEPS)
    assert (await reader.list_runs(live=True))["runs"] == []
    state = await reader.run_state("last")
    assert (state["step"], state["total_steps"], state["commands"][-1]["step"]) == (STEPS, STEPS, 702)
    curves = await reader.curves("last", ["loss", "lr"], points=5)
    assert [step for step, _value in curves["curves"]["loss"]] == [430, 860, 1290, 1720, 2150]
    assert curves["curves"]["loss"][0][1] > curves["curves"]["loss"][-1][1] == pytest.approx(0.05, abs=0.01)
    with pytest.raises(DescentError, match="no column losss; it has loss, accuracy"):
        await reader.curves("last", ["losss"])
    layers = {layer["name"]: layer for layer in (await reader.layers("last"))["layers"]}
    assert layers["hidden2"]["update_ratio"] == pytest.approx(1e-5)
    evaluations = await reader.evaluations("last", last=2)
    assert len(evaluations["events"]) == 2 < evaluations["of"]
    with pytest.raises(DescentError, match="2 to 8 runs can be compared, not 1"):
        await reader.compare(["last"])


def test_what_files_say_is_cleaned_and_bounded() -> None:
    """A run's file could fill an assistant's memory, or hide text from the person who reads along."""
    hostile = {"a" * 10_000: "\x1b[2J\u202e" + "x" * 10**6, "list": list(range(10**5)), "deep": [[[[[[[[1]]]]]]]]}
    found = bounded(hostile | {"nan": math.nan, "big": 10**400, "third": 1 / 3, "none": None, "yes": True})
    assert max(map(len, found)) <= LONGEST_TEXT
    assert len(found["list"]) == LONGEST_LIST
    assert "\x1b" not in json.dumps(found)
    assert (found["nan"], found["big"], found["third"], found["none"], found["yes"]) == (
        None,
        None,
        0.333333,
        None,
        True,
    )
    with pytest.raises(DescentError, match="ask for less"):
        mcp_server.answer({str(i): ["x" * LONGEST_TEXT] * LONGEST_LIST for i in range(10)})


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(DescentError, match="needs the package mcp, 2 or later"):
        mcp_server.serve(None, steer=False)


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
async def test_an_assistant_steers_a_live_run(tmp_path: Path) -> None:
    """With the client of the package itself, over a real process."""
    pytest.importorskip("mcp")
    from mcp.client import Client
    from mcp.client.stdio import StdioServerParameters

    def server(*words: str) -> Any:
        arguments = ["-m", "descent", "mcp", "--runs-dir", str(tmp_path), *words]
        return Client(StdioServerParameters(command=sys.executable, args=arguments, env=dict(os.environ)))

    async with server() as looking:
        tools = {tool.name: tool for tool in (await looking.list_tools()).tools}
        assert set(tools) == READING
        assert all(tool.annotations.read_only_hint and tool.description for tool in tools.values())
        refused = await looking.call_tool("run_state", {"run": "nothing"})
        assert refused.is_error
        assert "nothing" in refused.content[0].text
        assert "Traceback" not in refused.content[0].text
        unknown = await looking.call_tool("curves", {"run": "nothing", "smooth": 0.9})
        assert unknown.is_error
        assert "smooth" in unknown.content[0].text

    run = sync.start("digits-mlp", LONG, run_id="mine", runs_dir=tmp_path)
    async with server("--steer") as client:

        async def call(name: str, **arguments: Any) -> Any:
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result.content
            return result.structured_content

        assert {tool.name for tool in (await client.list_tools()).tools} == READING | STEERING
        assert "so a run at step 500 has made 500 updates" in client.instructions
        paused = await call("pause", run="mine")
        assert (await call("step", run="mine", steps=3))["step"] == paused["step"] + 3
        assert (await call("set", run="mine", settings=["lr_scale=0.5"]))["set"] == {"lr_scale": 0.5}
        assert 0 <= (await call("evaluate", run="mine"))["val_accuracy"] <= 1
        saved = (await call("checkpoint", run="mine"))["step"]
        forked = await call("fork", run="mine", settings=[f"train.steps={saved + 2}"], new_id="forked")
        assert forked["run"] == "forked"
        assert (await call("rewind", run="mine", to=saved))["step"] == saved
        wrong = await client.call_tool("set", {"run": "mine", "settings": ["model.widths=[3]"]})
        assert wrong.is_error
        assert "can't be changed in a live run" in wrong.content[0].text
        await call("resume", run="mine")
        compared = await call("compare", runs=["mine", "forked"])
        assert compared["differences"]["train.steps"][1] == str(saved + 2)
        assert (await call("stop", run="mine"))["ok"]
        state = await call("run_state", run="mine")
        assert state["commands"][-1]["given_by"] == "assistant"
    assert run.wait() == "stopped"
    assert sync.attach("forked", tmp_path).wait() == "finished"
