"""A preset that loads wrongly trains something else than was asked; a bad message leaves a student lost."""

import os
from pathlib import Path

import pytest

from descent.common.errors import PresetError
from engine.preset import consent, schema
from engine.preset.loading import Preset, load_preset

GOOD = """
[data]
name = "digits"
[model]
name = "mlp"
widths = [64]
[loss]
name = "cross-entropy"
[optimizer]
name = "sgd"
lr = 0.1
momentum = 0.9
[train]
epochs = 3
evaluate_every = 2
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.toml"
    file.write_text(GOOD)
    return file


def problems(source: Path, *overrides: str) -> list[str]:
    with pytest.raises(PresetError) as caught:
        load_preset(source, overrides)
    return str(caught.value).splitlines()


def written(folder: Path, text: str) -> Path:
    file = folder / "p.toml"
    file.write_text(text)
    return file


def optimizer_of(preset: Preset) -> dict[str, object]:
    return preset.optimizer.model_dump()


def test_a_preset_has_its_sections_name_and_path(good: Path) -> None:
    """Every part of the program reads settings through these."""
    preset = load_preset(good)
    assert (preset.name, preset.path, preset.notes) == ("good", good, ())
    assert preset.data.name == "digits"
    assert preset.train.epochs == 3
    assert preset.schedule.name == "constant"


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("model.name=lstm", "train.checkpoint_every.steps=5", "data.augment.flip=true", "train.threads=2"),
        (
            "model.code=net.py:Net",
            'model.arguments={a = [1, [2.5, "x, ]"]], b = {c = true}}',
            "title=[a] = [",
        ),
        (
            "data.name=csv",
            "data.path=a.csv",
            "data.target=y",
            'data.features=["a", "b"]',
            "schedule.warmup=3",
        ),
    ],
)
def test_the_written_preset_loads_as_the_same(good: Path, tmp_path: Path, overrides: tuple[str, ...]) -> None:
    """A run folder's preset.toml would not run the same training again."""
    first = load_preset(good, overrides)
    again = written(tmp_path, first.to_toml())
    assert load_preset(again).settings == first.settings


@pytest.mark.parametrize(
    ("text", "where", "value"),
    [
        ("model.activation=tanh", ("model", "activation"), "tanh"),
        ('model.activation="tanh"', ("model", "activation"), "tanh"),
        ("train.batch_size=full", ("train", "batch_size"), "full"),
        ("train.batch_size=7", ("train", "batch_size"), 7),
        ("model.widths=[64, 32]", ("model", "widths"), (64, 32)),
        ("optimizer.lr=.5", ("optimizer", "lr"), 0.5),
        ("train.evaluate_every.steps=5", ("train", "evaluate_every"), schema.EverySteps(steps=5)),
        ("data.augment.flip=true", ("data", "augment"), schema.Augment(flip=True)),
        ("schedule.warmup=9", ("schedule", "warmup"), 9),
        ("data.augment={shift = 2}", ("data", "augment"), schema.Augment(shift=2)),
    ],
)
def test_an_override_changes_one_setting(good: Path, text: str, where: tuple[str, str], value: object) -> None:
    """--set would be ignored, or read as something else."""
    preset = load_preset(good, [text])
    assert getattr(getattr(preset, where[0]), where[1]) == value


def test_the_last_override_of_a_key_counts(good: Path) -> None:
    """A script that appends --set to a list of defaults would not get its way."""
    assert load_preset(good, ["train.epochs=1", "train.epochs=2"]).train.epochs == 2


def test_another_kind_leaves_out_what_it_does_not_have_and_says_so(good: Path) -> None:
    """`--set optimizer.name=adam` would be refused for the preset's momentum, or drop it in silence."""
    preset = load_preset(good, ["optimizer.name=adam"])
    assert preset.optimizer.name == "adam"
    assert preset.optimizer.lr == 0.1
    assert preset.notes == ("optimizer.momentum = 0.9 of the preset does not apply to adam and was left out",)


def test_another_kind_does_not_hide_a_typo(tmp_path: Path) -> None:
    """A misspelt key would vanish with a note as soon as the kind is changed."""
    file = written(tmp_path, GOOD.replace("momentum", "momentun"))
    assert any("optimizer.momentun: unknown key of adam" in line for line in problems(file, "optimizer.name=adam"))


