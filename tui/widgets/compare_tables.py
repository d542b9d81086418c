"""Tables below the curves of several runs: their results, and the settings in which they differ."""

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.message import Message

from descent.common.i18n import N_, _
from descent.common.numbers import align, metric, time_taken
from descent.common.text import clean
from descent.run.comparison import LETTERS, Comparison, Final, best_model_text, candidate_text
from descent.run.health import state_sign
from descent.run.result_metrics import MetricName, metric_of, names_in
from tui.plot.canvas import RUNS
from tui.widgets.lines import STATE_STYLES, Line, Lines, Piece, cut, fitted, width_of

LEAST_NAME, MOST_NAME = 10, 28  # cells
LEAST_VALUE, MOST_VALUE = 7, 24  # cells of a setting's value
GAP = "  "
_LEAST_BEGIN = 3  # cells of the beginning of a name that is cut; less says nothing


def short_name(run_id: str) -> str:
    """The id of a run without its date: "mnist-mlp kqzt"; a name that the user gave as it is."""
    parts = clean(run_id).rsplit("-", 3)
    ours = len(parts) == 4 and len(parts[1]) == 6 and len(parts[2]) == 6 and len(parts[3]) == 4
    return f"{parts[0]} {parts[3]}" if ours else clean(run_id)


def names_beside(run_ids: Sequence[str]) -> tuple[str, list[str]]:
    """Return what the names of runs beside each other begin with, such as their preset, and the names without it."""
    names = [short_name(run_id) for run_id in run_ids]
    presets = {name.rpartition(" ")[0] for name in names}
    if len(presets) > 1 or len(names) < 2:
        return "", names
    return presets.pop(), [name.rpartition(" ")[2] for name in names]


def narrowed(names: Sequence[str], room: int) -> list[str]:
    """Return the names in at most `room` cells each; of one that is longer the end stays, which tells runs apart."""
    return [_elided(name, room) for name in names]


