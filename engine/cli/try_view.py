"""Output of `descent lab try`: what a lab's start and solution reach."""

import sys
from pathlib import Path

from descent import warm
from descent.common import stdio, turn
from descent.common.errors import ExitCode
from descent.common.i18n import _
from descent.common.numbers import NONE, trimmed
from engine.cli import tables
from engine.labs import tryout
from engine.labs.hidden import hidden_of
from engine.labs.library import Lab
from engine.labs.tryout import Criterion, Tried, Which
from engine.labs.verdict import Verdict, formed


def try_lab(lab: Lab, seeds: int, instructor: Path | None, as_json: bool) -> int:
    """Grade a lab's start and solution and print a table. Return 0 if the solution always passes, the start never.

    instructor: the folder of what is hidden; see engine.labs.hidden.
    """
    hidden = hidden_of(lab, instructor)
    order: tuple[Which, ...] = ("start", "solution")
    warm.hold().join()  # each grading then begins at once
    turn.wait(lambda text: stdio.say(text, sys.stderr))
    tried = {which: tryout.graded(lab, which, seeds, _tell, hidden) for which in order}
    start, solution = tried["start"], tried["solution"]
    wrong = _complaints(start, solution)
    if as_json:
        tables.print_json(
            {"lab": lab.id, "start": _as_json(start), "solution": _as_json(solution), "problems": wrong}
        )
    else:
        _print(start, solution)
        for line in wrong:
            stdio.complain(line)
    return ExitCode.CHECK_FAILED if wrong else ExitCode.DONE


def _as_json(one: Tried) -> dict[str, object]:
    return {"passed": one.passed, "of": len(one.verdicts), "checks": [each.as_json() for each in one.checks()]}


def _tell(which: Which, grading: int, verdict: Verdict) -> None:
    if which == "start":
        text = _(
            "start, grading {turn}: {met} of {of} criteria are met", turn=grading, met=verdict.met, of=verdict.of
        )
    else:
        text = _(
            "solution, grading {turn}: {met} of {of} criteria are met", turn=grading, met=verdict.met, of=verdict.of
        )
    stdio.say(text, sys.stderr)


def _complaints(start: Tried, solution: Tried) -> list[str]:
    """Return what is wrong with the lab: each a sentence."""
    found = [one.problem for one in (start, solution) if one.problem is not None]
    for check in solution.checks():
        first = check.results[0]
        if check.errors:
            found.append(_("{id}: can't be evaluated for the solution: {error}", id=first.id, error=check.errors[0]))
        elif check.met < len(check.results) and not first.bonus:
            found.append(
                _(
                    "{id}: the solution meets it in {met} of {of} gradings",
                    id=first.id,
                    met=check.met,
                    of=len(check.results),
                )
            )
    if start.passed:
        found.append(_("the start passes in {met} of {of} gradings", met=start.passed, of=len(start.verdicts)))
    return found


def _print(start: Tried, solution: Tried) -> None:
    head = [
        _("CRITERION"),
        _("START MEETS"),
        _("SOLUTION MEETS"),
        _("START"),
        _("SOLUTION"),
        _("THRESHOLD"),
        _("MARGIN"),
    ]
    rows = []
    for of_start, of_solution in zip(start.checks(), solution.checks(), strict=False):
        rows.append(
            [
                of_solution.results[0].id,
                f"{of_start.met}/{len(of_start.results)}",
                f"{of_solution.met}/{len(of_solution.results)}",
                _mean(of_start),
                _mean(of_solution),
                _threshold(of_solution),
                _margin(of_solution),
            ]
        )
    tables.print_table(head, rows, right=head[1:], whole=head[:1])


def _mean(check: Criterion) -> str:
    form = check.results[0].show
    if check.mean is None:
        return NONE
    spread = "" if check.sd is None else f" ± {formed(check.sd, form)}"
    return f"{formed(check.mean, form)}{spread}"


def _threshold(check: Criterion) -> str:
    first = check.results[0]
    if isinstance(first.threshold, list):
        return " … ".join(formed(limit, first.show) for limit in first.threshold)
    sign = {"least": "≥", "most": "≤"}.get(first.relation, "")
    return NONE if first.threshold is None else f"{sign} {formed(first.threshold, first.show)}"


def _margin(check: Criterion) -> str:
    return NONE if check.margin is None else _("{count} sd", count=trimmed(round(check.margin, 1)))
