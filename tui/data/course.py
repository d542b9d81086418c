"""All presets and labs as Home lists them: read in a thread, as their schema takes long to import."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from descent.common.errors import DescentError
from descent.common.i18n import N_, _
from descent.common.text import clean
from engine.preset.listing import Entry

if TYPE_CHECKING:
    from engine.labs.library import BrokenLab, Lab
    from engine.labs.progress import Progress


@dataclass(frozen=True)
class LabEntry:
    """A lab, how far its learner is, and what a shell would do next. broken: what is wrong with its files."""

    id: str
    state: str = "new"  # or "started", "passed"
    title: str = ""
    note: str = ""  # a few words beside the title
    about: str = ""
    facts: tuple[tuple[str, str], ...] = ()  # labels and values
    command: str = ""
    found_by: str = ""
    broken: str = ""


@dataclass(frozen=True)
class Labs:
    """All of the course, in order, the broken ones last. said: what is to be told of the file of progress."""

    entries: tuple[LabEntry, ...] = ()
    heading: str = ""
    count: str = ""
    more: str = ""  # with {count} to be filled in
    said: tuple[str, ...] = ()


class FilesRead(Message):
    """All presets and labs were read."""

    def __init__(self, presets: list[Entry], labs: Labs) -> None:
        super().__init__()
        self.presets, self.labs = presets, labs


_STATES = {"new": N_("not started"), "started": N_("started"), "passed": N_("passed")}


def read() -> Labs:
    """Read them and the learner's progress anew; slow at first."""
    from engine.labs import library, progress

    said: tuple[str, ...] = ()
    known = progress.Progress()
    try:
        known = progress.load()
        said = known.notes
    except DescentError as error:  # what there is to learn is listed all the same
        said = (str(error),)
    found = library.all_labs()
    entries = tuple(_entry(lab, known) if isinstance(lab, library.Lab) else _broken(lab) for lab in found)
    passed = sum(entry.state == "passed" for entry in entries)
    count = _("{passed} of {all}", passed=passed, all=sum(not entry.broken for entry in entries))
    return Labs(entries, _("labs"), count, _("{count} more labs"), said)


def _entry(lab: "Lab", known: "Progress") -> LabEntry:
    from engine.labs import flow
    from engine.labs.format import HOMEWORK, TOPICS
    from tui.data.labs import reached

    record, model = known.of(lab.id), lab.model
    minutes = ", ".join([*([_(HOMEWORK)] if model.homework else []), _("about {minutes} min", minutes=model.minutes)])
    state = _(_STATES[record.state])
    came = reached(record)
    graded = _("graded {count} ×: {reached}", count=record.count, reached=came) if came else ""
    commands = list(flow.next_commands(lab, known))
    following = [(command, what) for command, what in commands if not command.startswith("cd ")]
    steps = [(_("next"), what) for __, what in following[: record.state != "passed" or not record.read]]
    steps += [(_("then"), f"{what}: {command}") for command, what in following[1:]]
    notes = {"new": minutes, "started": came or state, "passed": ""}
    return LabEntry(
        lab.id,
        record.state,
        title=clean(str(model.title)),
        note=notes[record.state],
        about=clean(str(model.about)),
        facts=(
            (_("topic"), _(TOPICS[model.topic])),
            (_("time"), minutes),
            (_("state"), f"{state}, {graded}" if graded else state),
            *steps,
        ),
        # From the folder where the learner's files are, and only the first step: the second needs what it leaves.
        command=" && ".join(command for command, _ in commands[: 1 + commands[0][0].startswith("cd ")]),
        found_by=search_text(lab),
    )


def search_text(lab: "Lab") -> str:
    """Return the text by which a lab is found: its id, and its title and topic in both languages."""
    from engine.labs.format import TOPICS

    topic = TOPICS[lab.model.topic]
    return clean(f"{lab.id} {lab.model.title.en} {lab.model.title.ko} {topic} {_(topic)}")


def _broken(lab: "BrokenLab") -> LabEntry:
    return LabEntry(lab.id, found_by=f"{lab.id} broken", broken=lab.error, command="descent lab list")
