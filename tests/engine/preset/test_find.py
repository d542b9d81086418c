"""A preset, a run or an agreement that is not found is lost to the user, though its file is there."""

import os
import shlex
from pathlib import Path

import pytest

from descent.common import paths
from descent.common.errors import DescentError, ExitCode, PresetError
from descent.run.find import find_run, find_weights, known_runs, note_start, study_of, word_for
from engine.preset import consent, find, listing

PRESET = (find.shipped_presets() / "linear-regression.toml").read_text()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def make_run(runs: Path, name: str, started: float = 0.0) -> Path:
    run = runs / name
    run.mkdir(parents=True)
    (run / "preset.toml").write_text(PRESET)
    os.utime(run / "preset.toml", (started, started))
    return run


def test_every_shipped_preset_loads() -> None:
    """A shipped preset would be broken for everybody."""
    entries = listing.presets()
    assert {"digits-mlp", "linear-regression"} <= {entry.name for entry in entries}
    assert [entry for entry in entries if entry.broken or entry.origin != "shipped"] == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("train.py", r"^train\.py: is Python code.*--set model\.code=train\.py:CLASS --allow-code"),
        (
            "penguins.csv",
            r"^penguins\.csv: is a table.*`descent data look penguins\.csv`.*--target COLUMN a preset",
        ),
        ("divorce.dat", r"^divorce\.dat: is a table"),
        ("sub/arrays.npz", r"""^sub/arrays\.npz: holds arrays.*'data=\{name="npz", path="sub/arrays\.npz","""),
    ],
)
def test_a_file_of_code_or_data_is_told_the_way_to_train_it(here: Path, name: str, said: str) -> None:
    """`descent run train.py` is what a newcomer tries first, and would be answered with an error of TOML."""
    (here / "sub").mkdir()
    (here / name).write_text("import torch\n")
    with pytest.raises(PresetError, match=said):
        find.find(name)


def test_shipped_presets_name_their_schema() -> None:
    """An editor would not help with them."""
    for entry in listing.presets():
        assert entry.path.read_text().splitlines()[0] == "#:schema preset.schema.json"


