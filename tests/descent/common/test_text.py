"""What a program prints for a terminal must be readable where it is shown as text."""

import pytest

from descent.common.text import clean, unmarked, without_escapes


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        ("\x1b[1;31merror\x1b[0m: no data", "error: no data"),
        ("\x1b[38;2;255;0;0m\x1b[?25lhidden cursor", "hidden cursor"),
        ("\x1b]0;a title\x07text \x1b]8;;https://x\x1b\\link", "text link"),
        ("\x1b]0;never ended\nthe next line", "\nthe next line"),
        ("\x1b(Bplain [31m as it is", "plain [31m as it is"),
    ],
)
def test_colours_leave_no_codes_behind(printed: str, shown: str) -> None:
    """A library's coloured warning would be shown as "[1;31merror[0m"."""
    assert without_escapes(printed) == shown


def test_what_is_left_of_a_broken_sequence_is_not_obeyed() -> None:
    assert "\x1b" not in clean(without_escapes("\x1b[31é \x1b"))


@pytest.mark.parametrize(
    ("marked", "shown"),
    [
        ("What lets a *linear* model do it?", "What lets a linear model do it?"),
        ("반복문 *안*에 넣으면", "반복문 안에 넣으면"),
        ("**eight layers**, `lr * b.grad` *without* `no_grad()`", "eight layers, lr * b.grad without no_grad()"),
        ("8 * 1 = 72 * s, and 2*3*4", "8 * 1 = 72 * s, and 2*3*4"),
    ],
)
def test_a_line_of_markdown_is_shown_without_its_marks(marked: str, shown: str) -> None:
    """A question would have asterisks in it where nothing renders Markdown."""
    assert unmarked(marked) == shown
