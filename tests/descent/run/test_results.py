"""What several models have come to is read off these numbers: the mean of ten repeats, the best candidate."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from descent.common.arrays import mean_over_members
from descent.common.mean import mean_of_finite
from descent.run.comparison import compared
from descent.run.events import Events
from descent.run.folder import RunFolder
from descent.run.layout import Layout
from descent.run.means import mean_curves
from descent.run.metrics import Metrics, MetricsWriter
from descent.run.results import result_of
from descent.run.scalars import RECORD, Names, ScalarWriter
from engine import cli
from engine.cli import members_view
from tests.helpers.processes import Child

NAN = float("nan")
LR = "optimizer.lr"


def run_of(folder: Path, losses: Sequence[Sequence[float]], values: Sequence[dict[str, Any]] = ()) -> RunFolder:
    """A run of two steps an epoch. losses: a row of them, one a member, for each step."""
    folder.mkdir(parents=True)
    run = RunFolder(folder)
    run.preset.write_text("")
    count = len(losses[0])
    members = tuple({"member": m, "seed": m, "values": values[m] if values else {}} for m in range(count))
    layout = Layout.of(accuracy=True, members=members, layers=())
    layout.save(folder)
    facts = {"preset": "p", "started": 0.0, "device": "cpu", "device_name": "CPU", "threads": 1, "parameters": 5}
    run_json = {**facts, "steps_per_epoch": 2, "total_steps": len(losses)}
    (folder / "run.json").write_text(json.dumps({**run_json, "host": run.host()}))
    rows = np.full((len(losses), count, len(layout.columns)), NAN, np.float32)
    rows[:, :, 0] = losses
    rows[:, :, layout.columns.index("time")] = np.arange(1, len(losses) + 1)[:, None]
    writer = MetricsWriter(folder, 0)
    writer.append(rows)
    writer.close()
    return run


def tell(run: RunFolder, *events: dict[str, Any]) -> None:
    log = Events(run.path)
    for event in events:
        log.write(**event)
    log.state("finished")
    log.close()


def evaluated(member: int, loss: float, accuracy: float = 0.5, split: str = "validation") -> dict[str, Any]:
    return {"event": "evaluation", "step": 4, "split": split, "member": member, "loss": loss, "accuracy": accuracy}


@pytest.fixture
def sweep(tmp_path: Path) -> RunFolder:
    """Two rates of two models each; a third rate at which both diverge, at steps 1 and 3."""
    rates = [0.01, 0.01, 0.1, 0.1, 9.0, 9.0]
    losses: list[list[float]] = [
        [1, 1, 1, 1, 7, 7],
        [1, 1, 1, 1, NAN, 7],
        [2, 4, 1, 3, NAN, 7],
        [2, 4, 1, 3, NAN, NAN],
    ]
    run = run_of(tmp_path / "runs" / "sweep", losses, [{LR: rate} for rate in rates])
    ended = [{"event": "member", "member": m, "state": "diverged", "step": s} for m, s in ((4, 1), (5, 3))]
    told = [evaluated(m, loss) for m, loss in enumerate((0.5, 0.7, 0.2, 0.4))]
    won = {"event": "winner", "members": [2, 3], "values": {LR: 0.1}, "by": "val_loss", "score": 0.3, "step": 4}
    tested = [evaluated(2, 0.25, 0.9, "test"), evaluated(3, 0.35, 0.8, "test")]
    tell(run, *ended, *told, won, *tested)
    return run


@pytest.fixture
def repeats(tmp_path: Path) -> RunFolder:
    """Three models; the last stopped early after two steps."""
    run = run_of(tmp_path / "runs" / "repeats", [[9, 9, 5], [9, 9, 7], [1, 2, NAN], [3, 4, NAN]])
    stopped = {"event": "member", "member": 2, "state": "stopped early", "step": 2}
    together = {"event": "ensemble", "step": 4, "split": "test", "loss": 0.1, "accuracy": 0.95}
    tell(run, stopped, *(evaluated(m, loss, loss) for m, loss in enumerate((0.1, 0.2, 0.6))), together)
    return run


def test_one_model_has_no_members(tmp_path: Path) -> None:
    """Scripts that read plain runs would find other keys than before."""
    run = run_of(tmp_path / "one", [[1.0], [NAN], [2.0], [4.0]])
    tell(run, evaluated(0, 0.3))
    found = result_of(run)
    assert found.metrics == {"train_loss": 3.0, "val_loss": 0.3, "val_accuracy": 0.5}
    assert set(found.to_json()) == set("run dir state step epoch seconds metrics device threads".split())  # noqa: SIM905
    assert found.seconds == 4.0
    diverged = run_of(tmp_path / "other", [[1.0], [NAN]])
    assert result_of(diverged).metrics == {"train_loss": None}  # the only loss there is, and it is NaN


def test_repeats_have_a_mean_and_its_spread(repeats: RunFolder) -> None:
    """'Mean of 10 repeats' would be one of them, or counted wrongly."""
    found = result_of(repeats)
    assert found.metrics == pytest.approx({"train_loss": (2 + 3 + 6) / 3, "val_loss": 0.3, "val_accuracy": 0.3})
    std = np.std([0.1, 0.2, 0.6], ddof=1)
    spread = found.to_json()["spread"]["val_loss"]
    assert spread == pytest.approx({"std": std, "stderr": std / math.sqrt(3), "n": 3})
    assert found.to_json()["ensemble"] == {"step": 4, "test_loss": 0.1, "test_accuracy": 0.95}
    assert "candidates" not in found.to_json()
    assert "winner" not in found.to_json()


def test_each_member_is_told_with_what_became_of_it(repeats: RunFolder, sweep: RunFolder) -> None:
    """One that stopped early would count with the rows of NaN after it, or hide that it stopped."""
    members = result_of(repeats).members
    assert [(m.member, m.seed, m.state, m.step) for m in members] == [
        (0, 0, "finished", 4),
        (1, 1, "finished", 4),
        (2, 2, "stopped early", 2),
    ]
    assert members[2].metrics == {"train_loss": 6.0, "val_loss": 0.6, "val_accuracy": 0.6}
    assert [m.metrics["train_loss"] for m in result_of(sweep).members] == [2, 4, 1, 3, 7, 7]


def test_candidates_are_ranked_by_validation(sweep: RunFolder) -> None:
    """The wrong learning rate would be taken for the best; one that diverged would spoil the means."""
    found = result_of(sweep)
    assert [(c.values[LR], c.members, c.diverged) for c in found.candidates] == [
        (0.1, [2, 3], []),
        (0.01, [0, 1], []),
        (9.0, [4, 5], [4, 5]),
    ]
    assert found.candidates[0].metrics["val_loss"] == pytest.approx(0.3)
    assert found.candidates[0].spread["val_loss"].n == 2
    assert found.candidates[2].metrics == {}
    assert found.metrics["train_loss"] == 2.5  # of the four that did not diverge


def test_with_early_stopping_each_candidate_is_told_as_its_best_model(tmp_path: Path) -> None:
    """The order would be that of the last models, which nobody compared."""
    run = run_of(tmp_path / "early", [[1, 1, 1]] * 4, [{LR: rate} for rate in (0.1, 0.2, 0.3)])
    told = [
        {**evaluated(member, loss), "step": step}
        for step, losses in ((2, (0.3, 0.1, 0.2)), (3, (0.4, 0.5, 0.15)), (4, (0.25, 0.6, 0.7)))
        for member, loss in enumerate(losses)
    ]
    won = {"event": "winner", "members": [1], "values": {LR: 0.2}, "by": "val_loss", "score": 0.1, "step": 4}
    tell(run, *told, {"event": "best", "step": 4, "steps": [4, 2, 3]}, won, evaluated(1, 0.12, split="test"))
    found = result_of(run)
    assert [candidate.metrics["val_loss"] for candidate in found.candidates] == [0.1, 0.15, 0.25]
    assert found.winner is not None
    assert found.winner.metrics["val_loss"] == 0.1
    assert found.winner.metrics["test_loss"] == 0.12


def test_the_winner_has_its_test(sweep: RunFolder) -> None:
    winner = result_of(sweep).winner
    assert winner is not None
    assert (winner.values, winner.members, winner.score) == ({LR: 0.1}, [2, 3], 0.3)
    assert winner.metrics["test_accuracy"] == pytest.approx(0.85)
    assert winner.spread["test_loss"].n == 2


def test_a_rewound_member_trains_again(sweep: RunFolder) -> None:
    """A member would be counted as lost in a future that was taken back."""
    log = Events(sweep.path)
    log.write("rewound", to=2)
    log.close()
    MetricsWriter(sweep.path, 2).close()
    found = result_of(sweep)
    assert [m.state == "diverged" for m in found.members] == [False] * 4 + [True, False]
    assert found.winner is None
    assert found.candidates[0].metrics == {"train_loss": 1.0}


def test_a_run_that_has_only_begun_has_no_numbers(tmp_path: Path) -> None:
    """`descent runs` would call it damaged."""
    run = run_of(tmp_path / "new", [[1.0, 1.0]])
    next((run.path / "metrics").iterdir()).write_bytes(b"")
    found = result_of(run)
    assert (found.step, found.metrics, len(found.members)) == (0, {}, 2)
    assert members_view.table(found, most=5)


def test_long_runs_are_read_in_parts(repeats: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A curve over members must be the same however little of it is in memory, and leave out who has ended."""
    monkeypatch.setattr("descent.run.metrics._PIECE", 1)
    curves = mean_curves(Metrics(repeats.path), ["loss", "nothing"])
    np.testing.assert_allclose(curves["loss"], [23 / 3, 25 / 3, 1.5, 3.5], rtol=1e-6)
    assert set(curves) == {"loss"}


