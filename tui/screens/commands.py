"""The commands of the palette: a line each, with its keys at the end."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from rich.cells import cell_len
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from descent.common.i18n import _
from tui.base import ConsoleApp
from tui.screens.help import actions_of
from tui.widgets.lines import fitted

WIDTH = 60  # cells of a line, fewer on a narrow screen


class Commands(Provider):
    """What the screen below offers, then what every screen does."""

    async def discover(self) -> Hits:
        for name, keys, run in self._commands():
            yield DiscoveryHit(self._line(Content(name), keys), run, text=name)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, keys, run in self._commands():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, self._line(matcher.highlight(name), keys), run, text=name)

    def _commands(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the name of each command, its keys, and what runs it. Of one that the screen has too, its own."""
        app = self.app
        assert isinstance(app, ConsoleApp)
        own = actions_of(self.screen)
        for action, (keys, does) in own.items():
            yield does, keys, partial(self.screen.run_action, action)
        for name in app.theme_names:
            yield _("theme: {name}", name=name), "", partial(app.use_theme, name)
        everywhere = {
            "settings": (_("settings"), ""),
            "help": (_("help"), "?"),
            "picture": (_("save the screen as SVG"), "^s"),
            "quit": (_("quit (training continues)"), "^q"),
        }
        named = {does for _keys, does in own.values()}
        for action, (does, keys) in everywhere.items():
            if action not in own and does not in named:
                yield does, keys, partial(app.run_action, action)

    def _line(self, name: Content, keys: str) -> Content:
        """Return the name with its keys, which end where those of all lines do."""
        width = min(WIDTH, self.app.size.width - 8)
        room = max(0, width - name.cell_length - cell_len(keys) - 1)
        return Content.assemble(name, " " * (room + 1), (fitted(keys, cell_len(keys)), "dim"))
