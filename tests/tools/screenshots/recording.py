"""A recording of a terminal as an SVG that plays by itself: only cells that change are drawn anew."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Any, NamedTuple

from rich.cells import cell_len
from rich.color import blend_rgb
from rich.style import Style
from rich.terminal_theme import SVG_EXPORT_THEME as COLOURS
from textual.app import App

EVERY = 0.5  # seconds between two frames
WIDE, HIGH = 10, 20  # of a cell, in the picture's units
BASELINE = 15  # of the text, below the upper edge of its cell
MARGIN, TITLE = 10, 36  # around the cells, and above them
APART = 6  # cells that stay the same between two that change, for each to be drawn by itself
BRAILLE = range(0x2800, 0x2900)
DOT = 5  # between two dots of braille
OF_BITS = ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))  # across and down
JOINED = 17  # blanks at most between two pieces of text that are written as one
BLANK = "\u00a0"  # which is not folded with others
_NO_STYLE = Style()
PAGE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"><title>{title}</title>
<style>text{{font:16.6px "Fira Code","DejaVu Sans Mono",Menlo,Consolas,monospace}}
path{{fill:none;stroke-linecap:butt}}.d{{stroke-width:.6;stroke-linecap:round}}
{rules}
@media(prefers-reduced-motion:reduce){{*{{animation:none!important}}}}</style>
<rect x=".5" y=".5" width="{frame_width}" height="{frame_height}" rx="8" fill="{ground}" stroke="#555"/>
<circle cx="22" cy="20" r="6" fill="#ff5f57"/><circle cx="42" cy="20" r="6" fill="#febc2e"/>\
<circle cx="62" cy="20" r="6" fill="#28c840"/>
{body}</svg>
"""


class Look(NamedTuple):
    """How a cell looks: colours as #rrggbb, other declarations of CSS."""

    colour: str
    ground: str
    more: str = ""


class Cell(NamedTuple):
    """A character, or "" behind one of two cells."""

    text: str
    look: Look


Row = tuple[Cell, ...]


@dataclass(frozen=True)
class Frame:
    """What was on the screen from that second on: a title, which tells of keys, and rows of cells."""

    seconds: float
    rows: tuple[Row, ...]


