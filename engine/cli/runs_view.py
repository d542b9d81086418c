"""Output about runs: the table of all, one in detail, and a comparison of several."""

import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descent.common import paths, stdio
from descent.common.errors import DescentError
from descent.common.files import json_safe
from descent.common.glyphs import sparkline
from descent.common.i18n import N_, _, ngettext, pgettext
from descent.common.mean import mean_of_finite
from descent.common.numbers import NONE, ago, metric, number, percent, rate, time_taken
from descent.common.text import clean, shorten, show, why_damaged
from descent.loop.folder import start_of
from descent.run import comparison, find, samples
from descent.run.comparison import LETTERS, Comparison, compared, found
from descent.run.events import evaluation_of
from descent.run.folder import RunFolder, failed_at_start, problem_with
from descent.run.health import Broken, state_sign
from descent.run.means import mean_curves
from descent.run.metrics import Metrics
from descent.run.note import Note, read_note, write_note
from descent.run.result_metrics import (
    METRICS,
    Numbers,
    Split,
    loss_and_accuracy,
    metric_of,
    names_in,
    score_words,
    values_on,
)
from descent.run.results import RunResult, result_of
from descent.run.scalars import read
from descent.run.state import ALIVE
from descent.run.verdict import verdict_on
from descent.run.verdict import words as verdict_words
from engine.cli import members_view, tables
from engine.cli.report import best_words
from engine.preset import listing
from engine.preset.changes import Changes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEAD = (N_("RUN"), N_("PRESET"), N_("STATE"), N_("STEP"), N_("LOSS"), N_("VAL"), N_("TEST"), N_("STARTED"))
NARROW = 104  # columns of a terminal in which a run's start is told as an age, and ids tell the preset
_MOST_REASONS = 5  # of runs that failed at their start
_MOST_MEMBERS = 40  # or candidates, in a table
_NOBODY = "unknown"  # a folder of an older Descent does not say who gave a command
_GIVERS = {
    "console": N_("{count:,} from the console"),
    "shell": N_("{count:,} from a shell"),
    "program": N_("{count:,} from a program"),
    "assistant": N_("{count:,} from an assistant"),
    _NOBODY: N_("{count:,} from an unknown client"),
}
_MOST_SCALARS = 12  # in a table; --json has all
CURVES = (("loss", N_("loss")), ("accuracy", N_("accuracy")), ("lr", N_("lr")), ("grad_norm", N_("gradient norm")))


def compare(words: Sequence[str], runs_dir: Path | None, *, as_json: bool) -> None:
    """Print a table of results and one of differing settings, or one JSON object."""
    side_by_side = compared(found(words, runs_dir))
    if as_json:
        tables.print_json(as_object(side_by_side))
        return
    _print_finals(side_by_side)
    print()
    if not side_by_side.differences:
        print(_("no setting differs"))
        return
    head = (_("SETTING"), *LETTERS[: len(side_by_side.finals)])
    tables.print_table(head, [(row.key, *row.values) for row in side_by_side.differences], whole=head[:1])


def as_object(found: Comparison) -> dict[str, Any]:
    """Return the comparison for programs: runs in order, differences by key, ids of the best by metric."""
    runs = [
        {
            "run": each.folder.id,
            "dir": str(each.folder.path),
            "state": each.state,
            "step": each.step,
            "epoch": each.epoch,
            "seconds": each.seconds,
            "metrics": each.metrics,
            **({"scalars": json_safe(each.scalars)} if each.scalars else {}),
            **({"best": each.best_model.to_json()} if each.best_model is not None else {}),
            **({"candidate": each.candidate, "candidates": each.candidates} if each.candidate else {}),
            "parent": None if each.parent is None else {"run": each.parent[0], "step": each.parent[1]},
            "error": each.problem or None,
        }
        for each in found.finals
    ]
    differ = {row.key: [None if value == NONE else value for value in row.values] for row in found.differences}
    ids = {key: [found.finals[place].folder.id for place in places] for key, places in found.best.items()}
    return {"runs": runs, "differences": differ, "best": ids}