def _elided(name: str, room: int) -> str:
    if cell_len(name) <= room:
        return name
    first, _space, last = name.rpartition(" ")
    end = f" {last}" if first else name[-(room // 2) :]
    left = room - cell_len(end)
    return f"{fitted(name, left)}{end}" if left >= _LEAST_BEGIN else fitted(last[-room:], min(room, cell_len(last)))


class RunLines(Lines):
    """Lines with the colours of the runs. They may be scrolled where there are more than fit."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"lines--{name}" for name in RUNS}
    DEFAULT_CSS = "RunLines {" + "".join(f"& > .lines--{n} {{ color: ${n}; text-style: bold; }}" for n in RUNS) + "}"
    found: Comparison | None = None

    def show(self, found: Comparison) -> None:
        self.found = found
        self.show_lines()


class WhoLine(RunLines):
    """The top line: the letter, name and state of each run."""

    DEFAULT_CSS = "WhoLine { height: 1; padding: 0 1; background: $bar; }"

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.found is None:
            return [(Piece(_("reading the runs…"), "quiet"),)]
        finals = self.found.finals
        common, names = names_beside([final.folder.id for final in finals])
        line = [Piece(f"{common}   ", "quiet")] if common else []
        room = width - width_of(line) - 4 * len(finals)  # but for letters and signs
        gap = next((gap for gap in (3, 2) if sum(map(cell_len, names)) + gap * (len(finals) - 1) <= room), 1)
        names = narrowed(names, max(4, (room - gap * (len(finals) - 1)) // len(finals)))
        for place, final in enumerate(finals):
            line += [
                Piece(f"{LETTERS[place]} ", f"run{place + 1}"),
                Piece(names[place], "strong"),
                Piece(f" {state_sign(final.state, final.broken)}", _state_style(final)),
                Piece(" " * gap),
            ]
        return [cut(line[:-1], width)]


class CompareTable(RunLines, can_focus=True):
    """A table in a border with a cursor or a scroll position."""

    SCOPED_CSS = False
    DEFAULT_CSS = """
    CompareTable {
        border: round $border-blurred; padding: 0 1;
        border-title-color: $foreground; border-subtitle-color: $quiet;
    }
    CompareTable:focus { border: round $border; }
    .-ascii CompareTable { border: ascii $border-blurred; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", N_("up"), show=False),
        Binding("down,j", "move(1)", N_("down"), show=False),
        Binding("left,h", "side(-1)", N_("left"), show=False),
        Binding("right", "side(1)", N_("right"), show=False),
    ]

    def action_move(self, by: int) -> None:
        raise NotImplementedError

    def action_side(self, by: int) -> None:
        """For tables that are wider than the screen."""


class Finals(CompareTable):
    """A row for each run. Enter opens the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", N_("open the run"), show=False, id="compare.open")
    ]

    class Opened(Message):
        """A run is to be looked at alone."""

        def __init__(self, final: Final) -> None:
            super().__init__()
            self.final = final

    cursor = 0

    def on_mount(self) -> None:
        self.border_title = _("results")

    def on_focus(self) -> None:
        self.show_lines()

    def on_blur(self) -> None:
        self.show_lines()

    def action_move(self, by: int) -> None:
        count = len(self.found.finals) if self.found is not None else 1
        self.cursor = max(0, min(count - 1, self.cursor + by))
        self.show_lines()

    def action_open(self) -> None:
        if self.found is not None:
            self.post_message(self.Opened(self.found.finals[self.cursor]))

    def show(self, found: Comparison) -> None:
        super().show(found)
        told = [
            f"{LETTERS[place]} {text}"
            for place, final in enumerate(found.finals)
            for text in (candidate_text(final), best_model_text(final))
            if text
        ]
        forks = " · ".join([*forks_of(found), *told])
        stars = _("* best") if found.best else ""
        self.border_subtitle = "   ".join(part for part in (forks, stars) if part).replace("[", "\\[")

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.found is None:
            return []
        head, rows = _finals(self.found, width)
        drawn: list[Line] = [(Piece(head, "head"),)]
        for place, (name, row) in enumerate(zip(*rows, strict=True)):
            final = self.found.finals[place]
            chosen = "chosen" if place == self.cursor and self.has_focus else ""
            line = [
                Piece(f"{LETTERS[place]} ", f"run{place + 1}"),
                Piece(f"{state_sign(final.state, final.broken)} ", _state_style(final)),
                Piece(name, chosen),
            ]
            drawn.append(cut([*line, Piece(GAP + (final.problem or row), "trouble" if final.problem else "")], width))
        return drawn


def _finals(found: Comparison, width: int) -> tuple[str, tuple[list[str], list[str]]]:
    """Return the head, and the name and numbers of each run. Columns without room are left out from the right."""
    columns = [(_("step"), [f"{final.step:,}" for final in found.finals])]
    there = names_in(final.metrics for final in found.finals)
    columns += [(_(metric_of(key).narrow_head), _metric(found, key)) for key in there]
    scalars = dict.fromkeys(name for final in found.finals for name in final.scalars)
    columns += [
        (clean(name), align([metric(name, final.scalars.get(name)) for final in found.finals])) for name in scalars
    ]
    columns.append((_("time"), [time_taken(final.seconds) for final in found.finals]))
    _common, names = names_beside([final.folder.id for final in found.finals])
    longest = max(cell_len(name) for name in names)
    room = width - 4
    wide = [max(cell_len(title), *(cell_len(text) for text in texts)) for title, texts in columns]
    while len(wide) > 1 and sum(wide) + len(GAP) * len(wide) + min(longest, LEAST_NAME) > room:
        wide.pop()
    name_width = max(4, min(longest, MOST_NAME, room - sum(wide) - len(GAP) * len(wide)))
    shown = list(zip(columns, wide, strict=False))
    # The star behind a number is no part of it: heads stand above the digits.
    head = GAP.join(fitted(_headed(title, texts), w, right=True) for (title, texts), w in shown)
    rows = [GAP.join(texts[row].rjust(w) for (__, texts), w in shown) for row in range(len(names))]
    return " " * 4 + fitted(_("run"), name_width) + GAP + head, (
        [fitted(name, name_width) for name in narrowed(names, name_width)],
        rows,
    )


def _headed(title: str, texts: Sequence[str]) -> str:
    starred = any(text.endswith(("*", " ")) for text in texts)
    return title + " " if starred and cell_len(title) < max(map(cell_len, texts)) else title


def _metric(found: Comparison, key: MetricName) -> list[str]:
    values = [final.metrics.get(key) for final in found.finals]
    texts = [metric(key, value) for value in values]
    if not metric_of(key).is_share:
        texts = align(texts)
    best = found.best.get(key, ())
    return [text + ("*" if place in best else " ") for place, text in enumerate(texts)]


def forks_of(found: Comparison) -> list[str]:
    """Return a text for each fork: B fork of A @ step 7,150. A parent that is not compared is called by its name."""
    letters = {final.folder.id: LETTERS[place] for place, final in enumerate(found.finals)}
    said = []
    for place, final in enumerate(found.finals):
        if final.parent is not None:
            name, step = final.parent
            parent = letters.get(name, short_name(name))
            fork = _("{run} fork of {parent} @ step {step:,}", run=LETTERS[place], parent=parent, step=step)
            said.append(fork)
    return said


class Differences(CompareTable):
    """A row for each setting that differs, a column for each run."""

    first = 0  # row at the top
    side = 0  # run at the left

    def on_mount(self) -> None:
        self.border_title = _("settings that differ")

    def action_move(self, by: int) -> None:
        self.first += by
        self.show_lines()

    def action_side(self, by: int) -> None:
        self.side += by
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self.found is None:
            return []
        rows = self.found.differences
        if not rows:
            return [(Piece(_("none: all settings are the same"), "quiet"),)]
        keys = min(max(cell_len(row.key) for row in rows), max(12, width // 3))
        wide = [
            max(LEAST_VALUE, min(MOST_VALUE, max(cell_len(row.values[place]) for row in rows)))
            for place in range(len(self.found.finals))
        ]
        wide = _narrowed(wide, width - keys)
        last = len(wide)
        while last > 1 and sum(wide[-last:]) + len(GAP) * last + keys > width:
            last -= 1  # so many fit at the very right
        self.side = max(0, min(self.side, len(wide) - last))
        self.first = max(0, min(self.first, len(rows) - (height - 1)))
        seen = rows[self.first : self.first + height - 1]
        places = range(self.side, len(wide))
        head = [Piece(fitted("", keys), "head")]
        for place in places:
            head += [Piece(GAP), Piece(fitted(LETTERS[place], wide[place]), f"run{place + 1}")]
        drawn = [cut(head, width)]
        for row in seen:
            values = [Piece(GAP + fitted(row.values[place], wide[place])) for place in places]
            drawn.append(cut([Piece(fitted(row.key, keys), "quiet"), *values], width))
        self._tell_rest(len(rows), len(seen), hidden=width_of(head) > width or self.side > 0)
        return drawn

    def _tell_rest(self, rows: int, seen: int, *, hidden: bool) -> None:
        unicode = bool(getattr(getattr(self.app, "terminal", None), "unicode", True))
        first, last = self.first + 1, self.first + seen
        parts = [_("{first} to {last} of {rows}", first=first, last=last, rows=rows)] if seen < rows else []
        parts += [_("← → more runs") if unicode else _("left, right: more runs")] if hidden else []
        subtitle = " · ".join(parts) if unicode else ", ".join(parts)
        if str(self.border_subtitle or "") != subtitle:
            self.border_subtitle = subtitle


def _narrowed(wide: list[int], room: int) -> list[int]:
    """Shrink the widest columns first, until all fit or all are as narrow as allowed."""
    wide = list(wide)
    while sum(wide) + len(GAP) * len(wide) > room and max(wide) > LEAST_VALUE:
        wide[wide.index(max(wide))] -= 1
    return wide


def _state_style(final: Final) -> str:
    return "trouble" if final.broken is not None else STATE_STYLES.get(final.state, "trouble")
