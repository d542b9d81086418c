"""What is printed of runs: the table of all, one in detail, and a comparison of several."""

import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common import paths, stdio
from descent.common.errors import DescentError, why_damaged
from descent.common.glyphs import STATES, sparkline
from descent.common.numbers import NONE, metric, number, percent, time_taken
from descent.common.text import clean, shorten, show
from descent.run import comparison, find
from descent.run.comparison import LETTERS, Comparison, compared, found
from descent.run.folder import RunFolder, failed_at_start
from descent.run.metrics import METRICS, OF_RESULTS, Metrics, Numbers, Split, loss_and_accuracy
from descent.run.results import RunResult, mean_curves, result_of
from descent.run.state import ALIVE
from engine.cli import members_view, tables

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def compare(words: Sequence[str], runs_dir: Path | None, *, as_json: bool) -> None:
    """Print the table of finals and that of differing settings, or one JSON object."""
    side_by_side = compared(found(words, runs_dir))
    if as_json:
        tables.print_json(as_object(side_by_side))
        return
    _print_finals(side_by_side)
    print()
    if not side_by_side.differences:
        print("no setting differs")
        return
    head = ("SETTING", *LETTERS[: len(side_by_side.finals)])
    tables.print_table(head, [(row.key, *row.values) for row in side_by_side.differences], whole=("SETTING",))


def as_object(found: Comparison) -> dict[str, Any]:
    """The comparison for programs: runs in order, what differs by key, the ids of the best by metric."""
    runs = [
        {
            "run": each.folder.id,
            "dir": str(each.folder.path),
            "state": each.state,
            "step": each.step,
            "epoch": each.epoch,
            "seconds": each.seconds,
            "metrics": each.metrics,
            "parent": None if each.parent is None else {"run": each.parent[0], "step": each.parent[1]},
            "error": each.problem or None,
        }
        for each in found.finals
    ]
    differ = {row.key: [None if value == NONE else value for value in row.values] for row in found.differences}
    ids = {key: [found.finals[place].folder.id for place in places] for key, places in found.best.items()}
    return {"runs": runs, "differences": differ, "best": ids}


def _print_finals(found: Comparison) -> None:
    there = [key for key in OF_RESULTS if any(key in each.metrics for each in found.finals)]
    heads = [METRICS[key].narrow_head.upper() for key in there]
    head = ["", "RUN", "STATE", "STEP", *heads, "TIME"]
    rows = [
        [
            LETTERS[place],
            each.folder.id,
            f"{STATES.get(each.state, '!')} {each.state}",
            f"{each.step:,}",
            *(comparison.metric_text(found, key, place) for key in there),
            time_taken(each.seconds),
        ]
        for place, each in enumerate(found.finals)
    ]
    tables.print_table(head, rows, right=("STEP", *heads, "TIME"), whole=[name for name in head if name != "RUN"])
    for place, each in enumerate(found.finals):
        if each.parent is not None:
            print(f"{LETTERS[place]}: {comparison.origin_text(each)}")
        if each.problem:
            print(f"{LETTERS[place]}: damaged: {clean(each.problem)}")
    if found.best:
        print("*: the best")


HEAD = ("RUN", "STATE", "STEP", "LOSS", "VAL", "TEST", "STARTED")
NARROW = 92  # columns of a terminal that has no room for when a run was started
_MOST_REASONS = 5  # of runs that failed at their start
_MOST_MEMBERS = 40  # or candidates, in a table
CURVES = (("loss", "loss"), ("accuracy", "accuracy"), ("lr", "lr"), ("grad_norm", "gradient norm"))


# --- all ---


