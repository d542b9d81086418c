"""A histogram of a step that was given up, or a file that grows with the run, would spoil the layer screen."""

from pathlib import Path

import numpy as np

from descent.run import histograms
from descent.run.histograms import FILE, KINDS, SHARES, HistogramWriter

LAYERS = 2


def _values(number: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.full((len(KINDS), LAYERS, len(SHARES)), number, np.float32)


def _write(run: Path, first: int, steps: range) -> HistogramWriter:
    writer = HistogramWriter(run, LAYERS, first)
    for step in steps:
        writer.append(step, _values(step))
    writer.sync()
    writer.close()
    return writer


def test_a_full_file_loses_every_second_record_and_keeps_the_first(tmp_path: Path) -> None:
    _write(tmp_path, 0, range(1000))
    found = histograms.read(tmp_path, LAYERS)
    assert histograms.MOST / 2 < len(found.steps) <= histograms.MOST
    assert found.steps[0] == 0
    assert found.steps[-1] == 999
    assert (np.diff(found.steps) > 0).all()
    assert (found.values == found.steps[:, None, None, None]).all()


def test_what_a_rewind_voids_and_what_a_crash_has_torn_is_gone(tmp_path: Path) -> None:
    _write(tmp_path, 0, range(0, 50, 10))
    with (tmp_path / FILE).open("ab") as file:
        file.write(b"torn")
    assert histograms.read(tmp_path, LAYERS).steps.tolist() == [0, 10, 20, 30, 40]
    _write(tmp_path, 25, range(25, 40, 5))
    found = histograms.read(tmp_path, LAYERS)
    assert found.steps.tolist() == [0, 10, 20, 25, 30, 35]
    assert found.values[:, 0, 0, 0].tolist() == [0, 10, 20, 25, 30, 35]


def test_a_fork_has_the_records_before_it(tmp_path: Path) -> None:
    run, fork = tmp_path / "run", tmp_path / "fork"
    run.mkdir()
    fork.mkdir()
    _write(run, 0, range(0, 50, 10))
    histograms.copy(run, fork, LAYERS, 30)
    assert histograms.read(fork, LAYERS).steps.tolist() == [0, 10, 20]
    histograms.copy(tmp_path, fork, LAYERS, 30)  # of a run without any
    assert not (fork / FILE).exists()


def test_a_model_of_very_many_layers_has_fewer_records_but_some(tmp_path: Path) -> None:
    assert HistogramWriter(tmp_path, 1, 0).most == histograms.MOST
    assert HistogramWriter(tmp_path, 10_000, 0).most == histograms.LEAST
