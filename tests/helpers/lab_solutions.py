"""A lab's files as a learner would have them: untouched, or with the reference solution laid over them."""

import shutil
from hashlib import sha256
from pathlib import Path

from engine.labs import flow
from engine.labs.format import Prediction
from engine.labs.library import Lab
from engine.labs.submission import Submission
from engine.preset import consent, datasets
from engine.preset.loading import load_preset


def started(lab: Lab, folder: Path) -> Submission:
    """The lab as `lab start` writes it, with predictions that anybody might make."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in flow.learners_files(lab).items():
        (folder / name).write_text(text, encoding="utf-8")
    return _agreed(Submission(lab, folder, {one.id: _guess(one) for one in lab.model.predictions}))


def solved(lab: Lab, folder: Path) -> Submission:
    """The lab with its reference solution: settings, predictions and code."""
    work, solution = started(lab, folder), lab.solution()
    settings = {None: solution.set, **{name: part.set for name, part in solution.parts.items()}}
    for part, texts in settings.items():
        if texts:
            file = work.file(part)
            file.write_text(load_preset(file, texts).to_toml(), encoding="utf-8")
    if lab.solution_code is not None:
        shutil.copyfile(lab.solution_code, folder / f"{lab.id}.py")
    return _agreed(Submission(lab, folder, {**work.predictions, **solution.predictions}))


def on_data_at_hand(work: Submission, root: Path) -> Submission:
    """The same work, on the copy of CIFAR-10 as images where the original is not in the folder `root`."""
    for part in (None, *work.lab.model.parts):
        name = work.preset(part).data.name
        if name == "cifar10" and not datasets.is_there(name, root):
            file = work.file(part)
            file.write_text(load_preset(file, ["data.source=images"]).to_toml(), encoding="utf-8")
    return work


def _agreed(work: Submission) -> Submission:
    """Agree to the code of this work, as `lab start` does."""
    if work.code is not None:
        consent.agree_for_now(sha256(work.code.read_bytes()).hexdigest())
    return work


def _guess(prediction: Prediction) -> object:
    """An answer that anybody might give."""
    ids = [choice.id for choice in prediction.choices]
    return {"number": 0.0, "choice": ids[:1], "order": ids}[prediction.kind]


def begun_and_solved(lab: Lab, folder: Path) -> None:
    """Begin the lab as a learner does, and have the solution in place of the learner's files."""
    folder.mkdir(parents=True, exist_ok=True)
    flow.start(lab, folder)
    flow.predict(lab, typed_guesses(lab))
    solved(lab, folder)


def typed_guesses(lab: Lab) -> dict[str, str]:
    """The same answers, as they are typed."""
    guesses = {one.id: _guess(one) for one in lab.model.predictions}
    return {name: ",".join(given) if isinstance(given, list) else str(given) for name, given in guesses.items()}
