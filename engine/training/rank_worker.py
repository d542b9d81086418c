"""One of the processes that rank 0 leads: it builds the same run, and trains its part of it."""

import dataclasses
from pathlib import Path

import torch

from descent.run.folder import RunFolder
from engine.preset.loading import load_preset
from engine.training import optimizers, ranks
from engine.training.build import build
from engine.training.ranks import Link
from engine.training.resume import device_of
from engine.training.user_code import user_code


def work(link: Link) -> None:
    """Train with the others until rank 0 ends it. Raises DescentError if the run can't be built here."""
    told = link.receive()
    if told.get("do") == "end":
        return  # there is nothing to train
    folder = RunFolder(Path(told["folder"]))
    with user_code(str(folder.path / "code")):
        preset = dataclasses.replace(load_preset(folder.preset), name=told["name"])
        if not preset.train.compile:
            optimizers.leave_compiler_out()
        torch.set_num_threads(told["measured"]["threads"])
        device, _notes = device_of(preset, {})
        data_root = Path(told["data_root"])
        run = build(preset, folder, data_root, device, fresh=False, way=told["way"], processes=link.size)
        run.measured = told["measured"]
        run.statistics_every = run.measured["statistics_every"]
        ranks.follow(link, run)
