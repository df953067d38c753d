"""Which part of the records predicts the published ranking best, beside sums over hand-made records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from results import ResultsError, load_records, read_record, write_record
from results.__main__ import main
from results.budget import best_within, choices, run_seconds
from results.published import load_published
from results.record import record_path
from tests.results.conftest import METHODS
from tests.results.synthetic import write_grid

LITE = Path(__file__).resolve().parents[2] / "results" / "lite.zip"
Capture = pytest.CaptureFixture[str]
DATASETS = ("fried", "sgemm")


@pytest.fixture
def grid(tmp_path: Path) -> Path:
    """Four published methods on two data sets, task 256x2, splits 0 to 2."""
    write_grid(tmp_path / "runs", "mini", DATASETS, "256x2", METHODS, range(3))
    return tmp_path / "runs"


def seconds_of(runs: Path, dataset: str, method: str, split: int, n_rounds: int) -> float:
    """The first trainings, and the selections between them."""
    rounds = read_record(record_path(runs, "mini", dataset, "256x2", method, split)).rounds
    trained = sum(r.train_seconds for r in rounds[: n_rounds + 1])
    return trained + sum((r.kernel_seconds or 0) + (r.selection_seconds or 0) for r in rounds[:n_rounds])


@pytest.mark.parametrize("n_rounds", [1, 2])
@pytest.mark.parametrize("n_splits", [1, 2, 3])
@pytest.mark.parametrize("datasets", [("fried",), ("sgemm",), DATASETS])
def test_time_and_correlation_of_a_part(grid: Path, datasets: tuple[str, ...], n_splits: int, n_rounds: int) -> None:
    timed = METHODS[:2]
    (choice,) = (
        c
        for c in choices(load_records(grid), timed, "rmse")
        if (c.datasets, c.n_splits, c.n_rounds) == (datasets, n_splits, n_rounds)
    )
    groups = {1: [(0,), (1,), (2,)], 2: [(0, 1)], 3: [(0, 1, 2)]}[n_splits]
    seconds = [sum(seconds_of(grid, d, m, s, n_rounds) for d in datasets for m in timed for s in g) for g in groups]
    assert choice.minutes == pytest.approx(np.mean(seconds) / 60)
    published = load_published("relu").set_index("method")["log_rmse"][list(METHODS)]
    correlations = []
    for group in groups:
        means = []
        for method in METHODS:
            records = [read_record(record_path(grid, "mini", d, "256x2", method, s)) for d in datasets for s in group]
            means.append(np.mean([np.log(r.rmse) for record in records for r in record.rounds[1 : n_rounds + 1]]))
        correlations.append(stats.spearmanr(means, published).statistic)
    assert choice.spearman == pytest.approx(np.mean(correlations))


def test_best_is_the_best_that_is_affordable(grid: Path) -> None:
    found = choices(load_records(grid), METHODS, "rmse")
    assert len(found) == 3 * 3 * 2  # sets of data sets, numbers of splits, rounds
    assert [c.minutes for c in found] == sorted(c.minutes for c in found)
    for minutes in (found[0].minutes, 0.5, 1000):
        best = best_within(found, minutes)
        assert best.minutes <= minutes
        others = [c for c in found if c.minutes <= minutes]
        assert all(c.spearman < best.spearman or c.minutes >= best.minutes for c in others if c != best)
        assert best.spearman == max(c.spearman for c in others)
    with pytest.raises(ResultsError, match=r"budget=0\.01 minutes are too few: the cheapest choice takes 0\.\d\d"):
        best_within(found, 0.01)


def test_runs_on_another_device_count_as_the_average(grid: Path) -> None:
    path = record_path(grid, "mini", "fried", "256x2", METHODS[1], 0)
    record = read_record(path)
    slow = tuple(replace(r, train_seconds=1000.0) for r in record.rounds)
    write_record(replace(record, rounds=slow, provenance=replace(record.provenance, device="abacus")), path)
    found = run_seconds(load_records(grid), 2).loc[("fried", 0)]
    others = [seconds_of(grid, "fried", method, 0, 2) for method in METHODS if method != METHODS[1]]
    assert found[METHODS[1]] == pytest.approx(np.mean(others))
    for method in METHODS:
        path = record_path(grid, "mini", "fried", "256x2", method, 1)
        record = read_record(path)
        write_record(replace(record, provenance=replace(record.provenance, device="abacus")), path)
    with pytest.raises(ResultsError, match="no run on fried, split 1, was made on cpu, as most were"):
        run_seconds(load_records(grid), 2)


def test_command_names_the_best_and_how_to_run_it(grid: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={grid}", "table=budget", "budget=1", "method=lcmd-tp_ll,random"]) == 0
    shown = capsys.readouterr().out
    best = best_within(choices(load_records(grid), ["lcmd-tp_ll", "random"], "rmse"), 1)
    (line,) = (line for line in shown.splitlines() if line.endswith("best"))
    assert line.startswith(", ".join(best.datasets))
    assert f"{best.minutes:.2f}" in line
    assert (
        "python -m benchmark -m experiment.name=quick-mini task.batch_size=256 "
        f"task.n_rounds={best.n_rounds} dataset={','.join(best.datasets)} "
        f"'splits=[{','.join(map(str, range(best.n_splits)))}]' method=lcmd-tp_ll,random"
    ) in shown
    assert "of 2 methods in one process on cpu, by the recorded seconds (not timed alone)" in shown
    assert "over 4 methods" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["budget=0"], "budget must be a whole number of at least 1, got 0"),
        (["method=lcmd-tp_lll"], "unknown method 'lcmd-tp_lll'. Did you mean 'lcmd-tp_ll'?"),
        (["dataset=fried,stock"], "unknown dataset 'stock'"),
    ],
)
def test_one_clear_error(grid: Path, capsys: Capture, arguments: list[str], message: str) -> None:
    assert main([f"paths.runs={grid}", "table=budget", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_too_many_data_sets_and_methods_without_records(tmp_path: Path) -> None:
    names = ["fried", "sgemm", "stock", "road", "query", "poker", "sarcos"]
    write_grid(tmp_path, "mini", names, "256x1", METHODS[:3], [0])
    frame = load_records(tmp_path)
    with pytest.raises(ResultsError, match="at most 6 data sets, got 7"):
        choices(frame, METHODS[:3], "rmse")
    with pytest.raises(ResultsError, match="no time is known for lcmd-tp_ll"):
        choices(frame, METHODS, "rmse")


def test_records_of_lite_need_no_fried() -> None:
    """What docs/results.md says about them."""
    frame = load_records(LITE)
    found = choices(frame, list(frame["method"].unique()), "rmse")
    assert len(found) == 7 * 2 * 4
    shown = {}
    for minutes in (2, 5, 10, 60):
        best = best_within(found, minutes)
        shown[minutes] = (best.datasets, best.n_splits, best.n_rounds, f"{best.spearman:.2f}", f"{best.minutes:.1f}")
    assert shown == {
        2: (("diamonds", "sgemm"), 1, 1, "0.77", "2.0"),
        5: (("sgemm",), 1, 4, "0.87", "4.7"),
        10: (("diamonds", "sgemm"), 1, 4, "0.89", "7.7"),
        60: (("diamonds", "sgemm"), 2, 4, "0.91", "15.4"),
    }
