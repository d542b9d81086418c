"""Colours that can't be told from what is behind them hide a run's state from whoever chose them to see."""

import pytest
from textual.color import Color
from textual.theme import Theme

from tests.helpers.contrast import ratio
from tui import settings
from tui.themes import COLOURS, NAMES
from tui.themes import theme as theme_named

THEMES = [theme_named(name) for name in NAMES]
LEAST = {"contrast": 6.0}  # elsewhere 4.5, what the guidelines for the web ask of text


@pytest.mark.parametrize("theme", [theme for theme in THEMES if not theme.ansi], ids=lambda theme: theme.name)
def test_the_top_line_can_be_read(theme: Theme) -> None:
    """The state of a run would be grey on grey, and "failed" not to be seen at all."""
    colours = {name: theme.variables[name] for name in (*COLOURS, "good")} | {"text": str(theme.foreground)}
    for name, colour in colours.items():
        for ground in (theme.variables["bar"], str(theme.background)):
            assert ratio(Color.parse(colour).rgb, Color.parse(ground).rgb) >= LEAST.get(theme.name, 4.5), (
                name,
                ground,
            )


def test_the_settings_know_each_theme() -> None:
    """One could be seen by ctrl+t, and not be kept."""
    assert ("auto", *NAMES) == settings.THEMES
    assert [theme.name for theme in THEMES] == list(NAMES)


@pytest.mark.parametrize("theme", [theme for theme in THEMES if not theme.ansi], ids=lambda theme: theme.name)
def test_text_can_be_read(theme: Theme) -> None:
    """A palette that is pale in its own colours would hide what a run says under the cursor and in dialogs."""
    grounds = (theme.background, theme.surface, theme.variables["cursor"])
    for ground in grounds:
        assert ratio(Color.parse(str(theme.foreground)).rgb, Color.parse(str(ground)).rgb) >= 4.5, ground


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_runs_and_candidates_have_colours_of_their_own(theme: Theme) -> None:
    """A candidate in the blue of training would be taken for the training loss of another chart."""
    taken = {theme.variables[name] for name in ("train", "validation", "trouble")}
    own = [theme.variables[f"run{number}"] for number in range(1, 9)]
    assert len(set(own)) == 8
    assert not taken & set(own)
    if not theme.ansi:
        for colour in own:
            assert ratio(Color.parse(colour).rgb, Color.parse(str(theme.background)).rgb) >= 4.5, colour
