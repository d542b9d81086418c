"""A notebook would show `<descent.sync.Run …>` in the place of a run's curves, or run what a file of it holds."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from descent import sync
from descent.common.svg import Curve, line_chart
from descent.run.scalars import RECORD, Names, ScalarWriter
from tests.helpers.recorded_run import record


def test_a_cell_shows_state_result_and_curves(tmp_path: Path) -> None:
    run = sync.Run(record(tmp_path))
    page = ElementTree.fromstring(run._repr_html_())
    words = " ".join(page.itertext())
    assert "finished" in words
    assert "validation accuracy" in words
    charts = page.findall(".//{*}svg")
    assert [chart.findtext("{*}text") for chart in charts] == [
        "loss (log axis)",
        "accuracy",
        "learning rate (log axis)",
    ]
    train, validation = charts[0].findall("{*}polyline")
    assert len(train.attrib["points"].split()) == 300
    assert len(validation.attrib["points"].split()) == len(charts[0].findall("{*}circle")) == 5


def test_a_cell_shows_what_the_user_has_named(tmp_path: Path) -> None:
    """Whoever measures F1 or a KL divergence would see every curve but these."""
    run = record(tmp_path)
    names, writer = Names(run.path), ScalarWriter(run.path, 0)
    writer.append(np.array([(step, names.index("kl <b>"), step) for step in range(1000)], RECORD))
    for each in (names, writer):
        each.sync()
        each.close()
    with run.events_file.open("a") as log:
        told = {
            "time": 1.0,
            "event": "evaluation",
            "step": 9,
            "split": "validation",
            "member": 0,
            "f1": 0.5,
            "recall": 0.4,
        }
        log.write(json.dumps(told) + "\n")
    charts = ElementTree.fromstring(sync.Run(run)._repr_html_()).findall(".//{*}svg")
    assert [chart.findtext("{*}text") for chart in charts[3:]] == ["kl <b> (log axis)", "F1", "recall"]
    points = charts[3].findall("{*}polyline")[0].attrib["points"].split()
    assert len(points) == 300


@pytest.mark.parametrize("reason", ["<script>alert(1)</script>", "x" * 100_000, "\x1b[31m & \u202e"])
def test_what_a_file_says_is_shown_as_text(tmp_path: Path, reason: str) -> None:
    run = record(tmp_path)
    with run.events_file.open("a") as log:
        log.write(json.dumps({"time": 1.0, "event": "state", "state": "failed", "reason": reason}) + "\n")
    page = sync.Run(run)._repr_html_()
    assert ElementTree.fromstring(page).findall(".//script") == []
    assert "\x1b" not in page
    assert len(page) < 60_000


def test_a_chart_of_nothing_and_of_one_value_is_drawn() -> None:
    for values in ([], [0.0], [float("nan")], [3.0, 3.0]):
        curve = Curve(np.arange(float(len(values))), np.array(values), "a < b", dots=True)
        assert "a < b" in "".join(ElementTree.fromstring(line_chart([curve], "x & y")).itertext())
