"""`descent lab new`: a small, complete lab as a start for one's own."""

import contextlib
import re
from pathlib import Path

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean, show, unwritable
from engine.labs.library import LAB_FILE, SOLUTION_FILE

_ID = re.compile(r"[a-z][a-z0-9_-]{0,63}")

_LAB = '''\
# {id}: one line in one sentence.
#
# Calibration: say here what was measured, so that others can trust the threshold below: over how many seeds (20 or
# more), on what machine and torch, what the start and the solution reach, and how many standard deviations lie
# between the threshold and both. `descent lab check {id}` prints value and spread.

title = "A line, too slowly"

[data]
name = "line"

[model]
name = "linear"

[loss]
name = "mse"

[optimizer]
name = "sgd"
lr = 0.01

[train]
epochs = 100
batch_size = "full"

[lab]
# The tables of the lab end the file. What stands above is what the learner gets as {id}.toml.
topic = "lines"  # lines, classification, networks, optimizers, generalisation or data
order = 900      # where in the course
minutes = 10     # what a learner takes, about
changes = ["optimizer", "train.epochs"]  # what may be changed; everything else is refused by the grader
watch = ["loss"]

[lab.title]
en = "A line, too slowly"
ko = "너무 느린 직선"

[lab.about]
en = "The learning rate decides how far gradient descent gets."
ko = "학습률에 따라 경사하강법이 어디까지 가는지 봅니다."

[lab.text]
en = """
Gradient descent fits a line to 80 points. With this **learning rate** it has not arrived after 100 steps.
"""
ko = """
경사하강법(gradient descent)으로 점 80개에 직선을 맞춥니다.
지금의 **학습률**(learning rate)로는 100번 갱신해도 도착하지 못합니다.
"""

[[lab.predictions]]
id = "loss"
kind = "number"
least = 0  # what is not possible is refused
text.en = "The noise on the targets has a standard deviation of 0.1. What test loss (MSE) can the best line reach?"
text.ko = "목푯값에 섞인 잡음의 표준편차는 0.1입니다. 가장 좋은 직선의 테스트 손실(MSE)은 얼마일까요?"
result = "mean(test_loss)"
near = 0.002  # a number within this of the result is right; else within a tenth of it
why.en = "What is left of the error is the noise, and its mean square is its variance: 0.1² = 0.01."
why.ko = "남는 오차는 잡음뿐이고, 잡음의 제곱 평균은 분산, 곧 0.1² = 0.01입니다."

[[lab.tasks]]
text.en = "Change the preset so that the line arrives: test loss at most 0.012."
text.ko = "테스트 손실이 0.012 이하가 되도록 설정을 바꾸세요."

[[lab.hints]]  # what to look at
en = "Is the loss still falling when the training ends?"
ko = "학습이 끝날 때에도 손실이 계속 줄고 있나요?"

[[lab.hints]]  # which knob
en = "Try `optimizer.lr`, a power of ten at a time."
ko = "`optimizer.lr`을 10배씩 바꿔 보세요."

[[lab.hints]]  # the worked answer
en = "`optimizer.lr = 0.5` arrives within 100 steps; above about 0.8 it diverges."
ko = "`optimizer.lr = 0.5`이면 100번 안에 도착합니다. 약 0.8을 넘으면 발산합니다."

[lab.explanation]
en = """
The loss of the best line is about the variance of the noise, 0.1² = 0.01. The rate decides how soon it is reached.
"""
ko = """
가장 좋은 직선의 손실은 대략 잡음의 분산 0.1² = 0.01입니다. 학습률은 그 값에 얼마나 빨리 이르는지를 결정합니다.
"""

[lab.grade]
set = ["train.seed=100", "members.repeats=5"]  # the graded seeds: 100 to 104
limit = 60.0                                   # seconds the graded run may take

[[lab.checks]]
id = "test-loss"
text.en = "Mean test loss over 5 seeds"
text.ko = "시드 5개의 평균 테스트 손실"
value = "mean(test_loss)"
spread = "sd(test_loss)"
most = 0.012
goal = {{ chart = "loss", series = "validation" }}
'''

