"""Run folders damaged at random, and every way to read one."""

import contextlib
import io
import json
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from descent.common.errors import DescentError
from descent.run import comparison, remove
from descent.run.events import script_of
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from descent.run.results import result_of
from engine import pictures
from engine.cli import runs_view
from engine.launch import fork
from tui.data.reader import SnapshotBuilder
from tui.data.runs import Glances

_UNCLEAR = re.compile(r"[\x00-\x1f\x7f]|Error:|the files of this run are damaged")  # in a message
SECONDS = 60  # for one reading: what takes longer waits for ever
ODD: tuple[Any, ...] = (
    None, True, -1, 3, 10**40, 0.5, 1e300, float("nan"), "", "x", "\x1b[2J", [], [1, [2]], {}, {"a": {}},
)  # fmt: skip


def damage(run: Path, rng: random.Random) -> str:
    """Damage one file of a run, and return how."""
    files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.name != "preset.toml"]
    jsons = [path for path in files if path.suffix in (".json", ".jsonl")]
    path = rng.choice(jsons if rng.random() < 0.9 else files)
    name = path.relative_to(run)
    if path.suffix not in (".json", ".jsonl") or rng.random() < 0.3:
        how = rng.choice(list(PLACES))
        content = path.read_bytes()
        path.unlink()
        PLACES[how](path, content, rng)
        return f"{name}: {how}"
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    place = rng.randrange(len(lines))
    stored = json.loads(lines[place])
    what = _changed(stored, rng)
    lines[place] = json.dumps(stored)
    path.write_text("\n".join(lines) + "\n")
    return f"{name}, {place}: {what}"


def _changed(stored: dict[str, Any], rng: random.Random) -> str:
    """Change or remove one value, however deep."""
    inside: Any = stored
    keys: list[Any] = []
    while True:
        keys.append(rng.choice(list(inside) if isinstance(inside, dict) else range(len(inside))))
        deeper = inside[keys[-1]]
        if not (isinstance(deeper, dict | list) and deeper and rng.random() < 0.6):
            break
        inside = deeper
    if rng.random() < 0.3:
        del inside[keys[-1]]
        return f"without {keys}"
    inside[keys[-1]] = rng.choice(ODD)
    return f"{keys} = {inside[keys[-1]]!r}"


def _loop(path: Path, _content: bytes, _rng: random.Random) -> None:
    path.symlink_to(path.name)


def _bytes_of_no_text(path: Path, content: bytes, rng: random.Random) -> None:
    at = rng.randrange(len(content) + 1)
    path.write_bytes(content[:at] + b"\xff\xfe\x80" + content[at:])


PLACES: dict[str, Callable[[Path, bytes, random.Random], object]] = {
    "missing": lambda path, content, rng: None,
    "empty": lambda path, content, rng: path.touch(),
    "a folder": lambda path, content, rng: path.mkdir(),
    "a pipe": lambda path, content, rng: os.mkfifo(path),
    "a loop of links": _loop,
    "a link to a device": lambda path, content, rng: path.symlink_to("/dev/zero"),
    "cut": lambda path, content, rng: path.write_bytes(content[: rng.randrange(len(content) + 1)]),
    "not UTF-8": _bytes_of_no_text,
    "too deep": lambda path, content, rng: path.write_bytes(b"[" * 100_000 + b"\n"),
    "a list": lambda path, content, rng: path.write_bytes(b"[]\n"),
}


def _followed(run: RunFolder) -> None:
    SnapshotBuilder(Follower(run)).take()


def _printed(run: RunFolder) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        for as_json in (True, False):
            runs_view.show_run(str(run.path), None, as_json=as_json)
            runs_view.list_runs("", run.path.parent, as_json=as_json)


READERS: dict[str, Callable[[RunFolder], object]] = {
    "result": result_of,
    "state": RunFolder.state,
    "host": RunFolder.host,
    "checkpoints": RunFolder.checkpoints,
    "show, runs": _printed,
    "console": _followed,
    "home": lambda run: Glances().of(run.path).problem,
    "rm": remove.ended,
    "rm unasked": remove.is_empty,
    "compare": lambda run: comparison.compared([run]).finals[0].problem,
    "relatives": lambda run: comparison.relatives(run, [run.path]),
    "fork": lambda run: fork.branch(run, None, ()),
    "replay": fork.branch_to_replay,
    "script": lambda folder: script_of(folder.path),
    "differs": lambda run: fork.first_difference(run, run),
    "pictures": lambda run: pictures.traits(run.path),
}


def bugs(run: RunFolder) -> Iterator[str]:
    """Yield every reader that fails with anything else than an error for people, or that waits."""
    for name, reader in READERS.items():
        before = signal.signal(signal.SIGALRM, _waits)
        signal.alarm(SECONDS)
        try:
            found = reader(run)
            if isinstance(found, str) and _UNCLEAR.search(found):
                yield f"{name}: {found}"
        except DescentError as error:
            if _UNCLEAR.search(str(error)):
                yield f"{name}: {error!r}"
        except (Exception, TimeoutError) as error:
            yield f"{name}: {type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)


def _waits(*_given: object) -> None:
    raise TimeoutError("it waits")