def list_runs(containing: str, runs_dir: Path | None, *, as_json: bool, each: bool = False) -> None:
    """One line a run, the latest first: those of `runs_dir`, or where none is given all that are known.

    The runs of a study are one line, unless `each` of them is wanted, or some are looked for. A run whose files can't
    be read is listed as damaged.
    """
    folders = find.known_runs(paths.runs_dir(runs_dir))
    if runs_dir is not None:
        here = paths.runs_dir(runs_dir).resolve()
        folders = [folder for folder in folders if folder.parent == here]
    studies = Counter(find.study_of(folder) for folder in folders)
    if each or containing or runs_dir is not None:
        listed = [_listed(folder) for folder in folders]
    else:
        listed = list(_grouped(folders, studies))
    word = containing.casefold()
    chosen = [(entry, row) for entry, row in listed if word in f"{entry.get('run')} {entry.get('state')}".casefold()]
    if as_json:
        grouped = [entry for entry, _ in chosen if "study" in entry]
        own = {"runs": [entry for entry, _ in chosen if "study" not in entry]}
        tables.print_json(own | ({"studies": grouped} if grouped else {}))
        return
    if not chosen:
        what = (
            f" whose id or state contains {show(containing)}" if containing else "; start one: descent run digits-mlp"
        )
        print(f"no runs{what}")
        return
    head = HEAD if stdio.width() >= NARROW else HEAD[:-1]
    rows = [row[: len(head)] for _, row in chosen]
    tables.print_table(head, rows, right=("STEP", "LOSS", "VAL", "TEST"), whole=HEAD[1:])
    for entry, _ in chosen:
        if "error" in entry:
            print(f"{clean(entry['run'])}: damaged: {shorten(clean(entry['error']), 200)}")
    _say_failed_at_start([entry for entry, _ in chosen if entry.get("failed_at_start")])
    if any("study" in entry for entry, _ in chosen):
        print("a study: descent study show STUDY; each of its runs here: --all")


