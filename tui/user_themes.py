"""Themes of the user's own, `themes/NAME.toml` in the configuration folder. A wrong file is told of and left out.

`background` and `foreground` are needed. Every other colour has its value of the dark or the light theme, and each is
made lighter or darker until it can be read.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

from textual.color import Color, ColorParseError
from textual.theme import Theme

from descent.common.errors import DescentError
from descent.common.i18n import _
from descent.common.text import clean, did_you_mean, show
from tui import settings, themes

NEEDED = ("background", "foreground")
KEYS = (
    *NEEDED, "surface", "panel", "accent", "bar", "cursor", "good", *themes.COLOURS, "runs"
)  # fmt: skip
MOST_BYTES = 1 << 16
_NAME = re.compile(r"[a-z][a-z0-9-]*")


def load() -> tuple[tuple[Theme, ...], tuple[str, ...]]:
    """Return the user's themes by name, and what is wrong with the files that are no themes."""
    found, problems = [], []
    for file in settings.theme_files():
        try:
            found.append(read(file))
        except DescentError as error:
            problems.append(f"{clean(str(file))}: {error}")
    return tuple(found), tuple(problems)


def read(file: Path) -> Theme:
    """Return the theme that a file describes. Raises DescentError if it is none."""
    if not _NAME.fullmatch(file.stem):
        raise DescentError(_("the name of a theme is of small letters, digits and hyphens, and begins with a letter"))
    if file.stem in settings.THEMES:
        raise DescentError(_("{name} is a theme of Descent's; give the file another name", name=file.stem))
    return _made(file.stem, _stored(file))


def _stored(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DescentError(_("is larger than {most:,} bytes", most=MOST_BYTES))
        return tomllib.loads(content.decode("utf-8-sig"))
    except OSError as error:
        raise DescentError(_("can't be read: {error}", error=error.strerror)) from None
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise DescentError(_("is not TOML: {error}", error=clean(str(error)))) from None


def _made(name: str, stored: dict[str, Any]) -> Theme:
    for key, value in stored.items():
        if key not in KEYS:
            hint, allowed = did_you_mean(key, KEYS), ", ".join(KEYS)
            raise DescentError(
                _("{key}: unknown key{hint}; allowed: {allowed}", key=clean(key), hint=hint, allowed=allowed)
            )
        if key == "runs":
            if not isinstance(value, list) or len({_colour(f"runs[{i}]", v) for i, v in enumerate(value)}) != 8:
                allowed = _("a list of eight different colours, for runs beside each other")
                raise DescentError(
                    _("{key} = {value}: must be {allowed}", key=key, value=show(value), allowed=allowed)
                )
        else:
            _colour(key, value)
    for key in NEEDED:
        if key not in stored:
            raise DescentError(
                _("{key} is missing; a theme needs at least: {needed}", key=key, needed=", ".join(NEEDED))
            )
    given = {key: _colour(key, value) for key, value in stored.items() if key != "runs"}
    return _theme(name, given, tuple(_colour("runs", value) for value in stored.get("runs", ())))


def _colour(key: str, value: Any) -> str:
    """Return a colour as #rrggbb. Raises DescentError if it is none."""
    try:
        colour = Color.parse(value) if isinstance(value, str) else None
    except ColorParseError:
        colour = None
    if colour is None or colour.ansi is not None or colour.a < 1:
        allowed = _('a colour such as "#5cb2ff" or "orange", without transparency')
        raise DescentError(_("{key} = {value}: must be {allowed}", key=key, value=show(value), allowed=allowed))
    return colour.hex6.lower()


def _theme(name: str, given: dict[str, str], runs: tuple[str, ...]) -> Theme:
    ground = given["background"]
    dark = themes.is_dark(ground)
    like = themes.theme("dark" if dark else "light")
    usual = like.variables | {"accent": str(like.primary)}
    ours = [given.get(key, usual[key]) for key in themes.COLOURS]
    surface = given.get("surface", Color.parse(ground).blend(Color.parse(given["foreground"]), 0.04).hex6)
    bar = given.get("bar", surface)
    cursor = given.get("cursor", Color.parse(ground).blend(Color.parse(ours[0]), 0.2).hex6)
    for key, colour in (("surface", surface), ("bar", bar), ("cursor", cursor)):
        far = "#ffffff" if dark else "#000000"
        if themes.contrast(colour, far) < themes.LEAST_CONTRAST:
            allowed = _("about as dark as background") if dark else _("about as light as background")
            raise DescentError(_("{key} = {value}: must be {allowed}", key=key, value=show(colour), allowed=allowed))
    grounds = (ground, surface, bar)
    return themes.made(
        name,
        ground=ground,
        surface=surface,
        panel=given.get("panel", Color.parse(ground).blend(Color.parse(given["foreground"]), 0.2).hex6),
        text=themes.readable(given["foreground"], (*grounds, cursor)),
        accent=themes.readable(given.get("accent", usual["accent"]), grounds),
        cursor=cursor,
        bar=bar,
        ours=[themes.readable(colour, grounds) for colour in ours],
        good=themes.readable(given.get("good", usual["good"]), grounds),
        dark=dark,
        runs={
            f"run{number}": themes.readable(colour, grounds)
            for number, colour in enumerate(runs or themes.RUNS[like.name], 1)
        },
    )
