"""The pane beside the list: what the highlighted entry is."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.errors import DescentError
from engine.library import Entry
from tui.home.described import lab_lines, preset_lines, run_lines
from tui.home.glance import Glance
from tui.home.labs import LabEntry
from tui.home.rows import Item
from tui.widgets.lines import Line, Lines

if TYPE_CHECKING:
    from engine.preset import Preset
    from tui.app import DescentApp


class Details(Lines):
    """Shows one entry of the list; nothing for what is none."""

    app: "DescentApp"
    DEFAULT_CSS = "Details { width: 1fr; height: 1fr; padding: 0 1; }"

    def __init__(self) -> None:
        super().__init__(id="details")
        self._item: Item = None
        self._runs: Sequence[Glance] = ()
        self._by_name: dict[str, Entry] = {}
        self._loaded: dict[Entry, Preset | None] = {}

    def show(self, item: Item, runs: Sequence[Glance], presets: Sequence[Entry] | None) -> None:
        """item: the entry. runs, presets: all of them, for what they say of each other; None while still unread."""
        self._item, self._runs = item, runs
        self._by_name = {entry.name: entry for entry in presets or ()}
        self.show_lines()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        unicode = self.app.terminal.unicode
        match self._item:
            case Entry():
                return preset_lines(self._item, self._preset(self._item), self._runs, width, height, unicode=unicode)
            case Glance():
                entry = self._by_name.get(self._item.preset)
                preset = self._preset(entry) if entry is not None else None
                return run_lines(self._item, preset, width, height, unicode=unicode, now=self.app.clock())
            case LabEntry():
                return lab_lines(self._item, width, height)
        return ()

    def _preset(self, entry: Entry) -> "Preset | None":
        """The preset of an entry, read once. The schema is loaded by then, and this takes a millisecond."""
        if entry.broken:
            return None
        if entry not in self._loaded:
            from engine.preset import load_preset

            try:
                self._loaded[entry] = load_preset(entry.path)
            except DescentError:  # it was good a moment ago; the next reading of the presets says what is wrong
                self._loaded[entry] = None
        return self._loaded[entry]

    def forget(self) -> None:
        """The presets' files may have changed."""
        self._loaded.clear()
