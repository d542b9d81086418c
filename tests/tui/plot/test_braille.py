"""A dot in the wrong place is a wrong number on the screen."""

import numpy as np

from descent.common import braille


def test_each_dot_is_the_one_of_the_character() -> None:
    # The numbering of Unicode's braille: dots 1 2 3 7 down the left side, 4 5 6 8 down the right one.
    for bit, (row, column) in enumerate([(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1), (3, 0), (3, 1)]):
        dots = np.zeros((8, 4), np.bool_)
        dots[4 + row, 2 + column] = True
        expected = [[" ", " "], [" ", chr(0x2800 + (1 << bit))]]
        assert [[chr(code) for code in line] for line in braille.characters(braille.bits(dots))] == expected


def test_a_line_has_no_holes_and_no_more_than_it_needs() -> None:
    rng = np.random.default_rng(0)
    level = rng.uniform(-5, 45, 300)
    level[[50, 51, 200]] = np.nan
    dots = braille.spans(level, level, 40)
    assert not dots[:, [50, 51, 200]].any()
    for column in range(299):
        left, right = (np.flatnonzero(dots[:, c]) for c in (column, column + 1))
        if len(left) and len(right):
            assert left[0] <= right[-1] + 1
            assert right[0] <= left[-1] + 1
    rows = np.clip(np.rint(level), 0, 39)
    assert all(dots[int(row), column] for column, row in enumerate(rows) if not np.isnan(row))
    assert dots.sum() <= np.abs(np.diff(rows[~np.isnan(rows)])).sum() + 2 * 300


def test_signs_of_ascii_tell_three_kinds_of_line_apart() -> None:
    cells = np.full((1, 3), 0xFF, np.uint8)
    signs = "".join(chr(code) for code in braille.ascii_signs(cells, np.array([[0, 1, 2]]))[0])
    assert len(set(signs)) == 3
    every = np.arange(256, dtype=np.uint8).reshape(16, 16)
    for kind in range(3):
        blank = braille.ascii_signs(every, np.full((16, 16), kind)) == ord(" ")
        assert np.argwhere(blank).tolist() == [[0, 0]]
