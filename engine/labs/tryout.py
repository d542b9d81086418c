"""A lab tried before learners get it: its start and its solution are graded, over its own seeds and others."""

import math
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from engine.labs import flow
from engine.labs.format import Prediction
from engine.labs.grading import grade
from engine.labs.hidden import Hidden, with_hidden
from engine.labs.library import Lab
from engine.labs.submission import Submission
from engine.labs.verdict import Result, Verdict
from engine.preset import consent
from engine.preset.loading import load_preset

APART = 1000  # between the seeds of two gradings; no lab has so many members
Which = Literal["start", "solution"]


# --- the work of nobody, and of somebody who knows the answer ---


def started(lab: Lab, folder: Path) -> Submission:
    """Write the lab's files as `lab start` does. Return them, with predictions that anybody might make."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in flow.learners_files(lab).items():
        (folder / name).write_text(text, encoding="utf-8")
    return _agreed(Submission(lab, folder, {one.id: guess(one) for one in lab.model.predictions}))


def solved(lab: Lab, folder: Path) -> Submission:
    """Write the lab's files with its reference solution: settings and code. Return them, with its predictions."""
    work, solution = started(lab, folder), lab.solution()
    settings: dict[str | None, tuple[str, ...]] = {None: solution.set}
    settings |= {name: part.set for name, part in solution.parts.items()}
    for part, texts in settings.items():
        if texts:
            file = work.file(part)
            file.write_text(load_preset(file, texts).to_toml(), encoding="utf-8")
    if lab.solution_code is not None:
        shutil.copyfile(lab.solution_code, folder / f"{lab.id}.py")
    return _agreed(Submission(lab, folder, {**work.predictions, **solution.predictions}))


def _agreed(work: Submission) -> Submission:
    """Agree to the code of this work, as `lab start` does."""
    if work.code is not None:
        consent.agree_for_now(sha256(work.code.read_bytes()).hexdigest())
    return work


def guess(prediction: Prediction) -> object:
    """Return an answer that anybody might give."""
    ids = [choice.id for choice in prediction.choices]
    return {"number": 0.0, "choice": ids[:1], "order": ids}[prediction.kind]


# --- grading them ---


@dataclass
class Tried:
    """Gradings of the start or the solution, the lab's own seeds first."""

    which: Which
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def passed(self) -> int:
        return sum(verdict.passed for verdict in self.verdicts)

    @property
    def problem(self) -> str | None:
        return next((one.problem for one in self.verdicts if one.problem is not None), None)

    def checks(self) -> Iterator["Criterion"]:
        """Yield each criterion over all gradings."""
        for results in zip(*(verdict.checks for verdict in self.verdicts), strict=True):
            yield Criterion(results)


@dataclass(frozen=True)
class Criterion:
    """A criterion over several gradings."""

    results: Sequence[Result]

    @property
    def met(self) -> int:
        return sum(result.passed for result in self.results)

    @property
    def values(self) -> list[float]:
        """The values that are finite numbers."""
        return [one.value for one in self.results if isinstance(one.value, float) and math.isfinite(one.value)]

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values) if self.values else None

    @property
    def sd(self) -> float | None:
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    @property
    def margin(self) -> float | None:
        """How many standard deviations the mean is on the right side of the threshold, if that can be said."""
        limit = self.results[0].threshold
        if not isinstance(limit, float) or self.mean is None or not self.sd:
            return None
        distance = self.mean - limit if self.results[0].relation == "least" else limit - self.mean
        return distance / self.sd

    @property
    def errors(self) -> list[str]:
        """Why it could not be evaluated, each reason once."""
        return list(dict.fromkeys(result.error for result in self.results if result.error))

    def as_json(self) -> dict[str, Any]:
        first = self.results[0]
        return {
            "id": first.id,
            "met": self.met,
            "of": len(self.results),
            "bonus": first.bonus,
            "mean": self.mean,
            "sd": self.sd,
            "relation": first.relation,
            "threshold": first.threshold,
            "margin": self.margin,
            "errors": self.errors,
        }


def graded(
    lab: Lab,
    which: Which,
    seeds: int,
    tell: Callable[[Which, int, Verdict], None] = lambda which, turn, one: None,
    hidden: Hidden | None = None,
) -> Tried:
    """Grade the start or the solution so many times, each with other seeds, and once more with the hidden ones.

    hidden: its criteria count in each grading. tell: called after each.
    """
    lab = lab if hidden is None else with_hidden(lab, hidden)
    found = Tried(which)
    with tempfile.TemporaryDirectory(prefix="descent-try-") as folder:
        work = (started if which == "start" else solved)(lab, Path(folder) / "work")
        own = work.graded(None, work.preset(None), (), None).train.seed
        further = [[f"train.seed={own + APART * turn}"] if turn else [] for turn in range(seeds)]
        further += [list(hidden.set)] if hidden is not None and hidden.set else []
        for turn, overrides in enumerate(further):
            place = Path(folder) / f"graded-{turn}"
            place.mkdir()
            found.verdicts.append(grade(work, place, further=overrides))
            tell(which, turn + 1, found.verdicts[-1])
            if found.verdicts[-1].problem is not None:
                break
    return found
