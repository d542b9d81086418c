"""A lab of one's own is tried before learners get it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.labs import template
from engine.labs.library import load_lab, split
from engine.labs.tryout import Criterion
from engine.labs.verdict import Result
from tests.helpers.processes import Child

HIDDEN = """
[lab.hidden]
set = ["train.seed=900"]
[[lab.hidden.checks]]
id = "wrong"
text = { en = "Not what the solution does", ko = "풀이와 다릅니다" }
value = "1 > 2"
"""


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
def test_a_new_lab_with_code_holds_what_it_promises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descent: Callable[..., Child]
) -> None:
    """An instructor would begin with a lab that its own solution fails, or find that out from learners."""
    monkeypatch.chdir(tmp_path)
    assert descent("lab", "new", "mine", "--code").end().code == 0
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {
        "lab.toml",
        "solution.toml",
        "start.py",
        "solution.py",
    }
    done = descent("lab", "try", "mine", "--seeds", "2", "--json").end()
    assert done.code == 0, done
    checks = {one["id"]: one for one in done.json["solution"]["checks"]}
    assert (checks["gradient"]["met"], checks["test-loss"]["met"], done.json["start"]["passed"]) == (2, 2, 0)
    assert checks["test-loss"]["sd"] > 0
    (tmp_path / "ours" / "mine").mkdir(parents=True)
    (tmp_path / "ours" / "mine" / "hidden.toml").write_text(HIDDEN)
    done = descent("lab", "try", "mine", "--seeds", "1", "--instructor", "ours", "--json").end()
    assert done.code == 1, done
    assert done.json["solution"]["of"] == 2  # the lab's seeds, and the hidden ones
    assert done.json["problems"] == ["wrong: the solution meets it in 0 of 2 gradings"]
    lab = tmp_path / "mine" / "lab.toml"
    lab.write_text(lab.read_text().replace('"apart(', '"[').replace("value = 'apart(learner", "value = '(learner"))
    lab.write_text(lab.read_text().replace('), differences("loss", [0.5, 1.5]))\'', "))'"))
    done = descent("lab", "try", "mine", "--seeds", "1", "--lang", "en").end()
    assert done.code == 1, done
    assert "gradient: can't be evaluated for the solution: the check gave" in done.err


def test_a_margin_is_a_distance_in_standard_deviations() -> None:
    """A threshold that fails one right answer in six would look safe."""
    below = [Result("loss", "", value, True, "most", 0.5) for value in (0.2, 0.3, 0.4)]
    assert Criterion(below).margin == pytest.approx(2.0)
    above = [Result("accuracy", "", value, True, "least", 0.5) for value in (0.2, 0.3, 0.4)]
    assert Criterion(above).margin == pytest.approx(-2.0)
    assert Criterion(below[:1]).margin is None
    assert Criterion([Result("has", "", True, True)]).mean is None


def test_a_new_lab_is_read_as_it_is_written(tmp_path: Path) -> None:
    """The first thing that an instructor tries would be broken."""
    for lab_id, code in (("plain", False), ("coded", True)):
        template.make(lab_id, tmp_path, code=code)
        lab = load_lab(tmp_path / lab_id)
        assert (lab.start_file is not None) is code
        assert [check.id for check in lab.model.checks] == ["test-loss", *(["gradient"] if code else [])]
        # What speaks of the lab's tables is not for the learner.
        assert "lab" not in split((tmp_path / lab_id / "lab.toml").read_text())[0].casefold()