def test_steps_and_epochs_replace_each_other(good: Path) -> None:
    """The preset's epochs would forbid --set train.steps."""
    assert load_preset(good, ["train.steps=5"]).train.epochs is None
    assert problems(good, "train.steps=5", "train.epochs=1") == [
        "--set: give train.epochs or train.steps; both given"
    ]


def test_own_code_implies_its_kind(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--set model.code=net.py:Net` would be an unknown key of mlp."""
    monkeypatch.chdir(tmp_path)
    model = load_preset(good, ["model.code=net.py:Net"]).model
    assert isinstance(model, schema.CodeModel)
    assert model.code == f"{tmp_path}/net.py:Net"


def test_paths_are_relative_to_who_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset would find its data from one folder only."""
    text = GOOD.replace('"digits"', '"npz"\npath = "d/x.npz"').replace('"mlp"', '"mlp"\nfrom = "w.pt"')
    file = written(tmp_path, text)
    (tmp_path / "w.pt").touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    preset = load_preset(file)
    assert isinstance(preset.data, schema.NpzData)
    assert preset.data.path == str(tmp_path / "d/x.npz")
    assert preset.model.from_run == str(tmp_path / "w.pt")
    given = load_preset(file, ["data.path=y.npz", "model.from=last"])
    assert isinstance(given.data, schema.NpzData)
    assert (given.data.path, given.model.from_run) == (str(elsewhere / "y.npz"), "last")
    at_home = load_preset(file, ["data.path=~/y.npz"]).data
    assert isinstance(at_home, schema.NpzData)
    assert at_home.path == str(tmp_path / "me/y.npz")


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person would mend a preset one error at a time."""
    monkeypatch.chdir(tmp_path)
    text = GOOD.replace('"mlp"', '"mlp"\nwidht = 3').replace('"sgd"', '"sdg"').replace("epochs = 3", "epochs = 0")
    said = problems(written(tmp_path, text + 'batch_size = "ful"\n[stuff]\n'), "train.threads=none", "oops")
    for line in (
        '--set "oops": must have the form section.key=value, such as optimizer.lr=0.1',
        'p.toml: optimizer.name = "sdg": must be one of sgd, adagrad, rmsprop, adam, adamw; did you mean sgd?',
        "p.toml: train.epochs = 0: must be a whole number ≥ 1",
        'p.toml: train.batch_size = "ful": must be a whole number ≥ 1 or "full"; did you mean full?',
        '--set: train.threads = "none": must be a whole number ≥ 1 and ≤ 4096 or "auto"',
    ):
        assert line in said
    assert any(line.startswith("p.toml: model.widht: unknown key of mlp; allowed: name, ") for line in said)
    assert any(line.startswith("p.toml: model.widht") and line.endswith("did you mean widths?") for line in said)
    assert any(line.startswith("p.toml: stuff: unknown key; allowed: title, ") for line in said)
    assert len(said) == 7


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("lr = 0.1", "", "optimizer.lr: missing (Base learning rate); must be a number > 0"),
        ("lr = 0.1", "lr = nan", "optimizer.lr = nan: must be a number > 0 and finite"),
        ("lr = 0.1", "lr = true", "optimizer.lr = true: must be a number > 0"),
        ("epochs = 3", "", "give train.epochs or train.steps; neither given"),
        ("momentum = 0.9", "nesterov = true", "optimizer.nesterov = true needs optimizer.momentum > 0"),
        ("[64]", "[64, 0]", "model.widths = [64, 0]: must be a list of one or more whole numbers ≥ 1"),
        ("[64]", "[]", "model.widths = []: must be a list of one or more whole numbers ≥ 1"),
        (
            "evaluate_every = 2",
            "evaluate_every = 0",
            "train.evaluate_every = 0: must be a whole number ≥ 1 or a table { steps = … }",
        ),
        (
            "epochs = 3",
            "epochs = 3\nearly_stopping = 3",
            "train.early_stopping = 3: must be a table { patience = … }",
        ),
        (
            "epochs = 3",
            'epochs = 3\ndevice = "gpu"',
            'train.device = "gpu": must be of the form auto, cpu, cuda, cuda:N, xpu or mps',
        ),
        ("epochs = 3", f"epochs = 0x{'f' * 20}", f"train.epochs = {16**20 - 1}: must fit into 64 bits"),
        (
            '[loss]\nname = "cross-entropy"',
            "",
            "loss.name: missing; must be one of mse, mae, bce, perceptron, ",
        ),
        ("[data]", "members = 3\n[data]", "members = 3: must be a table, [members]"),
        ('[loss]\nname = "cross-entropy"', "[lab]", "the table [lab] makes this a lab, not a preset"),
        ("epochs = 3", "epochs = 3\nlr = 0.1", "; did you mean optimizer.lr?"),
        ('"sgd"', '"adam"', "; optimizer.name = sgd or rmsprop has it"),
    ],
)
def test_a_line_says_what_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, line: str
) -> None:
    """The message would not help to mend the file."""
    monkeypatch.chdir(tmp_path)
    said = problems(written(tmp_path, GOOD.replace(old, new, 1)))
    assert any(text.startswith("p.toml: ") and line in text for text in said), said


def test_a_choice_of_kinds_is_one_line(good: Path) -> None:
    """`{ stps = 3 }` would be refused in four lines: as a number, as "auto" and twice as a table."""
    said = problems(good, "train.checkpoint_every.stps=3")
    assert said == [
        "--set: train.checkpoint_every.steps: missing; must be a whole number ≥ 1",
        "--set: train.checkpoint_every.stps: unknown key; allowed: steps; did you mean steps?",
    ]


def test_a_section_that_is_no_table(tmp_path: Path) -> None:
    """`data = 3` would be a bug of ours, with a traceback, also under an override."""
    file = written(tmp_path, "data = 3\n" + GOOD.replace('[data]\nname = "digits"', ""))
    assert problems(file, "data.name=digits") == [f"{file}: data = 3: must be a table, [data]"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"[data]\nname = = 3\n", "p.toml: line 2, column 8: "),
        (b"[data]\nname = [1,\n", "p.toml: line 3: "),
        (b"# \xff\n", "p.toml, line 1: is not UTF-8 text"),
        (b"", "p.toml: is empty"),
        (b"a = " + b"[" * 100_000, "p.toml: "),
        (b"a = " + b"1" * 5000, "p.toml: "),
        (b"#" * (1 << 21), "p.toml: is larger than 1 MiB"),
    ],
)
def test_a_file_that_is_no_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, text: str) -> None:
    """A broken file would end in a traceback, or without the place to look at."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_bytes(content)
    [line] = problems(Path("p.toml"))
    assert line.startswith(text)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    """A wrong path would be a traceback."""
    assert "is a folder" in problems(tmp_path)[0]
    assert "no such file" in problems(tmp_path / "none.toml")[0]
    assert "no such file; to run the preset digits-mlp, leave out .toml" in problems(tmp_path / "digits-mlp.toml")[0]
    assert "can't be read" in problems(Path("a\0b.toml"))[0]


def test_what_never_ends_is_no_preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`descent run` would wait for ever for a pipe that nobody writes to, or fill the memory from a device."""
    monkeypatch.chdir(tmp_path)
    os.mkfifo("p.toml")
    Path("loop.toml").symlink_to("loop.toml")
    assert problems(Path("p.toml")) == [
        "p.toml: can't be read: it is a pipe or a device, not a file: save what it gives as a file, and name that"
    ]
    assert problems(Path("/dev/zero")) == [
        "/dev/zero: can't be read: it is a pipe or a device, not a file: save what it gives as a file, and name that"
    ]
    assert problems(Path("loop.toml")) == ["loop.toml: can't be read: Too many levels of symbolic links"]
    os.mkfifo("net.py")
    with pytest.raises(PresetError, match=r"can't read net\.py: it is a pipe or a device, not a file"):
        consent.check_consent("net.py:Net", allow=True)


def test_hostile_text_does_not_reach_the_terminal(tmp_path: Path) -> None:
    """A preset from the web could clear the screen, or forge a line, when it is refused."""
    hostile = '"\\u001b[2J\\u202e\\nx: ok\\u0007' + "y" * 500 + '"'
    text = GOOD.replace('"mlp"', f"{hostile}\n{hostile} = 1").replace('"digits"', f'"digits"\n{hostile} = 3')
    said = problems(written(tmp_path, text + f"seed = {hostile}\n"))
    assert all(line.isprintable() for line in said)
    assert [line for line in said if "model.name" in line and len(line) < 400]
    assert not [line for line in said if line.startswith("x: ok")]