class Tape:
    """Takes frames of an app, several a second, while it rolls."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._told: Sequence[tuple[str, str]] = ()
        self.frames: list[Frame] = []
        self.seconds = 0.0
        self.poster = 0  # the frame that is seen where nothing moves

    def tell(self, *told: tuple[str, str]) -> None:
        """Write this into the title from now on: each time a key and what it does."""
        self._told = told

    @asynccontextmanager
    async def rolling(self) -> AsyncIterator[None]:
        """Take frames within. What comes to pass between two such blocks is cut out."""
        task = asyncio.create_task(self._roll())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _roll(self) -> None:
        before, began = self.seconds, time.monotonic()
        while True:
            self._take()
            await asyncio.sleep(EVERY)
            self.seconds = before + time.monotonic() - began

    def _take(self) -> None:
        update = self._app.screen._compositor.render_update(
            full=True, screen_stack=self._app._background_screens, simplify=True
        )
        rows = [_row([segment for strip in line for segment in strip]) for line in update.strips]
        if not rows or not rows[0]:
            return  # a screen that is not laid out yet
        title = _title(self._told, len(rows[0]), rows[0][0].look.ground)
        frame = Frame(self.seconds, (title, *rows))
        if self.frames and self.frames[-1].seconds == self.seconds:  # it has just begun to roll again
            del self.frames[-1]
        if not self.frames or self.frames[-1].rows != frame.rows:
            self.frames.append(frame)


def _title(told: Sequence[tuple[str, str]], columns: int, ground: str) -> Row:
    key, words = Look("#ffffff", ground, "font-weight:bold"), Look("#9aa4b2", ground)
    cells = [Cell(" ", words)] * 8
    for name, does in told:
        cells += [Cell(one, key) for one in name] + [Cell(one, words) for one in f"  {does}    "]
    return tuple((cells + [Cell(" ", words)] * columns)[:columns])


def _row(segments: Sequence[Any]) -> Row:
    cells: list[Cell] = []
    for segment in segments:
        if segment.control:
            continue
        look = _look(segment.style or _NO_STYLE)
        for one in segment.text:
            cells += [Cell(one, look), *[Cell("", look)] * (cell_len(one) - 1)]
    return tuple(cells)


def _look(style: Style) -> Look:
    """As Rich writes the style into its own pictures."""
    own, ground = (
        otherwise if colour is None or colour.is_default else colour.get_truecolor(COLOURS, foreground=is_own)
        for colour, otherwise, is_own in (
            (style.color, COLOURS.foreground_color, True), (style.bgcolor, COLOURS.background_color, False)
        )
    )  # fmt: skip
    if style.reverse:
        own, ground = ground, own
    if style.dim:
        own = blend_rgb(own, ground, 0.4)
    more = [("font-weight:bold", style.bold), ("font-style:italic", style.italic)]
    more.append(("text-decoration:underline", style.underline))
    return Look(own.hex, ground.hex, ";".join(text for text, there in more if there))


# --- the picture ---


class Tile(NamedTuple):
    """Cells of a row that change together. shown: which of `versions` from which frame on."""

    column: int
    versions: list[Row]
    shown: list[tuple[int, int]]


def svg(frames: Sequence[Frame], seconds: float, poster: int, title: str) -> str:
    """Return the picture. seconds: all of it. poster: the frame that stands where nothing moves."""
    names, moves = _Names(frames[0].rows[0][0].look.ground), dict[str, str]()
    columns, rows = len(frames[0].rows[0]), len(frames[0].rows) - 1
    apart = columns * WIDE
    body = []
    for row in range(rows + 1):
        drawn = []
        for tile in _tiles([frame.rows[row] for frame in frames]):
            cells = _cells(tile, apart, names)
            if len(tile.versions) > 1:
                # All versions stand beside each other, a window's width apart; that of the moment is in the window.
                places = "".join(
                    f"{100 * frames[frame].seconds / seconds:.4g}%{{transform:translate({-at * apart}px)}}"
                    for frame, at in tile.shown
                )
                move = moves.setdefault(places, f"m{len(moves)}")
                still = next(at for frame, at in reversed(tile.shown) if frame <= poster)
                cells = f'<g class="{move}" transform="translate({-still * apart})">{cells}</g>'
            drawn.append(cells)
        top = (10 if row == 0 else TITLE + (row - 1) * HIGH) + BASELINE
        size = f'width="{apart}" height="{HIGH}" viewBox="0 {-BASELINE} {apart} {HIGH}"'
        body.append(f'<svg x="{MARGIN}" y="{top - BASELINE}" {size}>{"".join(drawn)}</svg>\n')
    rules = [
        f"@keyframes {move}{{{places}}}.{move}{{animation:{move} {seconds:.5g}s step-end infinite}}"
        for places, move in moves.items()
    ]
    width, height = apart + 2 * MARGIN, rows * HIGH + TITLE + MARGIN
    return PAGE.format(
        width=width, height=height, frame_width=width - 1, frame_height=height - 1, title=escape(title),
        ground=names.ground, rules="\n".join([*names.rules(), *rules]), body="".join(body),
    )  # fmt: skip


def _tiles(versions: Sequence[Row]) -> list[Tile]:
    """Return the parts of a row, those that stay the same and those that change."""
    first = versions[0]
    changing = [at for at, cell in enumerate(first) if any(version[at] != cell for version in versions)]
    spans: list[list[int]] = []
    for at in changing:
        if spans and at - spans[-1][1] <= APART:
            spans[-1][1] = at + 1
        else:
            spans.append([at, at + 1])
    tiles, done = [], 0
    for begin, end in [*spans, [len(first), len(first)]]:
        if done < begin:
            tiles.append(Tile(done, [first[done:begin]], [(0, 0)]))
        if begin < end:
            tiles.append(_tile(versions, begin, end))
        done = end
    return tiles


def _tile(versions: Sequence[Row], begin: int, end: int) -> Tile:
    known: dict[Row, int] = {}
    shown: list[tuple[int, int]] = []
    for frame, version in enumerate(versions):
        at = known.setdefault(version[begin:end], len(known))
        if not shown or shown[-1][1] != at:
            shown.append((frame, at))
    return Tile(begin, list(known), shown)


class _Names:
    """Short names of the colours and weights of text and grounds, as classes."""

    def __init__(self, ground: str) -> None:
        self.ground = ground
        self._known: dict[str, str] = {}

    def of(self, rule: str) -> str:
        return self._known.setdefault(rule, f"c{len(self._known)}")

    def rules(self) -> list[str]:
        return [f".{name}{{{rule}}}" for rule, name in self._known.items()]


def _cells(tile: Tile, apart: int, names: _Names) -> str:
    """Draw all versions, so far apart: the grounds, the dots of braille and the text, what looks alike together.

    Dots are drawn and not written: the braille of many fonts is of another width, or shows dots that are not set.
    """
    grounds: dict[str, list[str]] = {}
    dots: dict[str, list[tuple[int, int]]] = {}
    texts: dict[str, list[str]] = {}
    for at, cells in enumerate(tile.versions):
        begin = at * apart + tile.column * WIDE
        for ground, group in groupby(enumerate(cells), key=lambda each: each[1].look.ground):
            places = [place for place, _cell in group]
            if ground != names.ground:
                grounds.setdefault(ground, []).append(f"M{begin + places[0] * WIDE} 0h{len(places) * WIDE}")
        for place, cell in enumerate(cells):
            dots.setdefault(cell.look.colour, []).extend(_dots(cell, (begin + place * WIDE) // DOT))
        for first, run in _pieces(cells):
            text = escape("".join(BLANK if _is_blank(cell) else cell.text for cell in run), quote=False)
            length = f' textLength="{len(run) * WIDE}"' if len(run) > 1 else ""
            look = run[0].look
            rule = f"fill:{look.colour}" + (f";{look.more}" if look.more else "")
            texts.setdefault(rule, []).append(f'<text x="{begin + first * WIDE}"{length}>{text}</text>')
    down = f'transform="translate(0 {HIGH // 2 - BASELINE})"'
    drawn = [  # lines as thick as the row
        f'<path class="{names.of(f"stroke:{one};stroke-width:{HIGH}")}" {down} d="{"".join(each)}"/>'
        for one, each in grounds.items()
    ]
    down = f'transform="translate({DOT / 2} {DOT / 2 - BASELINE}) scale({DOT})"'
    drawn += [
        f'<path class="d {names.of(f"stroke:{one}")}" {down} d="{_path(each)}"/>'
        for one, each in dots.items()
        if each
    ]
    drawn += [f'<g class="{names.of(rule)}">{"".join(each)}</g>' for rule, each in texts.items()]
    return "".join(drawn)


def _dots(cell: Cell, x: int) -> list[tuple[int, int]]:
    """Return the places of the dots of a cell that begins at `x`, in dots from the left and from above."""
    bits = ord(cell.text) - BRAILLE[0] if _is_braille(cell) else 0
    return [(x + right, down) for bit, (right, down) in enumerate(OF_BITS) if bits >> bit & 1]


def _path(dots: Sequence[tuple[int, int]]) -> str:
    """Draw each dot as a line of no length with round ends, from one to the next."""
    drawn, before = [], (0, 0)
    for x, y in dots:
        across, down = x - before[0], y - before[1]
        drawn.append(f"m{across}{'' if down < 0 else ' '}{down}h0")
        before = x, y
    return "".join(drawn)


def _pieces(cells: Row) -> list[tuple[int, list[Cell]]]:
    """Return what is to be written and where. Blanks between two pieces that look alike join them."""
    pieces: list[tuple[int, list[Cell]]] = []
    for at, cell in enumerate(cells):
        if _is_blank(cell):
            continue
        if pieces:
            first, run = pieces[-1]
            gap = cells[first + len(run) : at]
            if run[0].look[::2] == cell.look[::2] and len(gap) <= JOINED and all(map(_is_blank, gap)):
                run += [*gap, cell]
                continue
        pieces.append((at, [cell]))
    return pieces


def _is_blank(cell: Cell) -> bool:
    """Return whether nothing is written there: braille is drawn."""
    return cell.text in (" ", BLANK) or _is_braille(cell)


def _is_braille(cell: Cell) -> bool:
    return bool(cell.text) and ord(cell.text[0]) in BRAILLE
