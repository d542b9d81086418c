"""Running text in Markdown, as the terminal can show it."""

import re

from textual.await_complete import AwaitComplete
from textual.widgets import Markdown

_PRODUCT = re.compile(r"(`[^`]*`)|·")  # in ASCII a star, which is Markdown outside code


class Prose(Markdown):
    """Has no signs where the terminal has ASCII alone. Links are not opened."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text, open_links=False)

    def update(self, markdown: str) -> AwaitComplete:
        """Show another text."""
        terminal = getattr(self.app, "terminal", None)
        if terminal is not None and not terminal.unicode:
            self.BULLETS = ["* "]
            markdown = terminal.plain(_PRODUCT.sub(lambda found: found[1] or r"\*", markdown))
        return super().update(markdown)
