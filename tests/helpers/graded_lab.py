"""A lab with code and two parts, and its grades, for the tests of the grader."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from engine.labs import progress
from engine.labs.grading import grade
from engine.labs.library import Lab, load_lab
from engine.labs.sandbox.client import Limits
from engine.labs.submission import Submission
from engine.labs.verdict import Result, Verdict
from engine.preset.consent import agree_for_now
from tests.helpers.small_lab import LAB, PRESET

QUICK = Limits(seconds=60.0, total=600.0)

CHECKS = """
[[lab.checks]]
id = "slope"
text = { en = "slope() is right.", ko = "slope()가 맞습니다." }
value = 'abs(learner("slope", 2.0) - 4.0)'
most = 1e-6
[[lab.checks]]
id = "gradient"
text = { en = "slope() is the derivative.", ko = "slope()가 도함수입니다." }
value = 'abs(learner("slope", 3.0) - differences("height", 3.0))'
most = 1e-4
[[lab.checks]]
id = "numpy-free"
text = { en = "Without NumPy.", ko = "NumPy 없이." }
value = 'not imports("numpy")'
"""

START = "def height(x):\n    return x * x\n\ndef slope(x):\n    raise NotImplementedError('slope: the derivative')\n"
SOLVED = START.replace("raise NotImplementedError('slope: the derivative')", "return 2 * x")


def make_lab(folder: Path, checks: str = CHECKS, *, grade_table: str = "", preset: str = PRESET) -> Lab:
    """labs/slow in `folder`: the small lab of `making`, with code and more checks."""
    lab = folder / "labs" / "slow"
    lab.mkdir(parents=True, exist_ok=True)
    table = LAB.replace('["optimizer.lr"]', '["optimizer.lr", "train.epochs"]')
    table = table.replace("[[lab.predictions]]", f"{grade_table}\n[[lab.predictions]]", 1)
    (lab / "lab.toml").write_text(preset + table + checks)
    (lab / "start.py").write_text(START)
    return load_lab(lab)


def work_on(lab: Lab, folder: Path, *, lr: float = 0.5, code: str = SOLVED, more: str = "") -> Submission:
    """The learner's files, edited, and what the learner predicted."""
    folder.mkdir(parents=True, exist_ok=True)
    preset = PRESET.replace("lr = 0.01", f"lr = {lr}").replace("epochs = 20", f"epochs = 200\n{more}")
    (folder / "slow.toml").write_text(f'lab = "slow"\n{preset}')
    (folder / "slow.py").write_text(code)
    return Submission(lab, folder, {"bias": 1.0})


def graded(work: Submission, folder: Path, limits: Limits = QUICK, further: Sequence[str] = ()) -> Verdict:
    place = folder / "graded"
    place.mkdir()
    if work.code is not None:
        agree_for_now(sha256(work.code.read_bytes()).hexdigest())
    return grade(work, place, limits=limits, further=further)


def check_of(verdict: Verdict, name: str) -> Result:
    return next(check for check in verdict.checks if check.id == name)


def begin(lab: Lab, work: Submission) -> None:
    """The learner of this machine has started the lab and predicted."""
    from engine.preset.consent import agree_to_path

    agree_to_path(work.folder.absolute() / "slow.py")
    progress.started(lab.id, work.folder)
    progress.predicted(lab.id, work.predictions)
