"""The colours: dark, light, high contrast, the terminal's own sixteen, and palettes that people know.

Every theme defines variables of ours beside Textual's own: `$train` and `$validation` for the two curves, `$trouble`
for what went wrong, `$planned` for what is still to come, `$quiet` for what need not be read first; `$bar` is the
ground of the top line. Each colour has a second sign (a shape or a letter) wherever it is used.
"""

import functools
from collections.abc import Sequence

from rich.style import Style
from textual.color import Color
from textual.theme import BUILTIN_THEMES, Theme

# Eight runs or candidates over one another, each with its sign besides. None is the blue of training, the orange of
# validation or the red of trouble.
RUNS = {
    "dark": ("#3ed6c5", "#b794f6", "#f58fc0", "#b4dc52", "#e8dcb0", "#5fbf6e", "#e36df0", "#b5bcc8"),
    "light": ("#00767a", "#7a3fc4", "#b0306f", "#4f7000", "#6b5a2a", "#1d7a3a", "#a6199e", "#4a515c"),
    "contrast": ("#50fff0", "#c7a6ff", "#ffa8d0", "#c6ff4d", "#fff3c0", "#6cff8f", "#ff8cff", "#ffffff"),
    "ansi": tuple(f"ansi_{name}" for name in (
        "cyan", "magenta", "bright_green", "bright_magenta", "bright_cyan", "green", "bright_yellow", "default"
    )),
}  # fmt: skip
# Palettes that people know, of Textual's: of each the colours of training and validation.
KNOWN = {
    "nord": ("#81a1c1", "#ebcb8b"),
    "gruvbox": ("#83a598", "#fe8019"),
    "catppuccin-mocha": ("#89b4fa", "#fab387"),
    "catppuccin-latte": ("#1e66f5", "#b5480a"),
    "tokyo-night": ("#7aa2f7", "#ff9e64"),
    "dracula": ("#8be9fd", "#ffb86c"),
    "solarized-dark": ("#268bd2", "#b58900"),
    "solarized-light": ("#268bd2", "#b58900"),
}
NAMES = ("dark", "light", "contrast", "ansi", *KNOWN)
LEAST_CONTRAST = 4.6  # what the guidelines for the web ask of text is 4.5
COLOURS = ("train", "validation", "trouble", "planned", "quiet")


def chosen(setting: str, colours: int, known: Sequence[str] = NAMES) -> str:
    """The theme for a setting; `auto`, or one not known, is dark, or the terminal's own colours where it has few."""
    return setting if setting in known else "ansi" if colours < 256 else "dark"


def style(variables: dict[str, str], name: str) -> Style:
    """A theme variable, such as "train", as a foreground for Rich."""
    colour = Color.parse(variables[name])
    return Style(dim=True) if name == "quiet" and colour.ansi is not None else Style(color=colour.rich_color)


def _of_runs(theme: str) -> dict[str, str]:
    return {f"run{number}": colour for number, colour in enumerate(RUNS[theme], 1)}


def readable(colour: str, grounds: Sequence[str]) -> str:
    """Return the colour, as much lighter or darker as it must be to be read on each of the grounds."""
    behind = [Color.parse(ground) for ground in grounds]
    far = Color.parse("#ffffff" if is_dark(grounds[0]) else "#000000")
    found = Color.parse(colour)
    for part in range(1, 21):
        if all(_contrast(found, ground) >= LEAST_CONTRAST for ground in behind):
            break
        found = Color.parse(colour).blend(far, part / 20)
    return found.hex6.lower()


