"""A run that stands still for as long as a test wants."""

from pathlib import Path

from tests.helpers.waiting import wait_for

# A model that stands still in its 25th step for as long as there is a file called `gate`.
HELD = """
import math, time
from pathlib import Path
import torch

class Net(torch.nn.Module):
    def __init__(self, input_shape, outputs, gate):
        super().__init__()
        self.linear = torch.nn.Linear(math.prod(input_shape), outputs)
        self.gate, self.calls = Path(gate), 0

    def forward(self, x):
        self.calls += self.training
        while self.training and self.calls == 25 and self.gate.exists():
            self.gate.with_name("reached").touch()
            time.sleep(0.005)
        return self.linear(x.flatten(1))
"""
PRESET = """
[data]
name = "digits"
size = 400
[model]
code = "{code}"
{arguments}
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.1
[train]
epochs = 10
batch_size = 32
threads = 1
statistics_every = 10
"""


class Held:
    """A preset whose training stands still in its 25th step, until it is released."""

    def __init__(self, folder: Path) -> None:
        self._gate, self._reached = folder / "gate", folder / "reached"
        self._gate.touch()
        (folder / "held.py").write_text(HELD)
        arguments = f'arguments = {{ gate = "{self._gate}" }}'
        (folder / "held.toml").write_text(PRESET.format(code="held.py:Net", arguments=arguments))
        self.start = ("run", "held.toml", "--allow-code", "--id", "mine")

    def wait(self) -> None:
        wait_for(self._reached.exists, "the 25th step")

    def release(self) -> None:
        self._gate.unlink()
