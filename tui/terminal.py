"""What the terminal can show, found out once at the start."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

LOCAL_FPS = 10.0
SSH_FPS = 4.0  # what an SSH line and the other side's terminal take without falling behind
FASTEST, SLOWEST = 60.0, 0.2
# Answers to a key are painted sooner than new numbers: typing at 4 frames a second would feel broken.
_PAINTS = 30
_SSH_PAINTS = 15
_PLAIN = str.maketrans(
    {"–": "-", "—": "-", "−": "-", "…": "...", "→": "->", "←": "<-", "↑": "up", "↓": "down", "×": "x", "·": "-"}
    | {"≥": ">=", "≤": "<=", "±": "+-", "│": "|", "─": "-", "━": "=", "•": "*", "⏎": "enter", "▸": ">"}
)


@dataclass(frozen=True)
class Terminal:
    """unicode: it shows more than ASCII. ssh: it is far away. fps: how often numbers are looked at and drawn.

    colour: false under NO_COLOR. colours: how many there are: 16, 256 or 16,777,216.
    """

    unicode: bool = True
    ssh: bool = False
    fps: float = LOCAL_FPS
    colour: bool = True
    colours: int = 1 << 24

    def plain(self, text: str) -> str:
        """`text` as this terminal can show it."""
        if self.unicode or text.isascii():
            return text
        return text.translate(_PLAIN).encode("ascii", "replace").decode("ascii")


def look(
    environment: Mapping[str, str] | None = None, *, fps: float | None = None, ascii_only: bool = False
) -> Terminal:
    """The facts, from the environment; `fps` and `ascii_only` as the user said."""
    variables = os.environ if environment is None else environment
    ssh = bool(variables.get("SSH_CONNECTION") or variables.get("SSH_TTY"))
    given = fps if fps is not None else SSH_FPS if ssh else LOCAL_FPS
    return Terminal(
        unicode=not ascii_only and _is_unicode(variables),
        ssh=ssh,
        fps=min(FASTEST, max(SLOWEST, given)),
        colour=not variables.get("NO_COLOR"),
        colours=_colours(variables),
    )


def refusal() -> str | None:
    """Why no screen can be opened here, or None where one can."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return "the console needs a terminal, and this is none"
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        return f"the console can't draw on this terminal (TERM={os.environ.get('TERM', '')})"
    return None


def prepare(terminal: Terminal) -> None:
    """Tell Textual, which reads its settings when it is imported."""
    paints = _SSH_PAINTS if terminal.ssh else _PAINTS
    os.environ.setdefault("TEXTUAL_FPS", str(max(paints, round(terminal.fps))))
    os.environ.setdefault("TEXTUAL_ANIMATIONS", "none" if terminal.ssh else "basic")
    os.environ.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    if not terminal.colour:
        os.environ["NO_COLOR"] = "1"


def _is_unicode(variables: Mapping[str, str]) -> bool:
    # Not sys.stdout.encoding: under LC_ALL=C Python writes UTF-8 all the same. The Linux console has no braille.
    if variables.get("TERM") == "linux":
        return False
    named = next((variables[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if variables.get(name)), "")
    return "utf" in named.lower()


def _colours(variables: Mapping[str, str]) -> int:
    if variables.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return 1 << 24
    return 256 if "256" in variables.get("TERM", "") or "kitty" in variables.get("TERM", "") else 16
