"""A lab that is written wrong must say so to its author, and never stop the other labs."""

from pathlib import Path

import pytest

from descent.common.errors import DescentError, PresetError
from descent.common.i18n import use
from engine.labs.library import BrokenLab, Lab, all_labs, find_lab, load_lab
from engine.preset import find, listing
from tests.helpers.small_lab import LAB, PRESET, SOLUTION, make_lab


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def error_of(folder: Path) -> str:
    with pytest.raises(PresetError) as caught:
        load_lab(folder)
    return str(caught.value)


@pytest.mark.slow
def test_every_shipped_lab_is_whole() -> None:
    """A learner would find a broken lab, or an instructor no reference solution."""
    shipped = find.shipped_presets() / "labs"
    for lab in all_labs():
        assert isinstance(lab, Lab), lab.error
        assert lab.folder.parent == shipped
        assert lab.solution().text.ko
        assert (lab.start_file is None) == (lab.solution_code is None)


def test_a_lab_is_a_preset_and_its_tables(here: Path) -> None:
    """The console would have nothing to train, or nothing to say."""
    lab = load_lab(make_lab(here))
    assert lab.preset().settings.lab == "slow-line"
    assert lab.preset().optimizer.lr == 0.01
    assert str(lab.model.explanation) == "Because of the rate."
    use("ko")
    assert str(lab.model.title) == "느린 직선"
    assert lab.solution().set == ("optimizer.lr=0.5",)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ('topic = "lines"', 'topic = "line"', 'lab.topic = "line": must be "lines", "classification", '),
        ('topic = "lines"', 'topic = "line"', "; did you mean lines?"),
        (
            "minutes = 5",
            "minuets = 5",
            "lab.minutes: missing (What a learner takes, about); must be a whole number ≥ 1",
        ),
        ("minutes = 5", "minutes = 5\nminuets = 5", "lab.minuets: unknown key; allowed: title, about, topic, "),
        ("minutes = 5", "minutes = 5\nminuets = 5", "; did you mean minutes?"),
        ("order = 1", 'order = "1"', 'lab.order = "1": must be a whole number ≥ 0'),
        (', ko = "느린 직선"', "", "lab.title.ko: missing; must be text"),
        ('[[lab.hints]]\nen = "lr = 0.5"\nko = "lr = 0.5입니다."\n', "", "must be a list of 3"),
        (
            'kind = "number"',
            'kind = "choice"',
            'lab.predictions.bias: prediction bias: kind = "choice" needs choices',
        ),
        ("most = 0.05", "most = [1]", "lab.checks.loss.most = [1]: must be a number or text"),
        ('"mean(train_loss)"', '"mean(train_loss"', "lab.checks.loss.value: "),
        ('"mean(train_loss)"', '"open.close(1)"', "only a function can be called"),
        ("most = 0.05", 'most = 0.05\npart = "other"', "check loss: there is no part other"),
        (
            "most = 0.05",
            "most = 0.05\n[[lab.checks]]\nid = 'loss'\ntext = {en='', ko=''}\nvalue = '1'",
            "used twice",
        ),
        ('"Make it faster.", ko = "더 빠르게 만드세요." }', '"", ko = "" }\ndone_when = ["went"]', "lab.tasks"),
        (
            '"Make it faster.", ko = "더 빠르게 만드세요." }',
            '"", ko = "" }\ndone_when = ["met b"]',
            "must name one of loss",
        ),
        ("[lab]", "[lab", "line 22, column 5"),
    ],
)
def test_a_line_says_file_key_given_and_allowed(here: Path, old: str, new: str, line: str) -> None:
    """An instructor would not find the slip."""
    assert old in LAB
    said = error_of(make_lab(here, lab=LAB.replace(old, new)))
    assert said.startswith("slow-line/lab.toml")
    assert line in said


