"""If these fail, a learner's own model is not built, or their mistake is hard to find."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from descent.common.errors import PresetError
from engine.preset import schema
from engine.training.models import build
from engine.training.user_code import load_object

GOOD = """
import torch
from math import prod

class Net(torch.nn.Module):
    def __init__(self, input_shape, outputs, width=4):
        super().__init__()
        self.inside = torch.nn.Linear(prod(input_shape), width)
        self.norm = torch.nn.BatchNorm1d(width)
        self.head = torch.nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(torch.dropout(self.norm(self.inside(x.flatten(1))), 0.5, self.training))
"""


def make(folder: Path, text: str, **arguments: Any) -> nn.Module:
    (folder / "mine.py").write_text(text)
    keys = {"name": "code", "code": f"{folder / 'mine.py'}:Net", "arguments": arguments}
    section = schema.CodeModel.model_validate(keys)
    return build(section, input_shape=(2, 3), outputs=5, code=load_object)


def test_it_is_built_with_shape_outputs_and_arguments(tmp_path: Path) -> None:
    """Own models could not be used."""
    model = make(tmp_path, GOOD, width=7)
    assert model.get_parameter("inside.weight").shape == (7, 6)
    assert model(torch.zeros(4, 2, 3)).shape == (4, 5)


def test_trying_it_leaves_no_trace(tmp_path: Path) -> None:
    """The check of shapes would change the training: its random numbers, its batch statistics, its mode."""
    torch.manual_seed(0)
    model = make(tmp_path, GOOD)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    load_object(f"{tmp_path / 'mine.py'}:Net")((2, 3), 5)
    assert torch.equal(drawn, torch.rand(1))
    assert model.get_buffer("norm.num_batches_tracked") == 0
    assert model.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("self.head(", "self.haed("), r"mine\.py, line 13: AttributeError: .*no attribute 'haed'"),
        (("width, outputs)", "width, 3)"), r"forward\(\) must return outputs of shape \(2, 5\); .* \(2, 3\)"),
        (("return self", "self"), r"must return outputs of shape \(2, 5\); it returned NoneType"),
        (("prod(input_shape)", "7"), r"mine\.py, line 13: RuntimeError: .*mat1 and mat2"),
        (("outputs, width=4", "outputs=5, *, width"), r"mine\.py, line 5: TypeError: .*argument: 'width'"),
        (("super().__init__()", "pass"), r"mine\.py, line 8: AttributeError: cannot assign module"),
    ],
)
def test_mistakes_name_file_and_line(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """A learner would have to read a traceback through our code and torch's."""
    text = GOOD.replace(*change, 1)
    with pytest.raises(PresetError, match=message):
        make(tmp_path, text)


def test_what_is_no_module_is_refused(tmp_path: Path) -> None:
    """A function or a plain class would fail only when the training asks it for parameters."""
    with pytest.raises(PresetError, match=r"must return a torch\.nn\.Module; it returned dict"):
        make(tmp_path, "def Net(input_shape, outputs):\n    return {}\n")


def test_layers_hidden_in_a_list_are_noticed(tmp_path: Path) -> None:
    """The commonest mistake of all: nothing would be trained, and nothing would say so."""
    text = (
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, input_shape, outputs):\n"
        "        super().__init__()\n"
        "        self.parts = [torch.nn.Flatten(), torch.nn.Linear(6, outputs)]\n"
        "    def forward(self, x):\n"
        "        for part in self.parts:\n"
        "            x = part(x)\n"
        "        return x\n"
    )
    with pytest.raises(PresetError, match="no parameters; are its layers in a plain list"):
        make(tmp_path, text)


def test_no_code_runs_without_a_loader() -> None:
    """A preset from elsewhere would run code that nobody agreed to."""
    section = schema.CodeModel.model_validate({"name": "code", "code": "mine.py:Net"})
    with pytest.raises(PresetError, match="names code, and no code may be run here"):
        build(section, input_shape=(2,), outputs=1, code=None)
