"""A run's evaluations: each member on a split, the test at the end, and the winner of a sweep."""

import math
from collections.abc import Callable, Sequence, Set
from typing import Any

from descent.loop.checkpoint import State
from engine.training.evaluation import Evaluation, nothing, values_of
from engine.training.members.train_state import MemberTrainState
from engine.training.reporter import Reporter
from engine.training.train_state import TrainState


class Evaluator:
    """Evaluates the models of a run, keeps the means in `run.reached`, and reports them."""

    def __init__(self, run: TrainState, reporter: Reporter) -> None:
        self._run, self._reporter = run, reporter

    def evaluate(
        self,
        split: str,
        step: int,
        members: Sequence[int] | None = None,
        between: Callable[[], None] = nothing,
    ) -> list[Evaluation]:
        """Evaluate every member, keep the means, and report `members`. None for all that have not diverged.

        step: the step that the evaluated models are from. between: called after each batch.
        """
        results, means = self._told(split, step, members, between)
        self._run.reached.update(means)
        self._run.evaluated[split] = self._run.step
        return results

    def look(self, split: str) -> dict[str, float]:
        """Evaluate every member as it is now and report it, but keep nothing in the run. Returns the means."""
        return self._told(split, self._run.step)[1]

    def _told(
        self, split: str, step: int, members: Sequence[int] | None = None, between: Callable[[], None] = nothing
    ) -> tuple[list[Evaluation], dict[str, float]]:
        """Evaluate and report. Returns the evaluations, and their means by the names of `run.reached`."""
        run = self._run
        results = run.evaluate(split, between)
        if run.at_once.halved:
            run.at_once.halved = False
            self._reporter.evaluates_fewer(run.at_once.samples)
        lost = [member for member, why in run.ended().items() if why == "diverged"]
        shown = [m for m in (range(len(results)) if members is None else members) if m not in lost]
        for member in shown:
            self._reporter.evaluation(step, split, member, results[member])
        short = "val" if split == "validation" else split
        means = {
            f"{short}_{name}": sum(values_of(results[member])[name] for member in shown) / len(shown)
            for name in values_of(results[0])
            if shown
        }
        return results, means

    def observe(self, results: Sequence[Evaluation], *, broken: bool) -> tuple[bool, Set[int]]:
        """Give an evaluation on the validation split to early stopping and to the plateau schedule.

        broken: whether the model has collapsed. Such a model is never the best, whatever its loss. Returns whether
        this is the best model so far, and the members that early stopping has now ended.
        """
        run = self._run
        ended = run.ended()
        is_best = run.observe([_beaten(result) for result in results] if broken else results)
        return is_best, run.ended().keys() - ended.keys()

    def test(self, best: Callable[[int], State | None]) -> None:
        """Evaluate on the test split. With early stopping the best model is tested, not the last one.

        best: returns the checkpoint of a step, or None if it is lost.
        """
        run = self._run
        with run.at_best(best) as step:
            if run.preset.train.early_stopping is not None or run.preset.train.best is not None:
                self._reporter.best(run.best_steps())
            winner = find_winner(run)
            if winner is not None:
                self._reporter.winner(step, winner)
            if not run.can_evaluate("test"):
                return
            self.evaluate("test", step, None if winner is None else winner["members"])
            together = evaluate_ensemble(run)
            if together is not None:
                self._reporter.ensemble(step, together)


def _beaten(result: Evaluation) -> Evaluation:
    """Return the evaluation of a broken model with numbers by which it is never the best."""
    accuracy = None if result.accuracy is None else math.nan
    return Evaluation(math.inf, accuracy, dict.fromkeys(result.scores, math.nan))


def find_winner(run: TrainState) -> dict[str, Any] | None:
    """Return the candidate of a sweep with the lowest validation loss, or the best `train.best.metric`: a mean over
    its members. None without a sweep.

    Only the validation split decides. The winner alone is tested, once.
    """
    if not isinstance(run, MemberTrainState) or not is_sweep(run):
        return None
    by = run.standings[0].best
    scores = [by.score(result) for result in run.evaluate("validation")]
    candidates: dict[str, list[int]] = {}
    for member in run.members:
        candidates.setdefault(repr(member.values), []).append(member.member)
    lost = [m for m, why in run.ended().items() if why == "diverged"]

    def score(members: list[int]) -> float:
        if any(member in lost for member in members):
            return math.inf  # it may diverge with another seed too
        return sum(scores[member] for member in members) / len(members)

    best = min(candidates.values(), key=score)
    if not math.isfinite(score(best)):
        return None
    metric = "loss" if by.by is None else by.by.metric
    value = score(best) if by.by is None or by.by.mode == "min" else -score(best)
    return {"members": best, "values": run.members[best[0]].values, "by": f"val_{metric}", "score": value}


def is_sweep(run: TrainState) -> bool:
    """Return whether the members differ in more than seed and fold."""
    return any(member.values for member in run.members)


def evaluate_ensemble(run: TrainState) -> Evaluation | None:
    """Test the members' mean prediction.

    Returns None for one model, for a sweep, which compares its candidates, and where all members have diverged.
    """
    if not isinstance(run, MemberTrainState) or is_sweep(run):
        return None
    return run.evaluate_ensemble("test")