def is_dark(ground: str) -> bool:
    """Return whether white text can be read better on it than black text."""
    return contrast(ground, "#ffffff") >= contrast(ground, "#000000")


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21."""
    return _contrast(Color.parse(one), Color.parse(other))


def _contrast(one: Color, other: Color) -> float:
    """Return the contrast ratio of WCAG 2.2, 1 to 21."""
    low, high = sorted(_luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: Color) -> float:
    parts = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in colour.normalized)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def made(
    name: str,
    *,
    ground: str,
    surface: str,
    panel: str,
    text: str,
    accent: str,
    cursor: str,
    bar: str,
    ours: Sequence[str],
    good: str,
    dark: bool,
    runs: dict[str, str] | None = None,
) -> Theme:
    """Return a theme. panel: of lines. cursor: behind what is chosen. ours: of COLOURS. runs: by variable."""
    variables = (
        dict(zip(COLOURS, ours, strict=True))
        | (_of_runs(name) if runs is None else runs)
        | {
            "good": good,
            "rule": panel,
            "cursor": cursor,
            "bar": bar,
            "block-cursor-background": cursor,
            "block-cursor-foreground": text,
            "block-cursor-blurred-background": cursor,
            "input-cursor-background": text,
            "input-cursor-foreground": ground,
            "input-selection-background": f"{accent} 35%",
            "scrollbar": panel,
            "scrollbar-hover": accent,
            "scrollbar-active": accent,
            "scrollbar-background": ground,
            "scrollbar-background-hover": ground,
            "scrollbar-background-active": ground,
            "scrollbar-corner-color": ground,
            "border": accent,
            "border-blurred": panel,
        }
    )
    return Theme(
        name=name,
        primary=accent,
        secondary=ours[0],
        accent=ours[0],
        warning=ours[1],
        error=ours[2],
        success=good,
        foreground=text,
        background=ground,
        surface=surface,
        panel=panel,
        dark=dark,
        variables=variables,
    )


THEMES = (
    made(
        "dark",
        ground="#12151b",
        surface="#191d25",
        panel="#353c49",
        text="#d9dde4",
        accent="#8aa0bd",
        cursor="#263347",
        bar="#212834",
        ours=("#5cb2ff", "#f0ab53", "#ff6d6d", "#8e98a8", "#8993a3"),
        good="#74c68a",
        dark=True,
    ),
    made(
        "light",
        ground="#fcfcfa",
        surface="#f3f3f0",
        panel="#cfd2d6",
        text="#1c2026",
        accent="#4b6584",
        cursor="#dbe6f4",
        bar="#eff1f3",
        ours=("#0a5fc2", "#a85200", "#c0151c", "#656d79", "#626a76"),
        good="#1d7a3a",
        dark=False,
    ),
    made(
        "contrast",
        ground="#000000",
        surface="#000000",
        panel="#9a9a9a",
        text="#ffffff",
        accent="#ffffff",
        cursor="#00408a",
        bar="#222222",
        ours=("#5ac8ff", "#ffd500", "#ff7a7a", "#e0e0e0", "#d0d0d0"),
        good="#6cff8f",
        dark=True,
    ),
    # Only names: what they look like is the terminal's affair, and its background may be dark or light.
    Theme(
        name="ansi",
        ansi=True,
        primary="ansi_blue",
        secondary="ansi_cyan",
        accent="ansi_bright_blue",
        warning="ansi_yellow",
        error="ansi_red",
        success="ansi_green",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        variables=_of_runs("ansi")
        | {
            "train": "ansi_bright_blue",
            "validation": "ansi_yellow",  # magenta and red are neighbours in many people's sixteen
            "trouble": "ansi_red",
            "planned": "ansi_cyan",
            "quiet": "ansi_default",  # and dim: bright black is the background in some people's sixteen
            "good": "ansi_green",
            "rule": "ansi_bright_black",
            "ansi-background": "ansi_default",
            "ansi-foreground": "ansi_default",
            "cursor": "ansi_blue",
            "bar": "ansi_default",
            "border": "ansi_blue",
            "border-blurred": "ansi_bright_black",
            "block-cursor-foreground": "ansi_bright_white",
            "block-cursor-background": "ansi_blue",
            "scrollbar": "ansi_bright_black",
            "scrollbar-background": "ansi_default",
        },
    ),
)


def _known(name: str, train: str, validation: str) -> Theme:
    """Return a palette of Textual's as a theme with our colours, made readable where they are not."""
    given = BUILTIN_THEMES[name]
    ground, surface, panel = (str(colour) for colour in (given.background, given.surface, given.panel))
    text = str(given.foreground)
    cursor = Color.parse(ground).blend(Color.parse(train), 0.2).hex6
    grounds = (ground, surface)
    grey = Color.parse(text).blend(Color.parse(ground), 0.3).hex6
    colours = (train, validation, str(given.error), grey, grey)
    return made(
        name,
        ground=ground,
        surface=surface,
        panel=panel if panel.lower() not in (ground.lower(), surface.lower()) else str(given.secondary),
        text=readable(text, (*grounds, cursor)),
        accent=readable(str(given.primary), grounds),
        cursor=cursor,
        bar=surface,
        ours=[readable(colour, grounds) for colour in colours],
        good=readable(str(given.success), grounds),
        dark=given.dark,
        runs={key: readable(colour, grounds) for key, colour in _of_runs("dark" if given.dark else "light").items()},
    )


@functools.cache
def theme(name: str) -> Theme:
    """Return one of NAMES. Made when it is asked for: all of them would delay the first frame."""
    if name in KNOWN:
        return _known(name, *KNOWN[name])
    return next(each for each in THEMES if each.name == name)
