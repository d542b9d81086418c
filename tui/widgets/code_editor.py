"""Textual's code editor, with the theme's colours, signs beside lines, a search, and indents as Python wants them."""

import re
from collections.abc import Iterable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Offset
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import LanguageDoesNotExist, Selection, TextAreaTheme

from tui import themes

LANGUAGES = {".py": "python", ".toml": "toml"}
_THEME = "descent"
_GAP = 2  # cells of Textual's gutter between the number of a line and its text
# How a grammar calls parts of a text, by the colour of the theme that they get. The others have the text's own.
_COLOURS = {
    "quiet": ("comment",),
    "good": ("string", "string.documentation"),
    "validation": ("number", "float", "boolean", "constant.builtin", "toml.datetime"),
    "train": (
        *("keyword", "keyword.function", "keyword.return", "keyword.operator", "conditional", "repeat", "exception"),
        *("include", "toml.type"),
    ),
    "primary": ("function", "method", "type.class", "property"),
}
_PLACEHOLDER = re.compile(r"raise NotImplementedError\b.*\)$")  # a function that is still to be written
_BOLD = ("function", "method", "type.class", "toml.type")


class CodeEditor(TextArea):
    """Indents a new line like the one before it, deeper after a colon. Backspace removes a whole indent."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"code-editor--mark", "code-editor--outdated-mark"}
    DEFAULT_CSS = """
    CodeEditor > .code-editor--mark { color: $trouble; text-style: bold; }
    CodeEditor > .code-editor--outdated-mark { color: $quiet; }
    """

    def __init__(self) -> None:
        super().__init__(show_line_numbers=True, tab_behavior="indent")
        self._marks: dict[int, str] = {}  # the style of the ✗ beside a line, by the line's number from 1
        self.cursor_blink = False

    def on_mount(self) -> None:
        self._use_theme()
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._use_theme())

    def _use_theme(self) -> None:
        variables = self.app.theme_variables
        styles = {
            name: themes.style(variables, colour) + Style(bold=name in _BOLD or None)
            for colour, names in _COLOURS.items()
            for name in names
        }
        self.register_theme(TextAreaTheme(_THEME, syntax_styles=styles))
        self.theme = _THEME

    # --- what is shown ---

    def show(self, text: str, suffix: str) -> None:
        """Show another text. suffix: of its file, which tells its language."""
        try:
            self.language = LANGUAGES.get(suffix)
        except (LanguageDoesNotExist, ValueError):  # no grammar, or one of another version: the text stays plain
            self.language = None
        self.load_text(text)
        self.mark(())

    def mark(self, numbers: Iterable[int], outdated: Iterable[int] = ()) -> None:
        """Put a ✗ beside these lines, a grey one beside those that are outdated. They count from 1."""
        self._marks = dict.fromkeys(outdated, "code-editor--outdated-mark")
        self._marks |= dict.fromkeys(numbers, "code-editor--mark")
        self.notify_style_update()
        self.refresh()

    def render_line(self, y: int) -> Strip:
        strip = super().render_line(y)
        if not self._marks or self.gutter_width <= _GAP:
            return strip
        place = y + self.scroll_offset.y
        if place >= self.wrapped_document.height:
            return strip
        row, column = self.wrapped_document.offset_to_location(Offset(0, place))
        if column or row + 1 not in self._marks:  # of a line that is wrapped, only the first row
            return strip
        at = self.gutter_width - _GAP
        plain = getattr(self.app, "terminal", None) is not None and not self.app.terminal.unicode  # type: ignore[attr-defined]
        style = self.get_component_rich_style(self._marks[row + 1])
        sign = Strip([Segment("x " if plain else "✗ ", style)], _GAP)
        return Strip.join([strip.crop(0, at), sign, strip.crop(self.gutter_width, strip.cell_length)])

    # --- places ---

    def go_to(self, line: int, begin: int = 0, end: int = 0) -> None:
        """Move the cursor to where that line's text begins, or select these columns of it. Lines count from 1.

        The placeholder of a function is selected, so that what is typed takes its place.
        """
        row = max(0, min(line, self.document.line_count) - 1)
        text = self.document.get_line(row)
        indent = len(text) - len(text.lstrip())
        if not end and _PLACEHOLDER.match(text.strip()):
            end = len(text.rstrip())
        self.selection = Selection((row, begin or indent), (row, end or indent))
        self.call_after_refresh(self.scroll_cursor_visible, center=True)  # a new text's height is known then

    def get_cursor_line_start_location(self, smart_home: bool = False) -> tuple[int, int]:
        """Return where the line begins, of a wrapped one, too: first its text, and from there its first column."""
        row, column = self.cursor_location
        text = self.document.get_line(row)
        indent = len(text) - len(text.lstrip())
        return row, indent if smart_home and (column == 0 or column > indent) else 0

    def get_cursor_line_end_location(self) -> tuple[int, int]:
        """Return where the line ends, of a wrapped one, too."""
        row, _column = self.cursor_location
        return row, len(self.document.get_line(row))

    def find(self, what: str, by: int) -> tuple[int, int]:
        """Select the next place that has `what`, from the cursor on and over the end; return which of how many it is.

        by: 1 for the next one, −1 for the one before, 0 for one that may begin where the selection does. Capitals
        count only if `what` has some.
        """
        text = self.document.text
        flags = re.NOFLAG if what != what.lower() else re.IGNORECASE
        found = [match.start() for match in re.finditer(re.escape(what), text, flags)] if what else []
        places = [self._location(text, index) for index in found]
        if not places:
            return 0, 0
        here = min(self.selection.start, self.selection.end)
        if by < 0:
            at = max((i for i, place in enumerate(places) if place < here), default=len(places) - 1)
        else:
            at = next((i for i, place in enumerate(places) if place > here or (not by and place == here)), 0)
        row, column = places[at]
        self.selection = Selection((row, column), (row, column + len(what)))
        self.scroll_cursor_visible(center=True)
        return at + 1, len(places)

    def _location(self, text: str, index: int) -> tuple[int, int]:
        newline = self.document.newline
        row = text.count(newline, 0, index)
        return row, index - (text.rfind(newline, 0, index) + len(newline) if row else 0)

    # --- typing ---

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.prevent_default()  # the screen's, after the letters before it; TextArea would move the focus
            return
        if event.key == "enter" and not self.read_only:
            event.stop()
            event.prevent_default()
            row, column = self.cursor_location
            before = self.document.get_line(row)[:column]
            indent = before[: len(before) - len(before.lstrip())]
            deeper = " " * self.indent_width if before.rstrip().endswith(":") else ""
            self._replace_via_keyboard(f"\n{indent}{deeper}", *self.selection)
            return
        await super()._on_key(event)

    def action_delete_left(self) -> None:
        row, column = self.cursor_location
        before = self.document.get_line(row)[:column]
        if self.read_only or not self.selection.is_empty or not before or before.strip(" "):
            super().action_delete_left()
            return
        stop = (column - 1) // self.indent_width * self.indent_width
        self._delete_via_keyboard((row, stop), (row, column))
