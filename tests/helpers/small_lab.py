"""A small lab for tests: one question, one task, one check."""

from collections.abc import Mapping
from pathlib import Path

PRESET = """\
# The header comment, with the calibration.

title = "A line"

[data]
name = "line"

[model]
name = "linear"

[loss]
name = "mse"

[optimizer]
name = "sgd"
lr = 0.01  # too slow

[train]
epochs = 20
batch_size = "full"
"""

LAB = """
[lab]
topic = "lines"
order = 1
minutes = 5
changes = ["optimizer.lr"]
title = { en = "A slow line", ko = "느린 직선" }
about = { en = "One knob.", ko = "설정 하나." }
text = { en = "The loss falls **slowly**.", ko = "손실이 **천천히** 줄어듭니다." }
explanation = { en = "Because of the rate.", ko = "학습률 때문입니다." }

[[lab.predictions]]
id = "bias"
kind = "number"
text = { en = "Where does b end?", ko = "b는 어디에서 끝날까요?" }

[[lab.tasks]]
text = { en = "Make it faster.", ko = "더 빠르게 만드세요." }

[[lab.hints]]
en = "Look at the loss."
ko = "손실을 보세요."
[[lab.hints]]
en = "Turn the rate."
ko = "학습률을 바꾸세요."
[[lab.hints]]
en = "lr = 0.5"
ko = "lr = 0.5입니다."

[[lab.checks]]
id = "loss"
text = { en = "The loss is small.", ko = "손실이 작습니다." }
value = "mean(train_loss)"
most = 0.05
"""

SOLUTION = """\
set = ["optimizer.lr=0.5"]
predictions = { bias = 1.0 }
text = { en = "Fifty times as fast.", ko = "50배 빠릅니다." }
"""


def make_lab(
    place: Path,
    lab_id: str = "slow-line",
    *,
    lab: str = LAB,
    preset: str = PRESET,
    files: Mapping[str, str] | None = None,
) -> Path:
    """The lab's folder in `place`; files: further ones, by name."""
    folder = place / lab_id
    folder.mkdir(parents=True)
    for name, text in {"lab.toml": preset + lab, "solution.toml": SOLUTION, **(files or {})}.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder
