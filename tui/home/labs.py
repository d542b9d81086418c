"""The labs as Home lists them: read in a thread, and said in the learner's language."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import DescentError
from engine.texts import clean

if TYPE_CHECKING:
    from engine.labs.format import Language
    from engine.labs.library import BrokenLab, Lab
    from engine.labs.progress import Progress

_WORDS = {
    "heading": ("labs", "실습"),
    "count": ("{passed} of {all}", "{all}개 중 {passed}개 통과"),
    "more": ("{count} more labs", "실습 {count}개 더"),
    "topic": ("topic", "주제"),
    "time": ("time", "시간"),
    "state": ("state", "상태"),
    "new": ("not started", "시작 전"),
    "started": ("started", "진행 중"),
    "passed": ("passed", "통과"),
    "graded": ("graded {count} ×: {reached}", "{count}회 채점: {reached}"),
    "next": ("next", "다음"),
    "then": ("then", "그다음"),
}


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
    more: str = "{count} more"
    said: tuple[str, ...] = ()


def read(given: str | None) -> Labs:
    """Read them and the learner's progress anew; slow at first. given: the language; None for the learner's."""
    from engine.labs import library, progress
    from engine.labs.language import chosen

    said: tuple[str, ...] = ()
    known = progress.Progress()
    language: Language = "ko" if given == "ko" else "en"
    try:
        known = progress.load()
        said, language = known.notes, chosen(given)
    except DescentError as error:  # what there is to learn is listed all the same
        said = (str(error),)
    found = library.all_labs()
    entries = tuple(_entry(lab, known, language) if isinstance(lab, library.Lab) else _broken(lab) for lab in found)
    passed = sum(entry.state == "passed" for entry in entries)
    count = _word("count", language).format(passed=passed, all=sum(not entry.broken for entry in entries))
    return Labs(entries, _word("heading", language), count, _word("more", language), said)


def _entry(lab: "Lab", known: "Progress", language: "Language") -> LabEntry:
    from engine import views_labs
    from engine.labs.texts import say
    from tui.labs.reached import reached

    record, model = known.of(lab.id), lab.model
    minutes = say("minutes", language, minutes=model.minutes)
    state = _word(record.state, language)
    came = reached(record, language)
    graded = _word("graded", language).format(count=record.count, reached=came) if came else ""
    commands = list(views_labs.commands(lab, known))
    following = [(command, say(what, language)) for command, what in commands if not command.startswith("cd ")]
    steps = [(_word("next", language), what) for _, what in following[: record.state != "passed" or not record.read]]
    steps += [(_word("then", language), f"{what}: {command}") for command, what in following[1:]]
    notes = {"new": minutes, "started": came or state, "passed": ""}
    return LabEntry(
        lab.id,
        record.state,
        title=clean(lab.text("title", language)),
        note=notes[record.state],
        about=clean(lab.text("about", language)),
        facts=(
            (_word("topic", language), say(model.topic, language)),
            (_word("time", language), minutes),
            (_word("state", language), f"{state}, {graded}" if graded else state),
            *steps,
        ),
        # From the folder where the learner's files are, and only the first step: the second needs what it leaves.
        command=" && ".join(command for command, _ in commands[: 1 + commands[0][0].startswith("cd ")]),
        found_by=clean(f"{lab.id} {model.title.en} {model.title.ko}"),
    )


def _broken(lab: "BrokenLab") -> LabEntry:
    return LabEntry(lab.id, found_by=f"{lab.id} broken", broken=lab.error, command="descent lab list")


def _word(key: str, language: str) -> str:
    return _WORDS[key][language == "ko"]
