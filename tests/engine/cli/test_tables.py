"""Tables in a terminal: one of a whole class, or of a whole course, would be unreadable."""

import pytest
from rich.cells import cell_len

from descent.common import stdio
from engine.cli import tables


def test_a_table_with_a_column_for_each_lab_comes_in_blocks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of twelve labs at 80 columns a column had one letter a line."""
    labs = [f"lab-{number}" for number in range(12)]
    students = ["1 김민아", "2 " + "가" * 40, "3 Jun"]
    rows = [[student, *(f"{at}/{at}" for at, _lab in enumerate(labs))] for student in students]
    monkeypatch.setattr(stdio, "width", lambda: 80)
    tables.print_in_blocks(["STUDENT", *labs], rows)
    blocks = [block.splitlines() for block in capsys.readouterr().out.split("\n\n")]
    assert len(blocks) > 1
    assert [name for block in blocks for name in block[0].split()[1:]] == labs
    assert all(len(block) == 1 + len(students) for block in blocks)
    assert [cell for block in blocks for cell in block[1].split()[2:]] == rows[0][1:]
    assert all(block[2].split()[1].endswith("가…") for block in blocks)
    assert max(cell_len(line) for block in blocks for line in block) <= 80
    monkeypatch.setattr(stdio, "width", lambda: 10_000)
    tables.print_in_blocks(["STUDENT", *labs], rows)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(students)
