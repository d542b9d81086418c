"""What happened in a run, as it grows: of a long log the last events alone stay in memory."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

from engine.files import JsonLinesReader
from engine.run import RunFolder, stays, valid_events

KEPT = 4096  # events that stay at least

Event = dict[str, Any]


class History(Sequence[Event]):
    """The events as of the last `look`, less what a resume or a rewind has voided.

    Who asks for earlier ones than those in memory waits until the log is read again: it is meant to be followed, by
    the numbers of the events that are new. They all change where events are voided; `voided` says how often that was.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.voided = 0
        self._folder = folder
        self._log = JsonLinesReader(folder.events_file)
        self._kept: list[tuple[int, Event]] = []  # each with the byte that its line begins at
        self._left_out = 0  # events before those

    def look(self) -> list[Event]:
        """Those that are new, in the order in which they came."""
        if len(self._kept) > 2 * KEPT:  # whoever follows has seen them since the last look
            self._left_out += len(self._kept) - KEPT
            self._kept = self._kept[-KEPT:]
        new = self._log.read_with_positions()
        for position, event in new:
            if event.get("event") in ("resumed", "rewound"):
                self._void(position, int(event["to"]), event.get("log"))
            self._kept.append((position, event))
        return [event for _, event in new]

    def _void(self, position: int, to: int, log: int | None) -> None:
        """The run went back to step `to`, where its log ended at byte `log`; it says so at `position`."""
        known = valid_events(self._folder, position) if self._left_out else self._kept
        self._kept = [(at, event) for at, event in known if stays(event, at, to=to, log=log)]
        self._left_out = 0
        self.voided += 1

    def __len__(self) -> int:
        return self._left_out + len(self._kept)

    def __iter__(self) -> Iterator[Event]:
        return iter(self[:])

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        if isinstance(index, int):
            found = self[index : index + 1] if index != -1 else self[-1:]
            if not found:
                raise IndexError(index)
            return found[0]
        begin, end, step = index.indices(len(self))
        known, left_out = self._kept, self._left_out
        if begin < left_out:
            known, left_out = valid_events(self._folder, self._log.position), 0
        return [event for _, event in known[begin - left_out : max(0, end - left_out) : step]]