def test_a_lost_member_leaves_the_mean_to_the_others() -> None:
    """One model at infinity would be all that a curve of ten shows, or the mean would be gone with it."""
    nan, inf = math.nan, math.inf
    values = np.array([[1, 3, inf], [nan, nan, inf], [2, nan, 4]], np.float32)
    np.testing.assert_array_equal(mean_over_members(values), np.array([2, nan, 3], np.float32))
    alone = np.array([[inf], [nan], [2]], np.float32)
    np.testing.assert_array_equal(mean_over_members(alone), alone[:, 0])
    assert mean_of_finite([1.0, None, 3.0, inf]) == 2.0
    assert mean_of_finite([None, nan]) is None


# --- on the terminal ---


@pytest.fixture
def show(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[[RunFolder, int], list[str]]:
    """`show(run, columns)`: the lines of `descent show` below its fields."""

    def lines(run: RunFolder, columns: int) -> list[str]:
        monkeypatch.setattr("descent.common.stdio.width", lambda: columns)
        assert cli.main(["show", str(run.path)]) == 0
        said = capsys.readouterr().out.splitlines()
        return said[said.index("") + 1 :]

    return lines


def test_show_has_the_candidates_and_the_models(
    sweep: RunFolder, show: Callable[[RunFolder, int], list[str]]
) -> None:
    """Which candidate won, and which diverged and when, could not be seen."""
    lines = show(sweep, 200)
    assert lines[0].split("  ")[-1] == "TEST ACC"
    assert lines[1].startswith("★   0.1")
    assert "0.300 ± 0.14" in lines[1]
    assert lines[2].startswith("   0.01")
    assert lines[3].startswith("✗     9")
    assert lines[3].endswith("2/2 diverged, step 1")
    assert lines[4].startswith("★ best validation loss: lr = 0.1 (")
    assert "test acc 85.0% ± 7.1% (std error 5.0%)" in lines[4]
    assert sum("diverged at step" in line for line in lines) == 2
    # The ± of a column lie below one another.
    assert len({line.index("±") for line in lines[1:3]}) == 1


def test_show_of_repeats_ends_with_mean_and_errors(
    repeats: RunFolder, show: Callable[[RunFolder, int], list[str]]
) -> None:
    lines = show(repeats, 200)
    assert lines[0].split() == "MEMBER SEED TRAIN LOSS VAL LOSS VAL ACC".split()  # noqa: SIM905
    assert lines[3].endswith("stopped early at step 2")
    assert [line.split("  ")[0] for line in lines[4:7]] == ["mean", "std", "std error"]
    assert lines[4].split() == ["mean", "3.67", "0.300", "30.0%"]
    assert lines[7] == "ensemble (mean prediction of the members): test loss 0.100, test acc 95.0%"


@pytest.mark.parametrize("columns", [60, 80])
def test_tables_keep_within_the_terminal(
    sweep: RunFolder, show: Callable[[RunFolder, int], list[str]], columns: int
) -> None:
    """Lines that wrap can't be read as a table."""
    lines = show(sweep, columns)
    assert max(map(len, lines)) <= columns
    assert any("VAL LOSS" in line for line in lines)


def test_a_long_table_is_cut_and_says_who_diverged(sweep: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A receipt of 1,000 lines, or one that hides that models were lost."""
    monkeypatch.setattr("descent.common.stdio.width", lambda: 200)
    lines = members_view.members(result_of(sweep), most=2)
    assert lines[-1] == "… 4 more; `descent show RUN --json` has all; diverged: 4, 5"
    assert len(lines) == 4


@pytest.mark.slow
def test_run_takes_members_from_the_command_line(descent: Callable[..., Child]) -> None:
    """--repeats, --sweep and --draws would train something else than they say."""
    words = ["--sweep", "optimizer.lr={low=0.01, high=0.2}", "--draws", "2", "--repeats", "2", "--json"]
    done = descent("run", "moons-mlp", "--set", "train.steps=20", *words).end()
    assert done.code == 0, done
    found = json.loads(done.out.splitlines()[-1])
    assert [(c["members"], list(c["values"])) for c in sorted(found["candidates"], key=lambda c: c["members"])] == [
        ([0, 1], [LR]),
        ([2, 3], [LR]),
    ]
    assert [m["seed"] for m in found["members"]][:2] == [m["seed"] for m in found["members"]][2:]
    assert found["winner"]["members"] == found["candidates"][0]["members"]
    assert found["winner"]["metrics"]["test_loss"] > 0
    done = descent("run", "moons-mlp", "--set", "train.steps=20", "--folds", "3").end()
    assert "std error" in done.out
    assert "FOLD" in done.out


def test_what_is_wrong_with_the_words_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "linear-regression", "--sweep", "model.widths=[[3]]"]) == 2
    assert "descent study run PRESET --vary model.widths=[…]" in capsys.readouterr().err


def test_numbers_of_any_names_are_results_and_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever measures something of their own would find it nowhere."""
    runs = []
    for name, f1 in (("a", 0.25), ("b", 0.75)):
        run = run_of(tmp_path / name, [[2.0]] * 4)
        mode = 'data.name = "x"\nloss.name = "y"\ntrain.best = { metric = "macro_f1", mode = "max" }\n'
        run.preset.write_text(mode)
        tell(
            run,
            evaluated(0, 0.5) | {"macro_f1": f1, "odd": "no number"},
            evaluated(0, 0.4, split="test") | {"kl": f1},
        )
        names, writer = Names(run.path), ScalarWriter(run.path, 0)
        writer.append(np.array([(1, names.index("beta"), f1)], RECORD))
        runs.append(run)
    assert result_of(runs[1]).metrics == {
        "train_loss": 2.0, "val_loss": 0.5, "val_accuracy": 0.5, "test_loss": 0.4, "test_accuracy": 0.5,
        "val_macro_f1": 0.75, "test_kl": 0.75,
    }  # fmt: skip
    assert result_of(runs[0]).to_json()["scalars"] == {"beta": {"step": 1, "value": 0.25}}
    found = compared(runs)
    assert found.best == {"val_macro_f1": (1,)}  # by train.best; of kl nothing tells which is better
    assert cli.main(["compare", str(runs[0].path), str(runs[1].path)]) == 0
    said = capsys.readouterr().out
    assert "VAL MACRO_F1" in said
    assert "TEST KL" in said
    assert "BETA" in said
    assert cli.main(["show", str(runs[1].path)]) == 0
    said = capsys.readouterr().out
    assert "macro_f1 0.750" in said
    assert "beta" in said
