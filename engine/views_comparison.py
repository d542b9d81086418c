"""`descent compare`: the finals of several runs, and the settings in which they differ."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine import comparison, library, output, views
from engine.comparison import LETTERS, METRICS, NONE, Comparison, checked, compared
from engine.progress import time_taken
from engine.run import RunFolder
from engine.texts import clean
from engine.views_runs import SIGNS

HEADS = {
    "train_loss": "TRAIN",
    "val_loss": "VAL",
    "val_accuracy": "VAL ACC",
    "test_loss": "TEST",
    "test_accuracy": "TEST ACC",
}


def found(words: Sequence[str], runs_dir: Path | None) -> list[RunFolder]:
    """The runs that the words name. DescentError where one names none, or where they are too few or too many."""
    runs = library.runs_dir(runs_dir)
    return checked([RunFolder(library.find_run(word, runs)) for word in words])


def compare(words: Sequence[str], runs_dir: Path | None, *, as_json: bool) -> None:
    """Print the table of finals and that of differing settings, or one JSON object."""
    side_by_side = compared(found(words, runs_dir))
    if as_json:
        views.print_json(as_object(side_by_side))
        return
    _print_finals(side_by_side)
    print()
    if not side_by_side.differences:
        print("no setting differs")
        return
    head = ("SETTING", *LETTERS[: len(side_by_side.finals)])
    views.print_table(head, [(row.key, *row.values) for row in side_by_side.differences], whole=("SETTING",))


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
    unicode = output.has_unicode(sys.stdout.encoding)
    there = [key for key in METRICS if any(key in each.metrics for each in found.finals)]
    heads = [HEADS[key] for key in there]
    head = ["", "RUN", "STATE", "STEP", *heads, "TIME"]
    rows = [
        [
            LETTERS[place],
            each.folder.id,
            f"{SIGNS.get(each.state, '!')} {each.state}" if unicode else each.state,
            f"{each.step:,}",
            *(comparison.metric_text(found, key, place) for key in there),
            time_taken(each.seconds),
        ]
        for place, each in enumerate(found.finals)
    ]
    views.print_table(head, rows, right=("STEP", *heads, "TIME"), whole=[name for name in head if name != "RUN"])
    for place, each in enumerate(found.finals):
        if each.parent is not None:
            print(f"{LETTERS[place]}: {comparison.origin_text(each)}")
        if each.problem:
            print(f"{LETTERS[place]}: damaged: {clean(each.problem)}")
    if found.best:
        print("*: the best")
