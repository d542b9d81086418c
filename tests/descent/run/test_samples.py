"""Samples must be seen again as they were given, few enough, and never those of a past that was given up."""

from pathlib import Path

import numpy as np
import pytest
import torch

from descent.common.errors import DescentError
from descent.loop.samples import SampleRecorder
from descent.run import samples
from descent.run.events import Events
from descent.run.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def _steps(run: RunFolder, name: str) -> list[int]:
    return [each.step for each in samples.listed(run.path, run.events()).get(name, ())]


def test_images_and_texts_come_back(run: RunFolder) -> None:
    """A reconstruction would look as it is not."""
    events = Events(run.path)
    recorder = SampleRecorder(run, events)
    grey = torch.zeros(3, 1, 8, 8, requires_grad=True)
    colour = np.zeros((100, 3, 128, 256), np.uint8)
    colour[:, 1, :, 128:] = 200
    signed = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 4, 4)
    for name, given in (("grey", grey), ("colour", colour), ("signed", signed), ("한글/text", ["one", "two"])):
        recorder.put(name, given, 5)
    found = {name: samples.read(there[0].file) for name, there in samples.listed(run.path, run.events()).items()}
    images = {name: each.images for name, each in found.items() if each.images is not None}
    assert {name: image.shape for name, image in images.items()} == {
        "grey": (3, 1, 8, 8), "colour": (64, 3, 32, 64), "signed": (1, 1, 4, 4),
    }  # fmt: skip
    assert found["colour"].of == 100
    assert images["colour"][0, :, 0, [0, 63]].tolist() == [[0, 0, 0], [0, 200, 0]]
    assert images["signed"][0, 0, [0, 3], [0, 3]].tolist() == [0, 255]
    assert found["한글/text"].texts == ("one", "two")
    for wrong in (torch.zeros(3), np.zeros((2, 5, 8, 8)), [], 3, None):
        with pytest.raises(DescentError, match=r"needs images of shape \(N, C, H, W\)"):
            recorder.put("wrong", wrong, 6)
    events.close()


def test_few_stay_and_a_rewind_voids_those_after_it(run: RunFolder) -> None:
    """The disk would be filled, or an image of a past that was given up be taken for one of the present."""
    events = Events(run.path)
    recorder = SampleRecorder(run, events)
    for step in range(100):
        recorder.put("text", str(step), step)
    steps = _steps(run, "text")
    assert len(steps) == samples.MOST
    assert (steps[0], steps[-1]) == (0, 99)
    assert max(np.diff(steps)) < 40
    events.write("rewound", to=50, log=None)
    assert max(_steps(run, "text")) <= 50
    recorder.forget()
    recorder.put("text", "new", 60)
    assert _steps(run, "text")[-1] == 60
    files = sorted(int(file.stem.rpartition("-")[2]) for file in (run.path / "samples").iterdir())
    assert files == _steps(run, "text")
    child = RunFolder(run.path / "child")
    child.path.mkdir()
    samples.copy(run.path, child.path, 50)
    assert max(int(file.stem.rpartition("-")[2]) for file in (child.path / "samples").iterdir()) <= 50
    events.close()
