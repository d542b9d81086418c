"""What the checks of a lab look at: graded runs, data, the learner's functions; each made when it is first needed."""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.errors import DescentError, ExitCode
from engine.labs import graded, said
from engine.labs.format import Language
from engine.labs.graded import Graded, Job
from engine.labs.learner import Learner, Limits
from engine.labs.library import Lab
from engine.labs.said import CheckError
from engine.labs.work import Part
from engine.preset import Preset
from engine.schema import LOCKSTEP
from engine.study.vary import toml

TIMED = 3  # runs of which the median is taken


@dataclass
class Material:
    """presets: those to be graded, by part. place: a private folder. code: the learner's file, copied there."""

    lab: Lab
    presets: Mapping[Part, Preset]
    place: Path
    data_root: Path
    predictions: Mapping[str, Any]
    code: Path | None
    tell: Callable[[str], None]
    limits: Limits
    _runs: dict[str, Graded] = field(default_factory=dict)
    _splits: dict[tuple[Part, str, bool], Any] = field(default_factory=dict)

    # --- runs ---

    def train(self, parts: Sequence[Part], timed: Sequence[Part]) -> None:
        """Train what will be looked at; what is timed comes last, with nothing beside it."""
        self._train([Job(_id(part), self.presets[part], self._limit(part)) for part in parts])
        jobs = [
            Job(f"{_id(part)}-timed-{turn}", self.presets[part].changed(["members.repeats=1"]), self._limit(part))
            for part in timed
            for turn in range(TIMED)
        ]
        self._train(jobs)

    def _train(self, jobs: Sequence[Job]) -> None:
        if jobs:
            self._runs |= graded.train(jobs, self.place, self.data_root, self.tell)

    def _limit(self, part: Part) -> float:
        grade = self.lab.model.grade if part is None else self.lab.model.parts[part].grade
        return grade.limit if grade is not None else 60.0

    def run(self, part: Part, name: str, *, timed: bool = False) -> Graded:
        """The graded run of a part, because somebody asks for `name`. CheckError where it can't be looked at."""
        key = f"{_id(part)}-timed-0" if timed else _id(part)
        if key not in self._runs:
            raise CheckError(said.NO_RUN.with_(name=name))
        found = self._runs[key]
        if not found.is_usable:
            raise graded.complaint(found, self._limit(part))
        return found

    def missing_data(self) -> str | None:
        """What a graded run said of data that are not here."""
        return next((run.error for run in self._runs.values() if run.code == ExitCode.DATA_MISSING), None)

    def time(self, part: Part, measure: Callable[[Graded], float], *, timed: bool) -> float:
        """Of the graded run, or the median of those that were trained to be timed."""
        self.run(part, "seconds", timed=timed)
        if not timed:
            return measure(self._runs[_id(part)])
        runs = [self._runs[f"{_id(part)}-timed-{turn}"] for turn in range(TIMED)]
        return statistics.median(measure(run) for run in runs if run.is_usable)

    def last_losses(self, part: Part, key: str, values: Sequence[Any]) -> list[float]:
        """The last training loss of a run of each value of a key; infinite where it diverged."""
        alone = self.presets[part].changed(["members.repeats=1", 'train.on_nan="continue"'])
        begun = len(self._runs)
        validates = alone.data.validation > 0  # which a sweep goes by
        if key in LOCKSTEP and validates and len(values) > 1:
            swept = alone.changed([f'members.sweep."{key}"=[{", ".join(toml(value) for value in values)}]'])
            jobs = [Job(f"{_id(part)}-quick-{begun}", swept, self._limit(part))]
        else:
            quick = [alone.changed([f"{key}={toml(value)}"]) for value in values]
            jobs = [Job(f"{_id(part)}-quick-{begun + i}", one, self._limit(part)) for i, one in enumerate(quick)]
        self._train(jobs)
        losses: list[float] = []
        for job in jobs:
            found = self._runs[job.id]
            if not found.is_usable:
                raise graded.complaint(found, job.limit)
            for member in found.members:
                loss = member["metrics"].get("train_loss")
                diverged = loss is None or member["state"] in ("diverged", "failed")
                losses.append(float("inf") if diverged else float(loss))
        return losses

    # --- data ---

    def split(self, part: Part, split: str, of: str, *, raw: bool) -> Any:
        """`inputs` or `targets` of a split, as an array. CheckError where there is no such split."""
        key = (part, split, raw)
        if key not in self._splits:  # a split of MNIST takes half a second on its way here, and checks ask often
            self._splits[key] = self._data.data(**self._source(part), split=split, raw=raw)
        found = self._splits[key]
        if found is None:
            raise CheckError(said.NO_SPLIT.with_(split=split))
        return found[of]

    def context(self, part: Part) -> dict[str, Any]:
        """What models are made from: see engine.training.bench.Bench."""
        run = self._runs.get(_id(part))
        folder = str(run.path) if run is not None and run.is_usable else None
        return {"preset": str(self._file(part)), "run": folder, "data": self._data.facts(**self._source(part))}

    def _source(self, part: Part) -> dict[str, str]:
        return {"preset": str(self._file(part)), "root": str(self.data_root)}

    def _file(self, part: Part) -> Path:
        path = self.place / f"{_id(part)}.toml"
        if not path.is_file():
            path.write_text(self.presets[part].to_toml(), encoding="utf-8")
        return path

    @cached_property
    def _data(self) -> Learner:
        return Learner(None, self.lab.id, self.place, self.limits)

    # --- the learner's code ---

    @cached_property
    def learner(self) -> Learner:
        """CheckError where the lab has no code, or the learner has removed it."""
        if self.code is None:
            known = self.lab.start_file is not None
            raise CheckError(said.NO_FILE.with_(file=f"{self.lab.id}.py") if known else said.NO_CODE)
        return Learner(self.code, f"{self.lab.id}.py", self.scratch, self.limits)

    @cached_property
    def source(self) -> str:
        """The text of the learner's file."""
        if self.code is None:
            raise CheckError(said.NO_CODE)
        return self.code.read_text(encoding="utf-8", errors="replace")

    @cached_property
    def scratch(self) -> Path:
        """Where the learner's code may leave files."""
        return Path(tempfile.mkdtemp(prefix="scratch-", dir=self.place))

    def prepare(self, *, code: bool, data: bool) -> None:
        """Start the processes that will be needed; they load PyTorch while the runs train."""
        with suppress(DescentError):
            if code:
                self.learner.start()
            if data:
                self._data.start()

    def printed(self, language: Language) -> str:
        """What the learner's code has printed, cut where it is long."""
        return self.learner.output.text(language) if "learner" in self.__dict__ else ""

    def close(self) -> None:
        """End the processes."""
        for name in ("learner", "_data"):
            if name in self.__dict__:
                self.__dict__[name].end()


def _id(part: Part) -> str:
    return part or "main"
