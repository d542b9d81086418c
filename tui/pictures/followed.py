"""One sample followed through training: the probability of each class over the steps, and at one of them."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.cells import cell_len

from descent.common import numbers
from descent.common.arrays import Floats
from descent.common.i18n import _
from descent.common.text import clean
from engine.pictures import Picture, followed, kept
from engine.pictures.followed import Course
from tui.pictures.canvas import PictureCanvas, cut
from tui.pictures.over_time import heat
from tui.pictures.pixels import coloured, resized
from tui.plot import axes

KIND = "followed"  # of a picture made here of what a run has kept: no worker draws it
LONGEST = 14  # cells of a class's name
SHARE = 5  # cells of a probability: " 100%"
LEAST = 20  # cells of the steps beside an image


@dataclass(frozen=True)
class Following:
    """The mistakes of a kept picture, and the one of them that is followed.

    at: the place of a step in its course. known: the last step of which pictures were kept when it was read.
    """

    run: Path
    mistakes: Picture
    place: int
    course: Course
    at: int
    known: int

    def picture(self) -> Picture:
        """Return what is drawn."""
        of = self.mistakes.arrays
        sample = {name: of[name][self.place] for name in ("images", "rows") if name in of}
        told = {name: of[name] for name in ("classes", "columns") if name in of}
        arrays = sample | told | {
            "steps": self.course.steps,
            "probabilities": self.course.probabilities,
            "at": np.array(self.at),
            "true": of["true"][self.place],
            "place": np.array([self.place + 1, len(of["index"])]),
        }  # fmt: skip
        return Picture(KIND, int(self.course.steps[self.at]), arrays)

    def moved(self, by: int) -> "Following":
        """Return it at an earlier or a later step."""
        return replace(self, at=max(0, min(len(self.course.steps) - 1, self.at + by)))

    def other(self, by: int) -> "Following":
        """Return the one before or after among the mistakes, at the same step. Reads files."""
        place = (self.place + by) % len(self.mistakes.arrays["index"])
        return follow(self.run, self.mistakes, place, int(self.course.steps[self.at]))

    def grown(self) -> "Following":
        """Return it with the steps since; at the last one, if it was. Reads files."""
        if kept.steps(self.run)[-1:] == [self.known]:
            return self
        is_last = self.at == len(self.course.steps) - 1
        return follow(
            self.run, self.mistakes, self.place, sys.maxsize if is_last else int(self.course.steps[self.at])
        )


def begin(run: Path, until: int | None) -> Following | None:
    """Follow the worst mistake of the last step, or of one up to a step. None if none was kept. Reads files."""
    mistakes = followed.mistakes(run, until)
    if mistakes is None or not len(mistakes.arrays["index"]):
        return None
    return follow(run, mistakes, 0, mistakes.step)


def follow(run: Path, mistakes: Picture, place: int, step: int) -> Following:
    """Follow one of the mistakes, at the last of its steps up to `step`. Reads files."""
    known = max(kept.steps(run), default=-1)
    course = followed.course_of(run, mistakes.text("split"), int(mistakes.arrays["index"][place]))
    at = int(np.searchsorted(course.steps, step, side="right")) - 1
    return Following(run, mistakes, place, course, max(0, at), known)


def sample_course(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the sample, and for each class its probability: dark to bright over the steps, and as a number at one.

    images: (C, H, W) uint8, or rows: (columns,), and columns. steps: (n,). probabilities: (n, classes). at: a place
    among the steps. true: the class. place: which of how many mistakes.
    """
    arrays = picture.arrays
    names = [clean(name) for name in picture.texts("classes")]
    steps, shares = arrays["steps"], arrays["probabilities"].astype(float)
    at, true = int(arrays["at"]), int(arrays["true"])
    said = int(shares[at].argmax())
    right = said == true
    place, count = (int(value) for value in arrays["place"])
    x = canvas.write(0, 0, _("{place} of {count}", place=place, count=count), "quiet")
    x = canvas.write(x + 2, 0, _("true {name}", name=names[true]), "strong")
    share = numbers.percent(float(shares[at, said]), 0)
    told = _("predicted {name} ({share})", name=names[said], share=share)
    canvas.write(x + 2, 0, told, "" if right else "trouble")
    left = _sample(canvas, picture)
    rows = max(1, min(len(names), canvas.height - 4))
    by_most = np.argsort(-shares.max(axis=0), kind="stable")
    shown = sorted([true, *[int(one) for one in by_most if one != true][: rows - 1]])
    high = max(1, min(3, (canvas.height - 4) // len(shown)))
    label = min(LONGEST, max(cell_len(names[one]) for one in shown))
    begin, width = left + label + 1, max(1, canvas.width - left - label - 1 - SHARE)
    nearest = _nearest(steps, width)
    for row, one in enumerate(shown):
        y = 2 + row * high
        style = "strong" if one == true else "trouble" if one == said else ""
        canvas.right(begin - 1, y + (high - 1) // 2, cut(names[one], label), style)
        heat(canvas, begin, y, np.repeat(shares[nearest, one][None], 2 * high, axis=0))
        canvas.right(canvas.width, y + (high - 1) // 2, numbers.percent(float(shares[at, one]), 0), style)
    _axis(canvas, steps, at, begin, 2 + len(shown) * high, width)


def _sample(canvas: PictureCanvas, picture: Picture) -> int:
    """Draw the sample at the left, and return the column behind it."""
    arrays = picture.arrays
    if "images" not in arrays:
        return 0
    image = arrays["images"]
    height, width = (int(size) for size in image.shape[1:])
    room = max(0, canvas.width - LONGEST - 1 - SHARE - LEAST - 2)
    factor = min(2.0, 28 / max(height, width), room / width, 2 * (canvas.height - 2) / height)
    if factor * min(height, width) < 4:
        return 0
    across, down = round(width * factor), round(height * factor)
    canvas.image(0, 2, resized(coloured(image), down, across))
    return across + 2


def _nearest(steps: Floats, width: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return for each of `width` columns the place of the step that is nearest to its middle."""
    low, high = float(steps[0]), float(max(steps[-1], steps[0] + 1))
    middles = low + (np.arange(width) + 0.5) / width * (high - low)
    return np.searchsorted((steps[1:] + steps[:-1]) / 2, middles)


def _axis(canvas: PictureCanvas, steps: Floats, at: int, x: int, y: int, width: int) -> None:
    """Write the steps below, and a mark at the one that is looked at."""
    low, high = float(steps[0]), float(max(steps[-1], steps[0] + 1))

    def column(step: float) -> int:
        return x + min(width - 1, int((step - low) / (high - low) * width))

    canvas.write(x, y, "─" * width, "quiet")
    for value, label in axes.horizontal(low, high, cells=width, unit="").ticks:
        canvas.write(column(value), y, "┬", "quiet")
        if column(value) + len(label) // 2 < canvas.width:
            canvas.middle(column(value), y + 1, label, "quiet")
    canvas.write(column(float(steps[at])), y, "▲", "strong")
