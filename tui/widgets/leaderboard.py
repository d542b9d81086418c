"""The leaderboard of a sweep: its candidates, the best first, in the place of the layers of a single model."""

from collections.abc import Sequence

from rich.cells import cell_len

from descent.common.glyphs import sparkline
from descent.common.i18n import _
from descent.common.numbers import align, number, percent, spread
from tui.data.candidates import Standing
from tui.widgets.lines import Line, Piece, fitted

LEAST_NAME = 8  # cells
CURVE = 12  # cells
_GAP = "  "
_COLUMN = tuple[str, list[str], list[str]]  # a head, the text of each row, and its style


def leaderboard(rows: Sequence[Standing], width: int, chosen: int | None) -> list[Line]:
    """Return a head and a line for each candidate. chosen: the row under the cursor, if it is seen.

    Columns without room are left out from the right.
    """
    columns = [column for column in _columns(rows) if any(text.strip() for text in column[1])]
    names = [row.point.name for row in rows]
    heading = _("candidate")
    name = min(max(map(cell_len, [heading, *names])), max(LEAST_NAME, width // 3))
    wide = [max(cell_len(head), *map(cell_len, texts)) for head, texts, _styles in columns]
    room = width - name - 4
    kept = 0
    while kept < len(columns) and sum(wide[: kept + 1]) + len(_GAP) * (kept + 1) <= room:
        kept += 1
    heads = [Piece(_GAP + fitted(columns[at][0], wide[at]), "head") for at in range(kept)]
    lines: list[Line] = [(Piece(" " * 4 + fitted(heading, name), "head"), *heads)]
    for place, row in enumerate(rows):
        line = [
            Piece("★ " if row.is_best else "✗ " if row.is_lost else "  ", "good" if row.is_best else "trouble"),
            Piece(f"{row.sign} ", row.style),
            Piece(fitted(names[place], name), "strong" if row.is_best else ""),
        ]
        line += [Piece(_GAP + fitted(columns[at][1][place], wide[at]), columns[at][2][place]) for at in range(kept)]
        lines.append(tuple(Piece(piece.text, "chosen") for piece in line) if place == chosen else tuple(line))
    return lines


def _columns(rows: Sequence[Standing]) -> list[_COLUMN]:
    plain, together = [""] * len(rows), [value for row in rows for value in row.curve]
    return [
        (_("val loss"), _with_spread(align([_shown(row.val_loss) for row in rows]), rows, "loss"), plain),
        (_("val acc"), _with_spread(align([_percent(row.val_accuracy) for row in rows]), rows, "accuracy"), plain),
        ("", [_lost(row) for row in rows], ["trouble"] * len(rows)),
        (_("loss"), [sparkline(row.curve, CURVE, together) for row in rows], [row.style for row in rows]),
        (_("train"), align([_shown(row.train_loss) for row in rows]), plain),
    ]


def _shown(value: float | None) -> str:
    return "" if value is None else number(value)


def _percent(value: float | None) -> str:
    return "" if value is None else percent(value)


def _with_spread(means: Sequence[str], rows: Sequence[Standing], of: str) -> list[str]:
    stds = [row.val_loss_std if of == "loss" else row.val_accuracy_std for row in rows]
    texts = ["" if std is None else f" ± {spread(of, std)}" for std in stds]
    longest, mean = max(map(cell_len, texts)), max(map(cell_len, means))
    return [fitted(m, mean) + fitted(text, longest) for m, text in zip(means, texts, strict=True)]


def _lost(row: Standing) -> str:
    if not row.lost:
        return ""
    if row.is_lost:
        return _("diverged")
    return _("{lost} of {count} diverged", lost=row.lost, count=len(row.point.members))
