"""A live run in a comparison must show the numbers that its whole log tells, however long that is."""

from pathlib import Path

from descent.run.events import KEPT, EventIndex, Events
from descent.run.folder import RunFolder
from descent.run.follower import Follower
from descent.run.layout import Layout
from descent.run.results import result_of


def _run(path: Path, members: int) -> tuple[RunFolder, Events]:
    of = tuple({"member": m, "seed": m, "values": {"optimizer.lr": 0.1 * (m + 1)}} for m in range(members))
    Layout.of(accuracy=True, members=of, layers=()).save(path)
    events = Events(path)
    events.state("starting", host="elsewhere")
    events.state("running", step=0)
    return RunFolder(path), events


def _evaluate(events: Events, step: int, members: int) -> None:
    for split in ("validation", "test"):
        for member in range(members):
            loss = 1 / (1 + step) if step < 5 else 0.3 + step % 7 / 10 + member
            events.write("evaluation", step=step, split=split, member=member, loss=loss, accuracy=1 - loss)


def test_results_are_read_off_it_as_off_the_whole_log(tmp_path: Path) -> None:
    folder, events = _run(tmp_path, members=2)
    follower = Follower(folder)
    gist = EventIndex()
    for step in range(60):
        _evaluate(events, step, members=2)
        events.write("checkpoint", step=step, best=4)
        if step == 20:
            events.write("command", step=step, command="set", arguments={"edits": ["member=1", "optimizer.lr=1"]})
        if step == 40:
            events.write("rewound", to=30)
            events.write("member", member=1, state="diverged", step=step)
        follower.look()
        gist.take(follower.events, follower.events.voided)
        known = gist.kept
        assert result_of(folder, follower.state, known) == result_of(folder)
    events.write("winner", step=60, members=[0], values={"optimizer.lr": 0.1}, by="val_loss", score=0.3)
    follower.look()
    gist.take(follower.events, follower.events.voided)
    known = gist.kept
    assert result_of(folder, follower.state, known) == result_of(folder)
    assert known == [event for event in folder.events() if event in known]  # in their order
    assert {(e["split"], e["member"], e["step"]) for e in known if e["event"] == "evaluation"} == {
        (split, member, step) for split in ("validation", "test") for member in (0, 1) for step in (0, 1, 2, 3, 4, 59)
    }


def test_a_long_log_does_not_stay_in_memory(tmp_path: Path) -> None:
    folder, events = _run(tmp_path, members=1)
    follower = Follower(folder)
    gist = EventIndex()
    for look in range(6):
        for step in range(look * KEPT // 2, (look + 1) * KEPT // 2):
            events.write("evaluation", step=step, split="validation", member=0, loss=0.5 + step % 7)
        follower.look()
        gist.take(follower.events, follower.events.voided)
        known = gist.kept
    assert len(known) <= 5
    assert known[-1] == follower.events[-1]
