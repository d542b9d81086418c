"""Commands from keys: what becomes of those that wait behind one that fails."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.handle import Run
from descent.run.folder import RunFolder
from tui.base import Notice
from tui.data.commander import Commander, Order


async def test_what_waits_behind_a_command_that_fails_is_told_to_have_failed(tmp_path: Path) -> None:
    """A dialog that waits for its answer would say "asking the worker" for ever."""
    failed: list[str] = []
    notices: list[Notice] = []

    async def refuse(run: Run) -> Any:
        raise DescentError("no such setting")

    def tell(name: str, why: str) -> None:
        failed.append(f"{name}: {why}")

    commander = Commander(Run(RunFolder(tmp_path)), notices.append)
    for name in ("first", "second"):
        commander.give(Order(name, refuse, lambda answer: "done", failed=partial(tell, name)))
    serving = asyncio.create_task(commander.serve())
    while not failed or commander.doing is not None:
        await asyncio.sleep(0)
    serving.cancel()
    assert failed == ["first: no such setting", "second: no such setting"]
    assert notices[-1].text == "no such setting"