def _print_finals(found: Comparison) -> None:
    there = names_in(each.metrics for each in found.finals)
    heads = [_(metric_of(key).narrow_head).upper() for key in there]
    scalars = list(dict.fromkeys(name for each in found.finals for name in each.scalars))[:_MOST_SCALARS]
    heads += [clean(name).upper() for name in scalars]
    head = ["", _("RUN"), _("STATE"), _("STEP"), *heads, _("TIME")]
    rows = [
        [
            LETTERS[place],
            each.folder.id,
            _state(each.state, broken=each.broken),
            f"{each.step:,}",
            *(comparison.metric_text(found, key, place) for key in there),
            *(metric(name, each.scalars.get(name)) for name in scalars),
            time_taken(each.seconds),
        ]
        for place, each in enumerate(found.finals)
    ]
    tables.print_table(head, rows, right=head[3:], whole=[head[0], *head[2:]])
    for place, each in enumerate(found.finals):
        damage = _("damaged: {error}", error=clean(each.problem)) if each.problem else ""
        told = (comparison.candidate_text, comparison.best_model_text, comparison.origin_text)
        for text in filter(None, [*(words(each) for words in told), damage]):
            print(f"{LETTERS[place]}: {text}")
    if found.best:
        print(_("*: the best"))


# --- all ---


def list_runs(
    containing: str, runs_dir: Path | None, *, as_json: bool, each: bool = False, latest: int | None = None
) -> None:
    """Print one line per run, the latest first: the runs in `runs_dir`, or all known ones if it is None.

    The runs of a study are one line, unless `each` is set or a filter is given. A run whose files can't be read is
    listed as damaged. latest: at most so many are read.
    """
    folders = find.runs_of(runs_dir)[:latest]
    studies = Counter(find.study_of(folder) for folder in folders)
    if each or containing or runs_dir is not None:
        listed = [_listed(folder) for folder in folders]
    else:
        listed = list(_grouped(folders, studies))
    word = containing.casefold()
    chosen = [(entry, row) for entry, row in listed if word in _sought(entry, row)]
    if as_json:
        _tell_origins([entry for entry, row in chosen if "preset" in entry])
        grouped = [entry for entry, row in chosen if "study" in entry]
        own = {"runs": [entry for entry, row in chosen if "study" not in entry]}
        tables.print_json(own | ({"studies": grouped} if grouped else {}))
        return
    if not chosen:
        if containing:
            print(_("no runs whose id or state contains {given}", given=show(containing)))
        else:
            print(_("no runs; start one: {command}", command="descent run digits-mlp"))
        return
    left_out = {} if stdio.width() >= NARROW else {"PRESET"}
    if not left_out and any(entry.get("note") or entry.get("pinned") for entry, _row in chosen):
        columns = [*HEAD, N_("NOTE")]
    else:
        columns = [*HEAD]
    head = [_(name) for name in columns if name not in left_out]
    rows = [
        [text for name, text in zip(columns, row, strict=False) if name not in left_out] for _entry, row in chosen
    ]
    numbers = [_(name) for name in ("STEP", "LOSS", "VAL", "TEST")]
    whole = [name for name in head[1:] if name != _("NOTE")]
    tables.print_table(head, rows, right=numbers, whole=whole, gap=1 if left_out else 2)
    entries = [entry for entry, _row in chosen]
    for entry in entries:
        if "error" in entry:
            error = shorten(clean(entry["error"]), 200)
            print(f"{clean(entry['run'])}: {_('damaged: {error}', error=error)}")
    _say_failed_at_start([entry for entry in entries if entry.get("failed_at_start")])
    if any("study" in entry for entry in entries):
        print(_("show a study: descent study show STUDY; list the runs of studies too: descent runs --all"))


def _tell_origins(entries: Sequence[dict[str, Any]]) -> None:
    """Add to each run its script, or what was changed of its preset; None where the preset is not known here."""
    changes = Changes()
    changes.take(listing.files())
    for entry in entries:
        run = RunFolder(Path(entry["dir"]))
        entry["script"] = changes.script(run)
        entry["changed"] = json_safe(changes.of(run, str(entry["preset"] or "")))


def _sought(entry: dict[str, Any], row: Sequence[str]) -> str:
    """Return what a filter looks in: the id, and the state as programs read it and as the table has it."""
    return f"{entry.get('run')} {entry.get('state')} {row[HEAD.index('STATE')]}".casefold()


