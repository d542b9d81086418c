"""A wrong colour in a file of the user's must not keep the console from opening, nor hide what a run says."""

from pathlib import Path

import pytest
from textual.color import Color

from descent.common.errors import DescentError
from tests.helpers.contrast import ratio
from tui import settings, user_themes
from tui.app import DescentApp
from tui.settings import Settings
from tui.terminal import Terminal
from tui.themes import COLOURS, RUNS

DARK = 'background = "#101418"\nforeground = "#eeeeee"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = tmp_path / "descent" / "themes"
    found.mkdir(parents=True)
    return found


def test_colours_are_as_given_and_the_others_those_of_dark_or_light(folder: Path) -> None:
    (folder / "mine.toml").write_text(DARK + 'train = "#7cc7ff"\nsurface = "#181c20"\n')
    (folder / "pale.toml").write_text('background = "white"\nforeground = "black"\n')
    (mine, pale), problems = user_themes.load()
    assert problems == ()
    assert (mine.name, mine.dark, mine.background, mine.surface) == ("mine", True, "#101418", "#181c20")
    assert mine.variables["train"] == "#7cc7ff"
    assert mine.variables["run1"] == RUNS["dark"][0]
    assert not pale.dark
    assert pale.variables["run1"] == RUNS["light"][0]


@pytest.mark.parametrize("ground", ["#101418", "#777777", "#f8f8f0"])
def test_text_can_be_read_whatever_is_given(folder: Path, ground: str) -> None:
    """A palette of pale colours would hide what failed."""
    lines = "".join(f'{name} = "{ground}"\n' for name in ("foreground", "accent", "good", *COLOURS))
    (folder / "flat.toml").write_text(f'background = "{ground}"\n{lines}')
    theme = user_themes.read(folder / "flat.toml")
    texts = [str(theme.foreground), *(theme.variables[name] for name in (*COLOURS, "good", "border", "run3"))]
    for behind in (str(theme.background), str(theme.surface), theme.variables["bar"]):
        for text in texts:
            assert ratio(Color.parse(text).rgb, Color.parse(behind).rgb) >= 4.5, (text, behind)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('background = "#101418"\n', "foreground is missing; a theme needs at least: background, foreground"),
        (DARK + 'trian = "red"\n', r"trian: unknown key; did you mean train\?; allowed: background, foreground"),
        (DARK + 'train = "blu"\n', r'train = "blu": must be a colour such as'),
        (DARK + 'train = "ansi_blue"\n', r'train = "ansi_blue": must be a colour such as'),
        (DARK + "train = 3\n", "train = 3: must be a colour such as"),
        (DARK + 'train = "#5cb2ff80"\n', "without transparency"),
        (DARK + 'cursor = "#ffffff"\n', 'cursor = "#ffffff": must be about as dark as background'),
        (DARK + 'runs = ["red", "blue"]\n', "runs = .*: must be a list of eight different colours"),
        (DARK + f"runs = {['red'] * 8}\n", "runs = .*: must be a list of eight different colours"),
        (DARK + 'runs = ["red", "bleu"]\n', r'runs\[1\] = "bleu": must be a colour'),
        ("background", "is not TOML"),
    ],
)
def test_a_wrong_file_says_key_given_and_allowed(folder: Path, content: str, said: str) -> None:
    (folder / "mine.toml").write_text(content)
    with pytest.raises(DescentError, match=said):
        user_themes.read(folder / "mine.toml")


@pytest.mark.parametrize("name", ["dark", "nord", "Mine", "my theme", "내것"])
def test_a_name_that_is_taken_or_can_t_be_typed_is_refused(folder: Path, name: str) -> None:
    (folder / f"{name}.toml").write_text(DARK)
    found, problems = user_themes.load()
    assert found == ()
    assert len(problems) == 1
    assert problems[0].startswith(str(folder))


async def test_the_app_offers_the_themes_and_opens_without_a_wrong_one(folder: Path) -> None:
    (folder / "mine.toml").write_text(DARK)
    (folder / "bad.toml").write_text("background = 1")
    file = settings.settings_file()
    file.write_text('theme = "mine"\n')
    liked, complaint = settings.load()
    assert complaint is None
    assert "mine" in settings.theme_names()
    own, problems = user_themes.load()
    app = DescentApp(settings=liked, own_themes=own, complaint="\n".join(problems), terminal=Terminal())
    async with app.run_test(size=(100, 30)) as pilot:
        assert app.theme == "mine"
        assert app.theme_names[-1] == "mine"
        assert any("bad.toml: background = 1" in note.message for note in app._notifications)
        await pilot.press("ctrl+t")
        assert app.theme == "dark"
    worse = DescentApp(settings=Settings(theme="bad"), own_themes=own, terminal=Terminal())
    assert worse.theme == "dark"
    file.write_text('theme = "never"\n')
    assert "must be one of auto, dark" in str(settings.load()[1])
    assert "bad, mine" in str(settings.load()[1])