def _grouped(
    folders: Sequence[Path], studies: "Counter[Path | None]"
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """As _listed, and for each study one entry where its latest run would be."""
    told: set[Path] = set()
    for folder in folders:
        study = find.study_of(folder)
        if study is None:
            yield _listed(folder)
        elif study not in told:
            told.add(study)
            count = studies[study]
            entry = {"study": study.name, "dir": str(study), "runs": count}
            began = time.strftime("%Y-%m-%d %H:%M", time.localtime((study / "study.json").stat().st_mtime))
            many = f"study of {count:,} run{'s' if count > 1 else ''}"
            yield entry, (study.name, many, *[""] * (len(HEAD) - 3), began)


def _say_failed_at_start(entries: Sequence[dict[str, Any]]) -> None:
    """Why these never began, and how to be rid of them."""
    for entry in entries[:_MOST_REASONS]:
        print(f"{entry['run']} failed at start: {shorten(clean(str(entry['reason'])), 200)}")
    if len(entries) > _MOST_REASONS:
        print(f"… and {len(entries) - _MOST_REASONS} more")
    if entries:
        print("clear one away with: descent rm RUN")


def _listed(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A run as a JSON object and as a row of the table."""
    run = RunFolder(folder)
    try:
        result, facts = result_of(run), run.facts()
        entry = result.to_json() | {
            "preset": facts.get("preset"),
            "started": facts.get("started", run.preset.stat().st_mtime),
        }
        if failed_at_start(result.state, result.step, run.origin()):
            entry |= {"failed_at_start": True, "reason": (run.last("state") or {}).get("reason")}
        return entry, _row(run, result, entry)
    except Exception as error:  # the files may hold anything, and one broken run must not hide the others
        damaged = {"run": folder.name, "dir": str(folder), "state": "damaged", "error": why_damaged(error)}
        return damaged, (folder.name, _state("damaged"), *[""] * (len(HEAD) - 2))


def _row(run: RunFolder, result: RunResult, entry: dict[str, Any]) -> tuple[str, ...]:
    reached, started = result.final_metrics, entry["started"]
    return (
        run.id,
        _state(result.state, run.host()) + (" at start" if "failed_at_start" in entry else ""),
        f"{result.step:,}",
        number(reached.get("train_loss")),
        _best_number(reached, "validation"),
        _best_number(reached, "test"),
        "" if started is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(started)),
    )


def _state(state: str, host: str = "") -> str:
    """✓ finished, or of a live run of another machine: ▶ running on HOST."""
    elsewhere = f" on {host}" if state in ALIVE and host != socket.gethostname() else ""
    return f"{STATES.get(state, '!')} {state}{elsewhere}"


def _best_number(reached: Numbers, split: Split) -> str:
    """The accuracy on a split, or the loss where there are no classes to be right about."""
    loss, accuracy = loss_and_accuracy(reached, split)
    return number(loss) if accuracy is None else percent(accuracy)


# --- one ---


def show_run(word: str, runs_dir: Path | None, *, as_json: bool) -> None:
    """All that matters of one run, with its curves as sparklines. DescentError where its files are damaged."""
    run = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    try:
        found, result, fields = _details(run)
    except Exception as error:  # the files may hold anything
        raise DescentError(
            f"{clean(str(run.path))}: the files of this run are damaged: {why_damaged(error)}"
        ) from None
    if as_json:
        tables.print_json(found)
    else:
        tables.print_fields(run.id, fields)
        for line in _members(result):
            stdio.say(line)


def _details(run: RunFolder) -> tuple[dict[str, Any], RunResult, list[tuple[str, str]]]:
    """The JSON object, what it is of, and the fields of the text."""
    result, facts = result_of(run), run.facts()
    states = [event for event in run.events() if event["event"] == "state"]
    reason = states[-1].get("reason") if states else None
    checkpoints = run.checkpoints()
    state = _state(result.state, run.host())
    if failed_at_start(result.state, result.step, run.origin()):
        state += " at start"
    fields = [("state", f"{state}: {reason}" if reason else state), *_origin(run)]
    if facts:
        planned = run.last("plan")
        fields += _facts(result, facts, planned["total_steps"] if planned else facts["total_steps"])
    several = result.has_members
    if several:
        fields.append(("members", f"{members_view.headline(result)}{_way(facts)}"))
    curves = mean_curves(Metrics(run.path), [name for name, _ in CURVES])
    for name, label in CURVES:
        line = _curve(name, curves[name]) if name in curves else ""
        if line and not (name == "lr" and several and _rates_differ(result)):
            fields.append((f"mean {label}" if several else label, line))
    for each in (METRICS["val_loss"], METRICS["test_loss"]):
        if each.name in result.metrics and not several:
            fields.append((each.split, _split(result.metrics, each.split)))
    fields.append(("checkpoints", ", ".join(f"{step:,}" for step in checkpoints) or "none"))
    fields.append(("folder", str(run.path)))
    details = {"preset": facts.get("preset"), "checkpoints": checkpoints, "reason": reason, "facts": facts}
    details["parent"] = run.origin()
    return {**result.to_json(), **details}, result, fields


def _origin(run: RunFolder) -> list[tuple[str, str]]:
    """Of a fork or a replay: which run it is of, and what differs."""
    origin = run.origin()
    if origin is None:
        return []
    from descent.run import events  # which loads the schema of presets

    what = "replay" if (run.path / events.SCRIPT).exists() else "fork"
    changed = f"; changed: {', '.join(map(clean, origin['changed']))}" if origin.get("changed") else ""
    which = f"member {origin['member']} of " if "member" in origin else "of "
    return [(what, f"{which}{clean(str(origin['run']))} at step {origin['step']:,}{changed}")]


def _members(result: RunResult) -> list[str]:
    """The tables of a run with several members: of its candidates, and of each model."""
    if not result.has_members:
        return []
    lines = ["", *members_view.table(result, most=_MOST_MEMBERS)]
    if 0 < len(result.candidates) < len(result.members):
        lines += ["", *members_view.members(result, most=_MOST_MEMBERS)]
    return lines


def _rates_differ(result: RunResult) -> bool:
    return any(key.startswith(("optimizer.lr", "schedule.")) for key in result.members[0].values)


def _way(facts: dict[str, Any]) -> str:
    ways = {"batched": "as batched matrix products", "vmap": "by torch.func.vmap", "loop": "in turns"}
    return f", computed {ways[facts['way']]}" if facts.get("way") in ways else ""


def _facts(result: RunResult, facts: dict[str, Any], total_steps: int) -> list[tuple[str, str]]:
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts["started"]))
    threads = facts["threads"]
    device = str(facts["device_name"])
    if facts["device"] == "cpu":
        device += f", {threads} thread{'s' if threads > 1 else ''}"
    pace = f", {result.step / result.seconds:,.0f} step/s" if result.seconds else ""
    return [
        ("preset", str(facts["preset"])),
        ("started", f"{started} on {facts['host']}"),
        ("device", device),
        ("step", f"{result.step:,} of {total_steps:,}, epoch {result.epoch}"),
        ("training time", f"{time_taken(result.seconds)}{pace}"),
        ("parameters", f"{facts['parameters']:,}"),
    ]


def _split(reached: Numbers, split: Split) -> str:
    loss, accuracy = loss_and_accuracy(reached, split)
    return f"loss {number(loss)}" + (f", accuracy {percent(accuracy)}" if accuracy is not None else "")


def _curve(name: str, values: "NDArray[np.float32]") -> str:
    """(n,) The metric's sparkline and its two ends; empty where nothing was measured."""
    import numpy as np

    measured = values[np.isfinite(values)]
    if not len(measured):
        return ""
    first, last = (metric(name, float(v)) for v in (measured[0], measured[-1]))
    if (measured == measured[0]).all():
        return first
    room = min(40, max(8, stdio.width() - 40))  # beside the label and the two ends
    return f"{sparkline(measured.tolist(), room)}  {first} → {last}"
