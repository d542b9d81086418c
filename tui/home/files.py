"""What Home reads of files in a thread."""

from textual.message import Message

from engine.library import Entry
from tui.home.labs import Labs


class FilesRead(Message):
    """All presets and labs were read."""

    def __init__(self, presets: list[Entry], labs: Labs) -> None:
        super().__init__()
        self.presets, self.labs = presets, labs
