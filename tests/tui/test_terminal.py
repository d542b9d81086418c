"""What the terminal can show is found out wrongly, and the screen is full of boxes, or slow over SSH."""

import gc
from typing import Any

import pytest

from tui.app import DescentApp
from tui.terminal import Terminal, look


@pytest.mark.parametrize(
    ("environment", "unicode"),
    [
        ({"LANG": "ko_KR.UTF-8"}, True),
        ({"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}, False),
        ({"LC_CTYPE": "C.utf8", "LANG": "C"}, True),
        ({"LANG": "C.UTF-8", "TERM": "linux"}, False),
        ({}, False),
    ],
)
def test_signs(environment: dict[str, str], unicode: bool) -> None:
    """A terminal without UTF-8 would show question marks instead of charts."""
    assert look(environment).unicode is unicode
    assert not look(environment, ascii_only=True).unicode


@pytest.mark.parametrize(
    ("environment", "options", "found"),
    [
        ({}, {}, (False, 10.0)),
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, {}, (True, 4.0)),
        ({"SSH_TTY": "/dev/pts/1"}, {"fps": 20.0}, (True, 20.0)),
        ({}, {"fps": 1000.0}, (False, 60.0)),
    ],
)
def test_pace(environment: dict[str, str], options: dict[str, Any], found: tuple[bool, float]) -> None:
    """A slow line would fall behind, or what the user asked for be ignored."""
    terminal = look(environment, **options)
    assert (terminal.ssh, terminal.fps) == found


def test_colours() -> None:
    """NO_COLOR would be ignored, or sixteen colours be given true ones."""
    assert not look({"NO_COLOR": "1"}).colour
    assert look({"TERM": "xterm"}).colours == 16
    assert look({"TERM": "xterm-256color"}).colours == 256
    assert look({"COLORTERM": "truecolor"}).colours == 1 << 24


def test_colours_inside_gnu_screen() -> None:
    """Screen hands on COLORTERM and misreads true colours: the charts would be blocks of cyan."""
    inside = {"TERM": "screen.xterm-256color", "COLORTERM": "truecolor", "STY": "1234.pts-0.host"}
    assert look(inside).colours == 256
    assert look({**inside, "TERM": "screen"}).colours == 16
    assert look({**inside, "TMUX": "/tmp/tmux-0/default,1,0"}).colours == 1 << 24


def test_plain() -> None:
    """A word with a sign in it would be torn."""
    assert Terminal(unicode=False).plain("8 × 8 → 학습 …") == "8 x 8 -> ?? ..."
    assert Terminal().plain("8 × 8 →") == "8 × 8 →"


async def test_an_app_without_a_terminal_leaves_the_collector_alone() -> None:
    """A process with one app after another would keep the garbage of all."""
    before = gc.get_freeze_count()
    async with DescentApp().run_test():
        pass
    assert gc.get_freeze_count() <= before  # fewer where objects have gone that another test's worker had frozen
