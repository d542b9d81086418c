"""What the commands that train print: notes on the way, the receipt or the one JSON object, a background run's id."""

import json
import sys
from functools import partial
from pathlib import Path

from descent.common import stdio
from descent.common.i18n import N_, _
from descent.common.numbers import metric, time_taken
from descent.common.text import clean
from descent.run import find
from descent.run.folder import RunFolder
from descent.run.progress import Ending
from descent.run.remove import advice
from descent.run.results import BestModel, RunResult, result_of
from engine.cli import tables
from engine.launch.options import Options, Outcome

_MEMBERS = 12  # or candidates, in the receipt
_ENDED = {
    "finished": N_("finished at step {step:,} after {time} of training"),
    "stopped": N_("stopped at step {step:,} after {time} of training"),
    "failed": N_("failed at step {step:,} after {time} of training"),
}
_NOT_ENDED = N_("at step {step:,} after {time} of training")  # another process trains it again by now


def options(
    run_id: str | None = None,
    runs_dir: Path | None = None,
    data_root: Path | None = None,
    allow_code: bool = False,
    download: bool = False,
    as_json: bool = False,
    quiet: bool = False,
    folder: Path | None = None,
) -> Options:
    """Return the options of a start in this process, which prints what comes of it."""
    stdio.bound_waits()
    show = partial(print_outcome, as_json=as_json, quiet=quiet)
    return Options(run_id, runs_dir, data_root, allow_code, download, folder, as_json, quiet, tell=tell, show=show)


def tell(line: str) -> None:
    """Print a line that is no result: never on stdout, which may be carrying JSON."""
    stdio.say(line, sys.stderr)


def print_outcome(outcome: Outcome, *, as_json: bool, quiet: bool) -> None:
    """Print an error, and then the receipt or the one JSON object."""
    folder, ending = outcome.folder, outcome.ending
    if outcome.answer is not None:
        from engine.cli import live_view

        live_view.print_answer("resume", {}, outcome.answer, as_json=as_json)
        return
    if ending is None:
        if not quiet:
            tell(_("{run} is finished; nothing is left to train", run=folder.id))
    elif ending.error is not None:
        stdio.complain(ending.error)
    result = result_of(folder, ending.state if ending is not None else None)
    if as_json:
        error = {} if ending is None or ending.error is None else {"error": ending.error}
        stdio.say(json.dumps(result.to_json() | error | outcome.more))
    elif not quiet:
        for line in [*_receipt(folder, result, ending), *([outcome.line] if outcome.line else [])]:
            tables.say(line)


def _receipt(folder: RunFolder, result: RunResult, ending: Ending | None) -> list[str]:
    lines = [_(_ENDED.get(result.state, _NOT_ENDED), step=result.step, time=time_taken(result.seconds))]
    if result.has_members:
        from engine.cli import members_view

        lines += ["", *members_view.table(result, most=_MEMBERS), ""]
    elif result.metrics:
        lines.append("  ".join(f"{key} {metric(key, value)}" for key, value in result.metrics.items()))
    if result.best is not None:
        lines.append(f"{_('best model')} {best_words(result.best)}")
    if ending is not None and ending.receipt is not None:
        lines.append(_("checkpoint {file}", file=clean(str(ending.receipt))))
    if result.state in ("stopped", "failed"):
        lines.append(advice(folder))
    elif result.state == "finished":
        lines.append(_("next: {command}", command=f"descent show {find.word_for(folder.path)}"))
    return lines


def best_words(best: BestModel) -> str:
    """Return "of step 400: …/step-400.pt", or for several members "of each member: …/step-720.pt".

    If that file can't be used, say why.
    """
    file, problem = clean(str(best.checkpoint)), best.problem()
    told = (
        _("of each member: {file}", file=file)
        if best.step is None
        else _("of step {step:,}: {file}", step=best.step, file=file)
    )
    return told if problem is None else _("{best}; lost: {problem}", best=told, problem=clean(problem))


def print_started(folder: RunFolder, *, as_json: bool) -> None:
    """Print the id of a run that was sent to the background."""
    if as_json:
        stdio.say(json.dumps({"run": folder.id, "dir": str(folder.path)}))
    else:
        stdio.say(folder.id)