_SOLUTION = '''\
set = ["optimizer.lr=0.5"]

[predictions]
loss = 0.01

[text]
en = """
With `lr = 0.5` each step takes away most of the error along the steepest direction: 100 steps are enough.
"""
ko = """
`lr = 0.5`이면 한 번 갱신할 때마다 가장 가파른 방향의 오차가 크게 줄어들어, 100번이면 충분히 수렴합니다.
"""
'''


# What a lab with code has besides.
_CODE_TASK = """
[[lab.tasks]]
text.en = "Write `gradient` in `{id}.py`: the derivatives of `loss` with respect to b and w."
text.ko = "`{id}.py`의 `gradient`를 완성하세요. `loss`를 b와 w로 미분한 값입니다."
done_when = ["met gradient"]
"""

_CODE_CHECK = """
[[lab.checks]]
id = "gradient"
text.en = "`gradient` agrees with finite differences of `loss`"
text.ko = "`gradient`가 `loss`의 유한차분과 일치합니다"
value = 'apart(learner("gradient", [0.5, 1.5]), differences("loss", [0.5, 1.5]))'
most = 1e-6

[[lab.checks.hints]]  # of this criterion alone
en = "Write the loss of one point, and take its derivative by hand."
ko = "점 하나의 손실을 쓰고 손으로 미분해 보세요."
[[lab.checks.hints]]
en = "The derivative with respect to w has one more factor than the one with respect to b: x."
ko = "w에 대한 미분에는 b에 대한 미분에 없는 x가 하나 더 곱해집니다."
[[lab.checks.hints]]
en = "`return [(2 * error).mean(), (2 * error * X).mean()]`, with `error = b + w * X - Y`."
ko = "`error = b + w * X - Y`로 두고 `return [(2 * error).mean(), (2 * error * X).mean()]`입니다."
"""

_START = '''\
"""The loss of a line, and its gradient. / 직선의 손실과 그 기울기."""

import numpy as np

X = np.array([0.0, 1.0, 2.0])
Y = np.array([1.0, 3.0, 5.0])


def loss(point):
    """Return the mean squared error of the line b + w x. point: [b, w]."""
    b, w = point
    return ((b + w * X - Y) ** 2).mean()


def gradient(point):
    """Return [dloss/db, dloss/dw] at the point [b, w]."""
    b, w = point
    raise NotImplementedError("return the two derivatives")
'''

_GRADIENT = """\
    error = b + w * X - Y  # (3,): of each point / 점마다의 오차
    return [(2 * error).mean(), (2 * error * X).mean()]
"""


def make(lab_id: str, place: Path, *, code: bool = False) -> list[Path]:
    """Write the folder `lab_id` into `place`, and return its files. code: the learner writes code, too.

    Raises DescentError if the id is not allowed, or if the folder exists or can't be written.
    """
    if not _ID.fullmatch(lab_id):
        raise DescentError(
            _("{id}: a lab's id has only a-z, 0-9, - and _, and begins with a letter", id=show(lab_id))
        )
    folder = place / lab_id
    lab = _LAB.format(id=lab_id)
    if code:
        task, before = _CODE_TASK.format(id=lab_id), "[[lab.hints]]"
        lab = lab.replace(before, f"{task.lstrip()}\n{before}", 1) + _CODE_CHECK
    files = {folder / LAB_FILE: lab, folder / SOLUTION_FILE: _SOLUTION}
    if code:
        files |= {
            folder / "start.py": _START,
            folder / "solution.py": _START[: _START.index("    raise")] + _GRADIENT,
        }
    try:
        folder.mkdir()
        for file, text in files.items():
            file.write_text(text, encoding="utf-8")
    except FileExistsError:
        raise DescentError(_("{folder} exists already; nothing was changed", folder=clean(str(folder)))) from None
    except OSError as error:
        with contextlib.suppress(OSError):  # nothing half-written keeps the id from the next try
            for file in files:
                file.unlink(missing_ok=True)
            folder.rmdir()
        raise unwritable(folder, error) from None
    return list(files)
