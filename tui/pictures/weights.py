"""Histograms of each layer, and pictures that are images themselves: worst mistakes, filters, samples."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from descent.common import numbers
from descent.common.arrays import Floats
from descent.common.glyphs import BLOCKS
from descent.common.i18n import N_, _, ngettext
from descent.common.text import clean
from engine.pictures import Picture
from tui.pictures import colours
from tui.pictures.canvas import RGB, PictureCanvas, cut
from tui.pictures.matrix import samples_of
from tui.pictures.pixels import coloured, enlarged, resized
from tui.widgets.lines import wrapped

PANEL = 4  # rows of a layer, at least, where each has bars of several rows
TALLEST = 14
WIDE = 100  # cells from which on panels stand side by side
KIND_WORDS = {"activations": N_("activations"), "weights": N_("weights"), "gradients": N_("gradients")}
_OF_EACH = {
    "activations": N_("activations by layer"),
    "weights": N_("weights by layer"),
    "gradients": N_("gradients by layer"),
}
GAP = 2  # cells between images
LEAST = 6  # of the images that should be seen at once, if need be smaller
SIDE = 48  # pixels of an image, at most
CAPTION = 24  # cells
ONE_LAYER = "histogram"  # the kind of a picture of one layer's numbers, taken out of that of all layers
RAMP = 9  # cells of the scale of colours


def histograms(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw a panel with axes for each layer if all have room, else a line of bars for each."""
    layers = len(picture.texts("layers"))
    across = 2 if canvas.width >= WIDE and layers > 1 else 1
    down = -(-layers // across)
    title = _((_OF_EACH if layers > 1 else KIND_WORDS)[picture.kind])
    has_zeros = picture.arrays["zeros"].any()
    canvas.write(0, 0, _("{title}, without zeros", title=title) if has_zeros else title, "strong")
    height = min(TALLEST, (canvas.height - 1) // down)
    if height < PANEL:
        _lines(canvas, picture)
        return
    gap = 3
    width = (canvas.width - gap * (across - 1)) // across
    for i in range(layers):
        _panel(canvas, picture, i, i % across * (width + gap), 1 + i // across * height, width, height)


def _panel(canvas: PictureCanvas, picture: Picture, i: int, x: int, y: int, width: int, height: int) -> None:
    """Draw the name, bars of height − 3 rows, a line of three values, and an empty row."""
    name, kind = (clean(picture.texts(key)[i]) for key in ("layers", "kinds"))
    facts = _facts(picture, i)
    after = canvas.write(x, y, cut(name, width), "strong")
    if after + cell_len(kind) + 3 + cell_len(facts) <= x + width:
        canvas.write(after + 1, y, kind, "quiet")
    if after + 1 + cell_len(facts) <= x + width:
        canvas.right(x + width, y, facts, "quiet")
    _histogram(canvas, picture, i, x, y + 1, width, max(1, height - 3))


def of_one_layer(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the histogram of one layer in all the room there is, below its mean and so on."""
    facts = _facts(picture, 0)
    canvas.write(0, 0, cut(facts, canvas.width), "quiet")
    _histogram(canvas, picture, 0, 0, 1, canvas.width, canvas.height - 2)


def _histogram(canvas: PictureCanvas, picture: Picture, i: int, x: int, y: int, width: int, rows: int) -> None:
    """Draw bars, and below them a line with the least and the largest value and 0."""
    arrays = picture.arrays
    _bars(canvas, arrays["counts"][i], x, y, width, rows)
    low, high = float(arrays["edges"][i][0]), float(arrays["edges"][i][-1])
    bottom = y + rows
    canvas.write(x, bottom, numbers.number(low), "quiet")
    canvas.right(x + width, bottom, numbers.number(high), "quiet")
    if low < 0 < high:
        at = x + int(-low / (high - low) * width)
        if x + len(numbers.number(low)) < at < x + width - len(numbers.number(high)) - 1:
            canvas.write(at, bottom, "0", "quiet")


def _lines(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw one row for each layer: its name, and bars between the least and the largest value."""
    arrays = picture.arrays
    names = [clean(name) for name in picture.texts("layers")]
    shown = min(len(names), canvas.height - 1)
    left = min(max(cell_len(name) for name in names), canvas.width // 3) + 1
    ends = [[numbers.number(float(edges[j])) for edges in arrays["edges"]] for j in (0, -1)]
    lows, highs = (numbers.align(texts) for texts in ends)
    low_width = len(lows[0]) + 1
    width = canvas.width - left - low_width - len(highs[0]) - 1
    for i in range(shown):
        if i == shown - 1 and shown < len(names):
            canvas.write(0, 1 + i, _("{count} more layers on a taller screen", count=len(names) - i), "quiet")
            return
        canvas.write(0, 1 + i, cut(names[i], left - 1))
        canvas.write(left, 1 + i, lows[i], "quiet")
        if width > 3:
            _bars(canvas, arrays["counts"][i], left + low_width, 1 + i, width, 1)
            canvas.write(left + low_width + width + 1, 1 + i, highs[i], "quiet")


def _facts(picture: Picture, i: int) -> str:
    arrays = picture.arrays
    mean, std = (numbers.number(float(arrays[key][i])) for key in ("mean", "std"))
    words = [_("mean {mean}  std {std}", mean=mean, std=std)]
    if arrays["zeros"][i] > 0:
        words.append(_("zero {share}", share=numbers.percent(float(arrays["zeros"][i]), 0)))
    if arrays["non_finite"][i]:
        words.append(_("{count:,} not finite!", count=int(arrays["non_finite"][i])))
    return "  ".join(words)


def _bars(canvas: PictureCanvas, counts: Floats, x: int, y: int, width: int, rows: int) -> None:
    """Draw the share of the numbers in each column, in eighths of a row. The highest fills all rows."""
    running = np.concatenate([[0], np.cumsum(counts)])
    mass = np.diff(np.interp(np.linspace(0, len(counts), width + 1), np.arange(len(counts) + 1), running))
    top = mass.max()
    if not top > 0:
        return
    eighths = np.ceil(mass / top * rows * 8 - 1e-9).astype(int)
    for row in range(rows):
        filled = np.clip(eighths - 8 * (rows - 1 - row), 0, 8)
        canvas.signs(x, y + row, np.array([[BLOCKS[level] for level in filled]]), "train")


class _Tiles(NamedTuple):
    width: int  # of an image, in pixels and cells
    height: int  # pixels
    step: int  # cells from one to the next
    across: int
    down: int


def mistakes(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw each mistake with its true and its predicted class, and the confidence."""
    arrays = picture.arrays
    looked, count = int(arrays["looked_at"]), int(arrays["mistakes"])
    title = ngettext(
        "{count:,} mistake in {looked:,} {split} samples",
        "{count:,} mistakes in {looked:,} {split} samples",
        count,
        looked=looked,
        split=samples_of(picture),
    )
    more = _("{title}, most confident first", title=title) if count > 1 else title
    canvas.write(0, 0, more if cell_len(more) <= canvas.width else title, "strong")
    names = [clean(name) for name in picture.texts("classes")]
    if "rows" in arrays:
        _table(canvas, picture, names)
        return
    images = arrays["images"]
    if not len(images):
        return
    captions = [
        _caption(names[true], names[said], float(probability))
        for true, said, probability in zip(arrays["true"], arrays["predicted"], arrays["probability"], strict=True)
    ]
    widest = min(CAPTION, max(cell_len(line) for pair in captions for line in pair))
    tiles = _layout(canvas, len(images), images.shape[2:], LEAST, below=2, widest=widest)
    for i, x, y in _places(canvas, tiles, len(images), below=2):
        canvas.image(x, y, resized(coloured(images[i]), tiles.height, tiles.width))
        for line, text in enumerate(captions[i]):
            canvas.write(x, y + -(-tiles.height // 2) + line, cut(text, tiles.step - 1), "" if line else "quiet")


def _caption(true: str, predicted: str, confidence: float) -> tuple[str, str]:
    share = numbers.percent(confidence, 0)
    return _("true {name}", name=true), _("predicted {name} ({share})", name=predicted, share=share)


def filters(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw the weights of a layer as images: three channels as colours, one from blue (negative) to red."""
    weights = picture.arrays["filters"]
    of = int(picture.arrays["of"])
    some = _("{some} of {count}", some=len(weights), count=of) if len(weights) < of else f"{of}"
    colour = weights.shape[1] == 3
    ground = canvas.palette.ground
    canvas.write(0, 0, f"{clean(picture.text('layer'))}, {clean(picture.text('kind'))}: {some}", "strong")
    tiles = _layout(canvas, len(weights), weights.shape[2:], len(weights), below=0, widest=0, top=2)
    red, green, blue = colours.mixed(np.array(canvas.palette.text), ground, 0.10).tolist()
    places = _places(canvas, tiles, len(weights), below=0, top=2)
    _scale(canvas, places[0][0], len(places), len(weights), picture.arrays["scale"], (red, green, blue), colour)
    for i, x, y in places:
        if colour:
            pixels = ((weights[i].transpose(1, 2, 0) + 1) * 127.5).astype(np.uint8)
        elif canvas.palette.shades:
            pixels = colours.diverging(weights[i].mean(axis=0), (red, green, blue))
        else:
            pixels = np.repeat(((weights[i].mean(axis=0) + 1) * 127.5).astype(np.uint8)[..., None], 3, axis=2)
        canvas.image(x, y, enlarged(pixels, tiles.height, tiles.width))


def _scale(
    canvas: PictureCanvas, first: int, shown: int, count: int, scales: NDArray[Any], middle: RGB, colour: bool
) -> None:
    """Write which filters these are, and what their colours mean: each is scaled to its own largest weight."""
    x = canvas.write(0, 1, _pages(first, shown, count), "quiet")
    x = canvas.write(x + 2 * bool(x), 1, "− ", "quiet")
    ramp = np.linspace(-1, 1, RAMP)[None].repeat(2, axis=0)
    if colour:  # of red, green and blue each
        canvas.image(x, 1, np.repeat(((ramp + 1) * 127.5).astype(np.uint8)[..., None], 3, axis=2))
    elif canvas.palette.shades:
        canvas.image(x, 1, colours.diverging(ramp, middle))
    else:
        canvas.shade(x, 1, (ramp[:1] + 1) / 2)
    seen = scales[first : first + shown]
    low, high = numbers.number(float(seen.min())), numbers.number(float(seen.max()))
    maximum = high if low == high else _("{low} to {high}", low=low, high=high)
    said = f" +  {_('each scaled to its own maximum ({maximum})', maximum=maximum)}"
    if cell_len(said) > canvas.width - x - RAMP:
        said = f" +  {_('maximum {maximum}', maximum=maximum)}"
    canvas.write(x + RAMP, 1, cut(said, canvas.width - x - RAMP), "quiet")


def _pages(first: int, shown: int, count: int) -> str:
    if shown == count:
        return ""
    return _("{first}–{last} of {count}", first=first + 1, last=first + shown, count=count)


def sample(canvas: PictureCanvas, picture: Picture) -> None:
    """Draw images, or texts, that a loop has given."""
    of = int(picture.arrays["of"])
    if "texts" in picture.arrays:
        _texts(canvas, picture.texts("texts"), of)
        return
    images = picture.arrays["images"]
    some = _("{some} of {count}", some=len(images), count=of) if len(images) < of else f"{of}"
    tiles = _layout(canvas, len(images), images.shape[2:], LEAST, below=0, widest=0)
    places = _places(canvas, tiles, len(images), below=0)
    pages = _pages(places[0][0], len(places), len(images))
    canvas.write(0, 0, f"{_('images')}: {some}  {pages}".rstrip(), "strong")
    for i, x, y in places:
        canvas.image(x, y, resized(coloured(images[i]), tiles.height, tiles.width))


def _texts(canvas: PictureCanvas, texts: Sequence[str], of: int) -> None:
    """Write texts below each other, from the canvas' first on."""
    first = min(canvas.first, len(texts) - 1)
    row = 1
    shown = 0
    for text in texts[first:]:
        lines = [line for part in text.splitlines() or [""] for line in wrapped(clean(part), max(1, canvas.width))]
        if shown and row + len(lines) > canvas.height:
            break
        for line in lines:
            canvas.write(0, row, line)
            row += 1
        row, shown = row + 1, shown + 1
    canvas.seen = shown, len(texts)
    some = _("{some} of {count}", some=len(texts), count=of) if len(texts) < of else f"{of}"
    canvas.write(0, 0, f"{_('texts')}: {some}  {_pages(first, shown, len(texts))}".rstrip(), "strong")


def _layout(
    canvas: PictureCanvas, count: int, shape: Sequence[int], wanted: int, *, below: int, widest: int, top: int = 1
) -> _Tiles:
    """Return the largest size at which `wanted` of the images are seen at once.

    below: rows of text under each image. top: rows above all.
    """
    height, width = (int(size) for size in shape)
    factors = [f for f in (8, 6, 5, 4, 3, 2, 1.5, 1, 0.75, 0.5) if f <= 1 or f * max(height, width) <= SIDE]
    if max(height, width) > SIDE:
        factors = [SIDE / max(height, width) * f for f in (1, 0.75, 0.5)]
    best: _Tiles | None = None
    for factor in factors:
        w, h = max(2, round(width * factor)), max(2, round(height * factor))
        step = max(w, widest) + GAP
        across = max(1, (canvas.width + GAP) // step)
        rows = -(-h // 2) + below
        gap = 0 if below else 1
        down = max(1, (canvas.height - top + gap) // (rows + gap))
        tiles = _Tiles(w, h, step, across, down)
        fits = w <= canvas.width and rows <= canvas.height - top
        if fits and across * down >= min(wanted, count):
            return tiles
        if fits and (best is None or across * down > best.across * best.down):
            best = tiles
    return best or tiles


def _places(
    canvas: PictureCanvas, tiles: _Tiles, count: int, *, below: int, top: int = 1
) -> list[tuple[int, int, int]]:
    """Return the images that have room, from the canvas' first on, each with its upper left cell."""
    rows = -(-tiles.height // 2) + below + (0 if below else 1)
    room = min(count, tiles.across * tiles.down)
    canvas.seen = room, count
    first = min(canvas.first, (count - 1) // room * room)
    return [
        (first + i, i % tiles.across * tiles.step, top + i // tiles.across * rows)
        for i in range(min(room, count - first))
    ]


def _table(canvas: PictureCanvas, picture: Picture, names: list[str]) -> None:
    """Draw samples that are not images as rows of numbers."""
    arrays = picture.arrays
    heads = [_("true"), _("predicted"), _("confidence"), *(clean(column) for column in picture.texts("columns"))]
    body = [
        [names[true], names[said], numbers.percent(probability, 0), *(numbers.number(float(v)) for v in row)]
        for true, said, probability, row in zip(
            arrays["true"], arrays["predicted"], arrays["probability"], arrays["rows"], strict=True
        )
    ][: max(0, canvas.height - 3)]
    x = 0
    for column, head in enumerate(heads):
        texts = [row[column] for row in body]
        aligned = numbers.align(texts) if column > 2 else texts
        wide = min(16, max([cell_len(head) if column < 3 else min(cell_len(head), 9), *map(cell_len, aligned)]))
        if x + wide > canvas.width:
            break
        canvas.write(x, 2, cut(head, wide), "quiet")
        for row, text in enumerate(aligned):
            canvas.write(x, 3 + row, cut(text, wide), "trouble" if column == 1 else "")
        x += wide + 2