def _grouped(
    folders: Sequence[Path], studies: "Counter[Path | None]"
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """List runs as _listed does, with one entry for each study in the place of its latest run."""
    told: set[Path] = set()
    for folder in folders:
        study = find.study_of(folder)
        if study is None:
            yield _listed(folder)
        elif study not in told:
            told.add(study)
            count = studies[study]
            entry = {"study": study.name, "dir": str(study), "runs": count}
            began = _started((study / "study.json").stat().st_mtime)
            many = ngettext("study of {count} run", "study of {count:,} runs", count)
            yield entry, (study.name, "", f"▦ {many}", *[""] * (len(HEAD) - 4), began, "")


def _say_failed_at_start(entries: Sequence[dict[str, Any]]) -> None:
    """Print why these runs failed at their start, and how to delete them."""
    for entry in entries[:_MOST_REASONS]:
        reason = shorten(clean(str(entry["reason"])), 200)
        print(_("{run} failed at start: {reason}", run=entry["run"], reason=reason))
    if len(entries) > _MOST_REASONS:
        print(_("… and {number} more", number=len(entries) - _MOST_REASONS))
    if entries:
        print(_("delete one with: {command}", command="descent rm RUN"))


def _listed(folder: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a run as a JSON object and as a row of the table."""
    run = RunFolder(folder)
    try:
        result, facts = result_of(run), run.facts()
        entry = result.to_json() | {
            "preset": facts.get("preset"),
            "started": facts.get("started", run.preset.stat().st_mtime),
            **read_note(folder).to_json(),
        }
        if failed_at_start(result.state, result.step, run.origin()):
            entry |= {"failed_at_start": True, "reason": (run.last("state") or {}).get("reason")}
        return entry, _row(run, result, entry)
    except Exception as error:  # the files may hold anything, and one broken run must not hide the others
        damaged = {"run": folder.name, "dir": str(folder), "state": "damaged", "error": why_damaged(error)}
        return damaged, (folder.name, "", _state("damaged"), *[""] * (len(HEAD) - 2))


def _row(run: RunFolder, result: RunResult, entry: dict[str, Any]) -> tuple[str, ...]:
    reached, started = result.final_metrics, entry["started"]
    return (
        run.id,
        str(entry["preset"] or ""),
        _state(result.state, run.host(), at_start="failed_at_start" in entry, broken=result.broken),
        f"{result.step:,}",
        number(reached.get("train_loss")),
        _best_number(reached, "validation"),
        _best_number(reached, "test"),
        "" if started is None else _started(started),
        f"{'▾ ' if entry.get('pinned') else ''}{entry.get('note', '')}",
    )


def _started(moment: float) -> str:
    """Return "2026-11-30 01:53", or on a narrow terminal "36 min ago"."""
    if stdio.width() >= NARROW:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
    return ago(max(0.0, time.time() - moment))


def _state(state: str, host: str = "", *, at_start: bool = False, broken: Broken | None = None) -> str:
    """Return "✓ finished", "✗ collapsed", "✗ failed at start", or "▶ running on HOST" of another machine."""
    shown = _(state)
    if at_start:
        shown = _("{state} at start", state=shown)
    elif state in ALIVE and host not in ("", socket.gethostname()):
        shown = _("{state} on {host}", state=shown, host=host)
    elif broken is not None and state not in ALIVE:
        shown = broken.words
    if broken is not None and state in ALIVE:
        shown += f", {broken.words}"
    return f"{state_sign(state, broken)} {shown}"


def _best_number(reached: Numbers, split: Split) -> str:
    """Return the accuracy on a split, or the loss when there are no classes."""
    loss, accuracy = loss_and_accuracy(reached, split)
    return number(loss) if accuracy is None else percent(accuracy)


# --- one ---


def note_run(word: str, text: str | None, pin: bool | None, runs_dir: Path | None, *, as_json: bool) -> None:
    """Keep a text on a run, or pin it, where they are given, and print what is noted then."""
    run = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    noted = read_note(run.path)
    if text is not None or pin is not None:
        noted = Note(noted.text if text is None else text, noted.pinned if pin is None else pin)
        write_note(run.path, noted)
        noted = read_note(run.path)
    if as_json:
        tables.print_json({"run": run.id, "note": noted.text, "tags": list(noted.tags), "pinned": noted.pinned})
        return
    tables.print_fields(
        run.id,
        [
            (_("note"), noted.text or _("none")),
            (_("tags"), " ".join(f"#{tag}" for tag in noted.tags) or _("none")),
            (_("pinned"), _("yes") if noted.pinned else _("no")),
        ],
    )


def show_run(word: str, runs_dir: Path | None, *, as_json: bool) -> None:
    """Print the details of one run, with its curves as sparklines. Raises DescentError if its files are damaged."""
    run = RunFolder(find.find_run(word, paths.runs_dir(runs_dir)))
    try:
        found, result, fields = _details(run)
    except DescentError:
        raise
    except Exception as error:  # the files may hold anything
        folder, why = clean(str(run.path)), why_damaged(error)
        raise DescentError(
            _("{folder}: the files of this run are damaged: {error}", folder=folder, error=why)
        ) from None
    if as_json:
        tables.print_json(found)
    else:
        tables.print_fields(run.id, fields)
        for line in _members(run, result):
            tables.say(line)


def _details(run: RunFolder) -> tuple[dict[str, Any], RunResult, list[tuple[str, str]]]:
    """Return the JSON object, the result, and the fields of the text."""
    result, facts = result_of(run), run.facts()
    events = run.events()
    states = [event for event in events if event["event"] == "state"]
    reason = states[-1].get("reason") if states else None
    checkpoints = run.checkpoints()
    at_start = failed_at_start(result.state, result.step, run.origin())
    state = _state(result.state, run.host(), at_start=at_start, broken=result.broken)
    verdict = None if result.candidates else verdict_on(run)
    if result.state == "lost":
        reason = _why_lost(find.word_for(run.path), checkpoints)
    fields = [(_("state"), f"{state}: {reason}" if reason else state), *_origin(run)]
    fields += [(_("verdict"), verdict_words(verdict))] if verdict is not None else []
    if facts:
        planned = run.last("plan")
        fields += _facts(result, facts, (planned or run.last("length") or facts).get("total_steps"))
    fields += _exactness(run, result)
    several = result.has_members
    if several:
        fields.append((_("members"), f"{members_view.headline(result)}{_way(facts)}"))
    fields += _curves(run, result) + _scalars(run, result)
    for label, each in ((_("validation"), METRICS["val_loss"]), (_("test"), METRICS["test_loss"])):
        if values_on(result.metrics, each.split) and not several:
            fields.append((label, _split(result.metrics, each.split)))
    if result.best is not None:
        fields.append((_("best model"), best_words(result.best)))
    given = _givers(events)
    if given:
        shares = [_(text, count=given[giver]) for giver, text in _GIVERS.items() if giver in given]
        fields.append((_("commands"), ", ".join(shares)))
    sampled, noted = samples.listed(run.path, events), read_note(run.path)
    fields += [(_("samples"), _sampled(name, there)) for name, there in sampled.items()]
    if noted.text:
        fields.append((_("note"), noted.text))
    fields.append((_("checkpoints"), ", ".join(f"{step:,}" for step in checkpoints) or _("none")))
    problems = _problems(run, checkpoints)
    fields += [(_("damaged"), clean("; ".join(problems.values())))] if problems else []
    warnings = _warnings(events)
    fields += [(_("warning"), clean(message)) for message in warnings]
    fields.append((_("folder"), str(run.path)))
    details = {"preset": facts.get("preset"), "checkpoints": checkpoints, "reason": reason, "facts": json_safe(facts)}
    details |= {"commands": dict(given), "parent": json_safe(run.origin()), **noted.to_json()}
    details |= {"damaged": problems} if problems else {}
    details |= {"warnings": warnings} if warnings else {}
    details |= {"verdict": verdict.to_json()} if verdict is not None else {}
    if sampled:
        details["samples"] = {name: [each.step for each in there] for name, there in sampled.items()}
    if start_of(run) is not None:
        told = run.last("exact")
        details["exact"] = told is not None and not told.get("why_not")
    return {**result.to_json(), **details}, result, fields


def _givers(events: Sequence[dict[str, Any]]) -> "Counter[str]":
    """Count commands by who gave them."""
    commands = [event for event in events if event["event"] == "command"]
    # What a fork was asked for is followed in its first step, and given by nobody who watches it.
    givers = [event.get("given_by") for event in commands if event.get("given_by") or not event.get("replayed")]
    return Counter(giver if giver in _GIVERS else _NOBODY for giver in givers)


def _warnings(events: Sequence[dict[str, Any]]) -> list[str]:
    """Return what the worker warned of since it was last started: of a detached one, nobody saw it."""
    starts = [index for index, event in enumerate(events) if event.get("state") == "starting"]
    since = events[starts[-1] if starts else 0 :]
    return list(dict.fromkeys(str(event["message"]) for event in since if event["event"] == "warning"))


def _problems(run: RunFolder, checkpoints: Sequence[int]) -> dict[str, str]:
    """Return by step why a checkpoint can't be used."""
    return {str(step): problem for step in checkpoints if (problem := problem_with(run.checkpoint(step)))}


def _curves(run: RunFolder, result: RunResult) -> list[tuple[str, str]]:
    """Return a field for each curve: of a sweep those of its best candidate, of other members their mean."""
    best = result.best_candidate
    curves = mean_curves(Metrics(run.path), [name for name, _label in CURVES], best.members if best else None)
    is_mean = result.has_members and best is None
    fields = [(_("best"), _("{candidate}; its curves:", candidate=best.name))] if best is not None else []
    for name, label in CURVES:
        line = _curve(name, curves[name]) if name in curves else ""
        if line:
            fields.append((_("mean {metric}", metric=_(label)) if is_mean else _(label), line))
    return fields


def _scalars(run: RunFolder, result: RunResult) -> list[tuple[str, str]]:
    """Return a field for each scalar that a loop has given by name: its curve, or its last value."""
    found = read(run.path) if 0 < len(result.scalars) <= _MOST_SCALARS else {}
    fields = [(clean(name), line) for name, each in found.items() if (line := _curve(name, each.values))]
    if len(result.scalars) > _MOST_SCALARS:
        words = [f"{clean(name)} {metric(name, each.value)}" for name, each in result.scalars.items()]
        fields.append((_("scalars"), ", ".join(words)))
    return fields


def _sampled(name: str, there: Sequence[samples.Sample]) -> str:
    """Return "reconstructions: at step 100, 200"."""
    at = _("at step {steps}", steps=", ".join(f"{each.step:,}" for each in there))
    return f"{clean(name)}: {at}"


def _exactness(run: RunFolder, result: RunResult) -> list[tuple[str, str]]:
    """Say whether a resumed run of a loop of one's own ends as one that was not interrupted, or why not."""
    told = run.last("exact")
    if told is None:
        waits = start_of(run) is not None and result.state in ALIVE
        return [(_("exact"), _("not known before its first step"))] if waits else []
    why = [clean(str(reason)) for reason in told.get("why_not", ())]
    words = _("no: {reasons}", reasons="; ".join(why)) if why else _("yes: resumed or rewound, it ends the same")
    return [(_("exact"), words)]


def _origin(run: RunFolder) -> list[tuple[str, str]]:
    """Return the field of a fork or a replay: the run it comes from, and what differs."""
    origin = run.origin()
    if origin is None:
        return []
    from descent.run import events  # which loads the schema of presets

    what = _("replay") if (run.path / events.SCRIPT).exists() else _("fork")
    where = {"run": clean(str(origin["run"])), "step": origin["step"]}
    if "member" in origin:
        text = _("of member {member} of {run} at step {step:,}", member=origin["member"], **where)
    else:
        text = _("of {run} at step {step:,}", **where)
    if origin.get("changed"):
        text += "; " + _("changed: {keys}", keys=", ".join(map(clean, origin["changed"])))
    return [(what, text)]


def _validation_curves(run: RunFolder, result: RunResult) -> dict[str, list[float]]:
    """Return the validation losses of each candidate, by its name: the mean of its members that have not diverged."""
    losses: dict[int, dict[int, float | None]] = {}
    for event in run.events():
        if event["event"] == "evaluation" and event["split"] == "validation":
            evaluation = evaluation_of(event)
            losses.setdefault(evaluation.step, {})[evaluation.member] = evaluation.values.get("loss")
    found: dict[str, list[float]] = {}
    for candidate in result.candidates:
        kept = [member for member in candidate.members if member not in candidate.diverged]
        means = [mean_of_finite(losses[step].get(member) for member in kept) for step in sorted(losses)]
        found[candidate.name] = [mean for mean in means if mean is not None]
    return found


def _members(run: RunFolder, result: RunResult) -> list[str]:
    """Return the tables of a run with several members: its candidates, and each model."""
    if not result.has_members:
        return []
    curves = _validation_curves(run, result) if result.candidates else {}
    lines = ["", *members_view.table(result, most=_MOST_MEMBERS, curves=curves)]
    if 0 < len(result.candidates) < len(result.members):
        lines += ["", *members_view.members(result, most=_MOST_MEMBERS)]
    return lines


def _way(facts: dict[str, Any]) -> str:
    ways = {
        "batched": _("computed as batched matrix products"),
        "vmap": _("computed by torch.func.vmap"),
        "loop": _("computed in turns"),
    }
    return f", {ways[facts['way']]}" if facts.get("way") in ways else ""


def _facts(result: RunResult, facts: dict[str, Any], total_steps: int | None) -> list[tuple[str, str]]:
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(facts["started"]))
    threads = facts["threads"]
    device = str(facts["device_name"])
    if facts["device"] == "cpu":
        device += ", " + ngettext("{count} thread", "{count} threads", threads)
    if (processes := facts.get("processes", 1)) > 1:
        device += ", " + ngettext("{count:,} process", "{count:,} processes", processes)
    spent = time_taken(result.seconds)
    if result.seconds:
        spent += ", " + _("{rate} step/s", rate=rate(result.step / result.seconds))
    step = f"{result.step:,}"
    if total_steps is not None:
        step = _("{step:,} of {total:,}", step=result.step, total=total_steps)
    if result.epoch or facts.get("steps_per_epoch"):  # a loop of one's own may have none
        step += ", " + _("epoch {epoch}", epoch=result.epoch)
    return [
        (_("name") if facts.get("task") == "loop" else _("preset"), str(facts["preset"])),
        (pgettext("time", "started"), _("{time} on {host}", time=started, host=facts["host"])),
        (_("device"), device),
        (_("step"), step),
        (_("training time"), spent),
        (_("parameters"), f"{facts['parameters']:,}"),
    ]


def _split(reached: Numbers, split: Split) -> str:
    values = values_on(reached, split)
    if "loss" not in values:
        return ", ".join([*([percent(values["accuracy"])] if "accuracy" in values else []), *score_words(values)])
    if values.get("accuracy") is None:
        text = _("loss {loss}", loss=number(values.get("loss")))
    else:
        accuracy = percent(values["accuracy"])
        text = _("loss {loss}, accuracy {accuracy}", loss=number(values.get("loss")), accuracy=accuracy)
    return ", ".join([text, *score_words(values)])


def _why_lost(run: str, checkpoints: Sequence[int]) -> str:
    if not checkpoints:
        return _("the worker was killed or ran out of memory")
    return _(
        "the worker was killed or ran out of memory; `descent resume {run}` goes on from step {step:,}",
        run=run,
        step=max(checkpoints),
    )


def _curve(name: str, values: "NDArray[np.float32]") -> str:
    """Return the sparkline of `values`, (n,), and its two ends. Empty if nothing was measured, but for the loss."""
    import numpy as np

    from descent.run.not_given import is_given

    measured = values[np.isfinite(values)]
    if not len(measured):
        if name != "loss" or not len(values):
            return ""
        return "NaN" if is_given(values).any() else _("not measured")
    first, last = (metric(name, float(v)) for v in (measured[0], measured[-1]))
    if (measured == measured[0]).all():
        return first
    room = min(40, max(8, stdio.width() - 40))  # beside the label and the two ends
    return f"{sparkline(measured.tolist(), room)}  {first} → {last}"