def test_the_preset_of_a_lab_is_checked_too(here: Path) -> None:
    """A learner would be the first to see that it can't be trained."""
    folder = make_lab(here, preset=PRESET.replace("lr = 0.01", "lr = -1"))
    assert "slow-line/lab.toml: optimizer.lr = -1: must be a number > 0" in error_of(folder)
    part = '[lab.parts.two]\npreset = "two.toml"\ntitle = { en = "Two", ko = "둘" }\n'
    assert "two.toml: no such file" in error_of(make_lab(here, "b", lab=LAB + part))
    files = {"two.toml": 'lab = "c"\n' + PRESET}
    assert "two.toml: lab: `descent lab start` adds this key" in error_of(
        make_lab(here, "c", lab=LAB + part, files=files)
    )


def test_a_part_can_be_for_looking_alone(here: Path) -> None:
    """A learner who plays with a picture would be refused a grade for it."""
    part = '[lab.parts.two]\npreset = "two.toml"\ntitle = { en = "Two", ko = "둘" }\ngrade = false\n'
    model = load_lab(make_lab(here, lab=LAB + part, files={"two.toml": PRESET})).model
    assert model.parts["two"].grade is None
    assert model.grade is not None


def test_nothing_follows_the_tables_of_the_lab(here: Path) -> None:
    """A learner's copy, which ends where they begin, would lack settings."""
    folder = make_lab(here, preset=PRESET.partition("[train]")[0], lab=f"{LAB}\n[train]\nepochs = 20\n")
    assert "must all be at the end" in error_of(folder)
    assert "[lab], at the end" in error_of(make_lab(here, "no-table", lab=""))


def test_the_learners_code_is_the_labs_start_as_long_as_nobody_has_filled_it(here: Path) -> None:
    """The unsolved lab could not be graded: its preset names a file that only learners have."""
    preset = PRESET.replace('name = "mse"', 'code = "slow-line.py:loss"')
    folder = make_lab(here, preset=preset, files={"start.py": "def loss(outputs, targets): ...\n"})
    assert load_lab(folder).preset().loss.code == f"{folder}/start.py:loss"


def test_the_nearest_lab_wins(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instructor's own version of a lab would not be the one that runs."""
    own = tmp_path / "own"
    monkeypatch.setenv("DESCENT_PRESETS", str(own))
    named = make_lab(own / "labs")
    assert find_lab("slow-line").folder == named
    in_labs = make_lab(here / "labs")
    assert find_lab("slow-line").folder == in_labs
    beside = make_lab(here)
    assert find_lab("slow-line").folder == beside
    other = make_lab(tmp_path / "x")
    monkeypatch.chdir(other)
    assert find_lab("slow-line").folder == other


def test_a_broken_lab_is_listed_and_hides_no_other(here: Path) -> None:
    """One bad file would take all labs away."""
    make_lab(here)
    make_lab(here, "torn", lab="[lab")
    found = {lab.id: lab for lab in all_labs()}
    assert isinstance(found["torn"], BrokenLab)
    assert isinstance(found["slow-line"], Lab)
    with pytest.raises(PresetError, match=r"torn/lab\.toml"):
        find_lab("torn")


def test_a_wrong_id_gets_the_likely_one(here: Path) -> None:
    """A typo would end without a hint."""
    make_lab(here)
    with pytest.raises(DescentError, match="no such lab; did you mean slow-line"):
        find_lab("slow_lien")


def test_files_of_labs_are_no_presets(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Home would list a lab's own file as a broken preset called lab."""
    folder = make_lab(here)
    monkeypatch.chdir(folder)
    assert [entry.name for entry in listing.presets() if entry.origin != "shipped"] == []
    monkeypatch.setenv("DESCENT_PRESETS", str(folder))
    assert {"lab", "solution"}.isdisjoint(entry.name for entry in listing.presets() if not entry.broken)
    with pytest.raises(PresetError, match="descent lab start"):
        from engine.preset.loading import load_preset

        load_preset("lab.toml")


def test_a_solution_is_read_with_the_same_care(here: Path) -> None:
    """A slip in it would show in no test of the lab's author."""
    folder = make_lab(here)
    (folder / "solution.toml").write_text(SOLUTION.replace("text =", "txt ="))
    with pytest.raises(
        PresetError, match=r"solution\.toml: txt: unknown key; allowed: set, parts, .*did you mean text"
    ):
        load_lab(folder).solution()
