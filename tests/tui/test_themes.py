"""Colours that can't be told from what is behind them hide a run's state from whoever chose them to see."""

import pytest
from textual.color import Color
from textual.theme import Theme

from tui.themes import COLOURS, THEMES

LEAST = {"contrast": 6.0}  # elsewhere 4.5, what the guidelines for the web ask of text


def _light(colour: Color) -> float:
    """Relative luminance (WCAG 2.2), 0 to 1."""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def _ratio(one: str, other: str) -> float:
    low, high = sorted(_light(Color.parse(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [theme for theme in THEMES if not theme.ansi], ids=lambda theme: theme.name)
def test_the_top_line_can_be_read(theme: Theme) -> None:
    """The state of a run would be grey on grey, and "failed" not to be seen at all."""
    colours = {name: theme.variables[name] for name in (*COLOURS, "good")} | {"text": str(theme.foreground)}
    for name, colour in colours.items():
        for ground in (theme.variables["bar"], str(theme.background)):
            assert _ratio(colour, ground) >= LEAST.get(theme.name, 4.5), (name, ground)