def test_the_nearest_preset_wins(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that a user has changed would not be the one that runs."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("DESCENT_PRESETS", str(own))
    assert find.find_preset("digits-mlp").parent == find.shipped_presets()
    (own / "digits-mlp.toml").write_text(PRESET)
    assert find.find_preset("digits-mlp").parent == own
    (here / "digits-mlp.toml").write_text(PRESET)
    assert find.find_preset("digits-mlp").parent == here


def test_an_unknown_name_gets_the_likely_one() -> None:
    """A typo would end without a hint."""
    with pytest.raises(PresetError, match="did you mean digits-mlp"):
        find.find_preset("digits_mpl")
    with pytest.raises(PresetError, match=r"there are: .*digits-mlp, .*linear-regression"):
        find.find_preset("zzz")


def test_a_broken_preset_is_listed_as_broken(here: Path) -> None:
    """One bad file would hide all presets."""
    (here / "bad.toml").write_text("[data]\nname = 3\n")
    (here / "torn.toml").write_text("[train]\nname = = 3\n")
    (here / "pyproject.toml").write_text("[project]\nname = 'x'\n")
    broken = {entry.name: entry.broken for entry in listing.presets() if entry.broken}
    assert set(broken) == {"bad", "torn"}
    assert "data.name = 3" in broken["bad"]


def test_presets_are_filtered_by_topic_and_title() -> None:
    """`descent presets list regression` would list everything or nothing."""
    names = {entry.name for entry in listing.presets("REGRESSION")}
    assert "linear-regression" in names
    assert "digits-mlp" not in names


def test_the_runs_directory(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs would land in a folder that nobody named."""
    assert paths.runs_dir(None) == here / "runs"
    monkeypatch.setenv("DESCENT_RUNS", "~/r")
    assert paths.runs_dir(None) == Path.home() / "r"
    assert paths.runs_dir(Path("x")) == here / "x"


def test_runs_are_known_once_and_the_latest_first(here: Path, tmp_path: Path) -> None:
    """`last` would be another run, or a run elsewhere would be forgotten."""
    runs = here / "runs"
    old, new = make_run(runs, "old-abcd", 100.0), make_run(runs, "new-efgh", 200.0)
    far = make_run(tmp_path / "far", "far-ijkl")
    gone = make_run(tmp_path / "far", "gone")
    (runs / "no-run").mkdir()
    note_start(far)
    note_start(gone)
    (gone / "preset.toml").unlink()
    assert known_runs(runs) == [far, new, old]
    note_start(old)
    assert known_runs(runs) == [old, far, new]
    assert find_run("last", runs) == old


def test_a_printed_command_names_this_run_and_no_other(here: Path, tmp_path: Path) -> None:
    """Whoever types what was printed would be told that it fits two runs, or would continue the other one."""
    runs, far = here / "runs", tmp_path / "my far runs"
    one = make_run(far, "한 번", 100.0)
    note_start(one)
    assert word_for(one) == "'한 번'"
    other = make_run(tmp_path / "other", "한 번", 200.0)
    note_start(other)
    for run in (one, other):
        (word,) = shlex.split(word_for(run))
        assert find_run(word, runs) == run
    near = make_run(runs, "한 번", 300.0)
    assert word_for(near) == "'한 번'"
    assert find_run("한 번", runs) == near
    (word,) = shlex.split(word_for(one))
    assert find_run(word, runs) == one


def test_the_last_run_is_none_of_a_study(here: Path) -> None:
    """`descent show last` would show the seventeenth of twenty jobs, and not the run just started by hand."""
    studies = here / "studies"
    job = make_run(studies / "mine" / "runs", "mine-0000", started=2e9)
    assert study_of(job) is None
    (studies / "mine" / "study.json").write_text("{}")
    assert study_of(job) == studies / "mine"
    note_start(job)
    assert find_run("last", here / "runs") == job.resolve()  # where there is no other
    own = make_run(here / "runs", "own")
    assert find_run("last", here / "runs") == own.resolve()
    assert find_run("mine-0000", here / "runs") == job.resolve()


def test_a_broken_note_does_not_hide_the_others(here: Path) -> None:
    """One torn line in the user's state would lose every run."""
    run = make_run(here / "runs", "a")
    note_start(run)
    with (paths.state_dir() / "runs.jsonl").open("a") as file:
        file.write('{"dir": 3}\n[]\n{"time": "x", "dir": "/"}\n{"ti')
    note_start(run)
    assert known_runs(here / "none") == [run]


def test_a_state_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch, here: Path) -> None:
    """A full or read-only home would stop a run."""
    (here / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(here / "file"))
    note_start(make_run(here / "runs", "a"))
    assert known_runs(here / "runs") == [here / "runs" / "a"]


def test_a_run_is_found_by_what_people_type(here: Path, tmp_path: Path) -> None:
    """A run would only be found by its full id."""
    runs = here / "runs"
    a, b = make_run(runs, "mlp-240101-1200-abcd"), make_run(runs, "mlp-240102-1200-efgh")
    other = make_run(tmp_path / "far", b.name)
    note_start(other)
    for word in (a.name, "mlp-240101", "abcd", str(a), "runs/" + a.name, "./runs/" + a.name):
        assert find_run(word, runs) == a
    assert find_run(b.name, runs) == b  # the one in the runs directory, of two of the same name
    with pytest.raises(DescentError, match="more than one") as caught:
        find_run("mlp", runs)
    assert str(a) in str(caught.value)
    assert str(other) in str(caught.value)
    with pytest.raises(DescentError, match=r"no such run.*abcd"):
        find_run("zzzz", runs)
    with pytest.raises(DescentError, match=r"no such run; the latest are .*; did you mean mlp-240101-1200-abcd\?$"):
        find_run("mlp-240101-1200-abcx", runs)
    with pytest.raises(DescentError, match="is not a run folder"):
        find_run("runs/none", runs)


def test_the_first_run_is_still_to_come(here: Path) -> None:
    """`descent resume last` would be a traceback on the first day."""
    with pytest.raises(DescentError, match=r"no such run; .* has no runs"):
        find_run("last", here / "runs")


def test_own_code_runs_only_after_consent(here: Path) -> None:
    """A preset from the web could run its code unasked, or changed code could run on an old consent."""
    file = here / "net.py"
    spec = f"{file}:Net"
    file.write_text("one")
    with pytest.raises(DescentError, match="--allow-code") as caught:
        consent.check_consent(spec, allow=False)
    assert caught.value.exit_code == ExitCode.WRONG_USE
    sha256 = consent.check_consent(spec, allow=True)
    assert str(file) in str(caught.value)
    assert sha256[:12] in str(caught.value)
    assert consent.agreed(sha256)
    assert consent.check_consent(spec, allow=False) == sha256
    file.write_text("two")
    with pytest.raises(DescentError, match="not agreed"):
        consent.check_consent(spec, allow=False)
    file.unlink()
    with pytest.raises(PresetError, match=r"model\.code"):
        consent.check_consent(spec, allow=True)


def test_the_name_of_a_preset_is_its_latest_run_with_weights(here: Path) -> None:
    """`model.from = "pretrain"` would be ambiguous after the second training, or take a run that saved nothing."""
    runs = here / "runs"
    first, second, empty = (make_run(runs, f"pretrain-240101-12000{turn}-abcd") for turn in range(3))
    make_run(runs, "pretrain-large-240109-120000-xyzw")
    with pytest.raises(DescentError, match=rf"no run of this preset has a checkpoint; .*{empty.name}"):
        find_weights("pretrain", runs)
    for run in (first, second):
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "step-10.pt").touch()
    for day, run in enumerate((first, second, empty)):
        os.utime(run / "preset.toml", (day, day))
    assert find_weights("pretrain", runs) == second
    assert find_weights(first.name, runs) == first
    named = make_run(runs, "pretrain")  # --id pretrain
    assert find_weights("pretrain", runs) == named
    with pytest.raises(DescentError, match=r"no such run.*train the preset first"):
        find_weights("other", runs)


def test_a_learners_copy_of_a_labs_code_is_not_asked_about(here: Path) -> None:
    """A learner would be asked at the first training of each lab with code, and after each edit of theirs."""
    code = here / "lab.py"
    code.write_text("def step(): ...\n")
    assert consent.to_agree_to(f"{code}:step") == [code]
    consent.agree_to_path(code)
    assert consent.to_agree_to(f"{code}:step") == []
    code.write_text("def step(): return 1\n")
    assert consent.to_agree_to(f"{code}:step") == []
