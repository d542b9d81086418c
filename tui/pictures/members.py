"""The results of a run's members: a tally over the plane, the spread of their scores, gradients by layer."""

import math
from collections import Counter

import numpy as np
from rich.cells import cell_len

from descent.common import numbers
from descent.common.arrays import Floats
from descent.common.i18n import _
from descent.common.text import clean
from descent.run.result_metrics import Metric, metric_named
from engine.pictures import Picture
from tui.pictures.canvas import RGB, PictureCanvas, cut
from tui.pictures.matrix import samples_of
from tui.pictures.plane import GREY, boundary, ghost_of
from tui.plot import axes

MOST_STRIP = 3  # rows of signs, one a member
LEAST_BLOCK = 3  # rows of a group in a spread: its name, its dots, its mean
TALLEST = 8


def tally(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw how many members solve the task, a sign for each, and the share of them that predicts each class."""
    arrays = picture.arrays
    accuracy, solved = arrays["accuracy"], arrays["solved"]
    count = len(accuracy)
    after = canvas.write(
        0, 0, _("{some:,} of {count:,} members solved it", some=int(solved.sum()), count=count), "strong"
    )
    before = ghost_of(canvas, "solved")
    if before is not None:
        after = canvas.write(after, 0, f"  {_('before: {some:,}', some=int(before.sum()))}", "quiet")
    least = numbers.percent(float(arrays["least"]), 0)
    needed = _("(at least {least} of the {split} samples correct)", least=least, split=samples_of(picture))
    if after + 1 + cell_len(needed) <= canvas.width:  # half of it would say nothing
        after = canvas.write(after, 0, f" {needed}", "quiet")
    signs = [_sign(float(share), bool(is_solved)) for share, is_solved in zip(accuracy, solved, strict=True)]
    (digit, _many), *_others = Counter(sign for sign, _style in signs if sign.isdigit()).most_common(1) or [("7", 0)]
    key = _("● solved  {digit} {digit}0–{digit}9% correct  × diverged", digit=digit)  # as an example of all digits
    top = 1
    if after + 2 + cell_len(key) <= canvas.width:
        canvas.right(canvas.width, 0, key, "quiet")
    else:  # below it, or nobody could read the signs
        canvas.write(0, 1, key, "quiet")
        top = 2
    rows = min(MOST_STRIP, -(-count // canvas.width), max(1, canvas.height // 4))
    for member in range(min(count, rows * canvas.width)):
        canvas.mark(member % canvas.width, top + member // canvas.width, *signs[member])
    boundary(canvas, picture, top=top + 1 + rows)


def _sign(accuracy: float, solved: bool) -> tuple[str, str]:
    if solved:
        return "●", "train"
    return ("×", "trouble") if math.isnan(accuracy) else (str(min(9, int(10 * accuracy))), "validation")


def spread(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw a dot for each member at its score, in a block for each candidate, with mean and standard deviation."""
    arrays, metric = picture.arrays, _metric(picture)
    groups = [clean(group) for group in picture.texts("groups")]
    folds = bool((arrays["folds"] >= 0).all())
    values = arrays["values"]
    known = values[np.isfinite(values)]
    together = float(arrays["ensemble"]) if "ensemble" in arrays else math.nan  # earlier versions had none
    if folds and len(groups) == 1:
        title = _("{metric}, {count:,} folds", metric=_(metric.title), count=len(values))
    else:
        title = _("{metric}, {count:,} members", metric=_(metric.title), count=len(values))
    after = canvas.write(0, 0, title, "strong")
    if math.isfinite(together):
        score = numbers.metric(metric.name, together)
        after = canvas.write(after, 0, f"  ◆ {_('ensemble {score}', score=score)}", "strong")
    lost = len(values) - len(known)
    said = f"  {_('│ mean  ─ ± 1 sd')}" + (f"  {_('{count:,} missing', count=lost)}" if lost else "")
    canvas.write(after, 0, said, "quiet")
    if math.isfinite(together):
        known = np.append(known, together)
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    pad = 0.08 * (high - low) or 0.05 * max(abs(high), 0.1)
    low, high = low - pad, high + pad
    room = canvas.height - 3
    piles = [_highest(values[arrays["group"] == group], (low, high), canvas.width) for group in range(len(groups))]
    block = max(LEAST_BLOCK, min(2 + max(piles), TALLEST, room // len(groups)))
    shown = max(1, room // block)
    first = min(canvas.first, max(0, len(groups) - shown))
    if shown < len(groups):
        canvas.seen = (shown, len(groups))
    for row, group in enumerate(range(first, min(len(groups), first + shown))):
        _block(canvas, picture, groups[group], group, 1 + row * block, block, (low, high))
    bottom = min(canvas.height - 2, 1 + min(shown, len(groups)) * block)
    canvas.write(0, bottom, "─" * canvas.width, "quiet")
    if math.isfinite(together):
        canvas.mark(_column(together, (low, high), canvas.width), bottom - 1, "◆", "strong")
    whole, sign = (100, "%") if metric.is_share else (1, "")
    for value, label in axes.horizontal(whole * low, whole * high, cells=canvas.width, unit="").ticks:
        column = _column(value / whole, (low, high), canvas.width)
        canvas.write(column, bottom, "┬", "quiet")
        canvas.middle(column, bottom + 1, f"{label}{sign}", "quiet")


def _highest(values: Floats, within: tuple[float, float], width: int) -> int:
    """Return how many dots the highest pile has."""
    columns = [_column(value, within, width) for value in values[np.isfinite(values)].tolist()]
    return max((columns.count(column) for column in set(columns)), default=1)


def _block(
    canvas: PictureCanvas, picture: Picture, name: str, group: int, top: int, height: int, within: tuple[float, float]
) -> None:
    """Draw a line of words, dots that pile up, and the mean below them."""
    arrays = picture.arrays
    mean, sd, se = (float(arrays[key][group]) for key in ("mean", "sd", "se"))
    name_ = _metric(picture).name
    mean_, sd_, se_ = numbers.metric(name_, mean), numbers.spread(name_, sd), numbers.spread(name_, se)
    won = group in arrays["best"].tolist()
    after = canvas.write(0, top, f"{'★ ' if won else ''}{name}  " if name else "", "strong")
    mine = arrays["values"][arrays["group"] == group]
    facts = _("mean {mean}", mean=mean_) if math.isfinite(mean) else _("no score")
    facts += f"  {_('sd {sd}  se {se}', sd=sd_, se=se_)}" if math.isfinite(sd) else ""
    canvas.write(after, top, f"{facts}  n {int(np.isfinite(mine).sum())}")
    line = top + height - 1
    if math.isfinite(mean):
        if math.isfinite(sd):
            ends = [_column(mean + side * sd, within, canvas.width) for side in (-1, 1)]
            canvas.write(ends[0], line, "─" * (ends[1] - ends[0] + 1), "validation")
        canvas.mark(_column(mean, within, canvas.width), line, "│", "strong")
    piled: dict[int, int] = {}
    for value in np.sort(mine[np.isfinite(mine)]).tolist():
        column = _column(value, within, canvas.width)
        row = line - 1 - piled.get(column, 0)
        piled[column] = piled.get(column, 0) + 1
        if row > top:
            canvas.mark(column, row, "•", "train")


def _metric(picture: Picture) -> Metric:
    found = metric_named(picture.text("metric"))
    if found is None:
        raise KeyError("metric")
    return found


def _column(value: float, within: tuple[float, float], width: int) -> int:
    share = (value - within[0]) / (within[1] - within[0])
    return int(np.clip(share * width, 0, width - 1))


def gradients_by_layer(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw a bar for the norm of each layer's gradient on a log scale, and a mark for that of the first step."""
    arrays = picture.arrays
    names = [clean(name) for name in picture.texts("layers")]
    last, first = arrays["last"], arrays["first"]
    now, start = (_("step {step}", step=numbers.count(int(arrays[key]))) for key in ("last_step", "first_step"))
    before = ghost_of(canvas, "last")
    before = before if before is not None and canvas.ghost is not None and len(before) == len(names) else None
    marks: list[tuple[str, str, RGB | None]] = [(f"━ {now}", "train", None), (f"◆ {start}", "validation", None)]
    if before is not None:
        marks.append((f"│ {_('before')}", "quiet", GREY))
    title = f"{_('gradient norm by layer')}  "
    # The frame has the name of the picture: better without a title than marks without their meaning.
    fits = sum(cell_len(mark) + 2 for mark, *_style in marks) - 2 + cell_len(title) <= canvas.width
    at = canvas.write(0, 0, title, "strong") if fits else 0
    for mark, style, colour in marks:
        at = canvas.write(at, 0, f"{mark}  ", style, colour)
    seen = np.concatenate([last, first, *([] if before is None else [before])])
    seen = np.log10(seen[np.isfinite(seen) & (seen > 0)])
    low, high = (math.floor(seen.min()), math.ceil(seen.max())) if len(seen) else (-1, 0)
    high = max(high, low + 1)
    rows = canvas.height - 3
    shown = min(len(names), max(1, rows))
    begin = min(canvas.first, len(names) - shown)
    if shown < len(names):
        canvas.seen = (shown, len(names))
    part = range(begin, begin + shown)
    left = min(max(cell_len(names[i]) for i in part), canvas.width // 3) + 1
    written = numbers.align([numbers.number(float(last[i])) for i in part])
    width = canvas.width - left - len(written[0]) - 1
    for row, i in enumerate(part):
        canvas.write(0, 1 + row, cut(names[i], left - 1))
        _log_bar(canvas, float(last[i]), float(first[i]), (left, 1 + row), width, (low, high))
        if before is not None and before[i] > 0 and math.isfinite(before[i]):
            share = (math.log10(before[i]) - low) / (high - low)
            canvas.mark(left + min(width - 1, round(share * width)), 1 + row, "│", "quiet", GREY)
        canvas.right(canvas.width, 1 + row, written[row], "quiet")
    bottom = 1 + shown
    canvas.write(left, bottom, "─" * width, "quiet")
    every = max(1, math.ceil((high - low) * 7 / max(1, width)))
    for power in range(low, high + 1, every):
        column = left + min(width - 1, int((power - low) / (high - low) * width))
        canvas.write(column, bottom, "┬", "quiet")
        canvas.middle(column, bottom + 1, f"1e{power}", "quiet")


def _log_bar(
    canvas: PictureCanvas, now: float, before: float, at: tuple[int, int], width: int, ends: tuple[int, int]
) -> None:
    x, y = at

    def cells(value: float) -> int:
        return round((math.log10(value) - ends[0]) / (ends[1] - ends[0]) * width)

    if math.isfinite(now) and now > 0:
        canvas.write(x, y, "━" * max(1, cells(now)), "train")
    else:
        canvas.write(x, y, "0" if now == 0 else _("not finite"), "trouble")
    if math.isfinite(before) and before > 0:
        canvas.mark(x + min(width - 1, cells(before)), y, "◆", "validation")
