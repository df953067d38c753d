"""Paired differences, ranks, wins, predictions and the comparison with the published numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from results import ResultsError, load_records
from results.comparison import compare_with_published, rank_correlation
from results.compose import compose_tables
from results.effective_dimension import compare_dimensions, paired_dimensions
from results.prediction import (
    fit_line,
    initial_quotients,
    predict_improvements,
    quotient_points,
    relative_improvements,
)
from results.published import PUBLISHED_DATASETS, load_published
from results.record import METRICS, read_record, record_path, write_record
from results.statistics import friedman_ranks, paired_differences, paired_values, wins_ties_losses
from results.statistics_tables import prediction_table
from tests.results.conftest import DATASETS, METHODS
from tests.results.synthetic import known_log, make_record


def frame_of(logs: dict[tuple[str, str, int], float]) -> pd.DataFrame:
    """Records with one round whose metrics all have the given logarithm, by (method, data set, split)."""
    rows = [
        {
            "experiment": "e",
            "task": "256x1",
            "method": m,
            "dataset": d,
            "split": s,
            "round": r,
            "n_train": 256 * (1 + r),
        }
        | dict.fromkeys(METRICS, np.exp(log))
        for (m, d, s), log in logs.items()
        for r in (0, 1)
    ]
    frame = pd.DataFrame(rows)
    return frame.astype(dict.fromkeys(("experiment", "task", "method", "dataset"), "category"))


def test_paired_differences_and_their_interval() -> None:
    generator = np.random.default_rng(0)
    common = {(d, s): generator.standard_normal() for d in ("a", "b") for s in range(20)}
    noise = {key: 0.1 * generator.standard_normal() for key in common}
    logs = {("random", *key): value for key, value in common.items()}
    logs |= {("lcmd-tp_ll", *key): value - 0.3 + noise[key] for key, value in common.items()}
    row = paired_differences(frame_of(logs), "rmse", "random").iloc[0]
    by_dataset = [[noise[d, s] for s in range(20)] for d in ("a", "b")]
    assert row["method"] == "lcmd-tp_ll"
    assert row["difference"] == pytest.approx(np.mean(by_dataset) - 0.3)
    # Of the mean of means: the bootstrap interval should be that of the normal distribution, within its own noise.
    stderr = np.sqrt(sum(np.var(values) / 20 for values in by_dataset)) / 2
    assert row["high"] - row["low"] == pytest.approx(2 * 1.96 * stderr, rel=0.1)
    assert row["low"] < row["difference"] < row["high"]


def test_no_interval_from_single_splits_and_unknown_reference() -> None:
    frame = frame_of({(m, d, 0): 0.1 * len(m) for m in ("random", "fw-p_ll_train") for d in "ab"})
    row = paired_differences(frame, "mae", "random").iloc[0]
    assert row["difference"] == pytest.approx(0.1 * (len("fw-p_ll_train") - len("random")))
    assert np.isnan(row["low"])
    with pytest.raises(ResultsError, match="reference=lcmd has no records here; there are: fw-p_ll_train, random"):
        paired_differences(frame, "mae", "lcmd")


def test_friedman_ranks_against_the_formula() -> None:
    generator = np.random.default_rng(1)
    methods, datasets = ["m1", "m2", "m3", "m4"], [f"d{i}" for i in range(10)]
    logs = {(m, d, 0): 0.3 * k + generator.standard_normal() for k, m in enumerate(methods) for d in datasets}
    ranks = friedman_ranks(frame_of(logs), "q99")
    placed = np.array([stats.rankdata([logs[m, d, 0] for m in methods]) for d in datasets])
    assert ranks.mean_ranks[methods].to_numpy() == pytest.approx(placed.mean(axis=0))
    n, k = placed.shape
    chi2 = 12 * n / (k * (k + 1)) * ((placed.mean(axis=0) - (k + 1) / 2) ** 2).sum()
    assert ranks.statistic == pytest.approx(chi2)
    # Demsar 2006, Table 5: q_0.05 = 2.569 for four methods.
    assert ranks.critical_difference == pytest.approx(2.569 * np.sqrt(k * (k + 1) / (6 * n)), rel=1e-3)
    far = np.abs(ranks.mean_ranks.to_numpy()[:, None] - ranks.mean_ranks.to_numpy()) > ranks.critical_difference
    p_values = ranks.p_values.loc[ranks.mean_ranks.index, ranks.mean_ranks.index].to_numpy()
    assert ((p_values < 0.05) == far).all()
    with pytest.raises(ResultsError, match="there are 2 methods on 10 data sets"):
        friedman_ranks(frame_of({key: v for key, v in logs.items() if key[0] in ("m1", "m2")}), "q99")


def test_no_ranks_of_equal_methods() -> None:
    logs = {(m, d, 0): float(len(d)) for m in ("m1", "m2", "m3") for d in ("a", "bb")}
    with pytest.raises(ResultsError, match="all 3 methods are equal on each of the 2 data sets"):
        friedman_ranks(frame_of(logs), "mae")


def test_wins_ties_and_losses() -> None:
    logs: dict[tuple[str, str, int], float] = {}
    for split, wiggle in enumerate((-0.1, 0.0, 0.1)):
        for dataset, gap in (("won", -1.0), ("tied", 0.01), ("lost", 1.0), ("lost too", 0.5)):
            logs["a", dataset, split] = gap + wiggle
            logs["b", dataset, split] = 0.0
    table = wins_ties_losses(frame_of(logs), "rmse")
    assert table.at["a", "b"] == (1, 1, 2)
    assert table.at["b", "a"] == (2, 1, 1)
    assert table.at["a", "a"] == (0, 4, 0)


def test_paired_values_have_a_row_per_run(runs: Path) -> None:
    values = paired_values(load_records(runs), "mae")
    assert values.shape == (len(DATASETS) * 3, len(METHODS))
    assert not values.isna().any().any()


def test_improvement_and_quotient_written_out(runs: Path) -> None:
    frame = load_records(runs)
    improvement, quotient = relative_improvements(frame), initial_quotients(frame)
    for dataset in DATASETS:
        logs = {}
        for method in ("random", "lcmd-tp_grad_rp-512"):
            records = [read_record(record_path(runs, "mini", dataset, "256x3", method, split)) for split in range(3)]
            logs[method] = np.array([[np.log(r.rmse) for r in record.rounds] for record in records])
        random, lcmd = (values[:, 1:].mean() for values in logs.values())
        expected = (lcmd - random) / (random - logs["random"][:, 0].mean())
        assert improvement[dataset] == pytest.approx(expected, rel=1e-9)
        gap = known_log(dataset, "random", "rmse", 256) - known_log(dataset, "random", "mae", 256)
        assert quotient[dataset] == pytest.approx(gap)


def test_fit_and_its_prediction_interval_cover_new_points() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for _ in range(400):
        quotient = generator.uniform(0, 1, 8)
        improvement = 2 * quotient - 0.5 + 0.2 * generator.standard_normal(8)
        fit = fit_line(pd.DataFrame({"quotient": quotient[:7], "improvement": improvement[:7]}))
        expected, low, high = fit.predict(quotient[7])
        assert expected == pytest.approx((low + high) / 2)
        covered += low <= improvement[7] <= high
    assert 360 <= covered <= 395  # 95 % of 400 is 380; these bounds are those of one in 10,000 repetitions


def test_no_line_through_equal_quotients() -> None:
    with pytest.raises(ResultsError, match="no line fits 3 data sets"):
        fit_line(pd.DataFrame({"quotient": [0.5] * 3, "improvement": [0.1, 0.2, 0.3]}))


def test_prediction_for_a_data_set_with_first_rounds_only(runs: Path) -> None:
    alone = make_record("own", "mine", "256x0", "random", 0)
    write_record(alone, record_path(runs, "own", "mine", "256x0", "random", 0))
    predictions = predict_improvements(load_records(runs))
    fit, table = predictions.fit, predictions.table
    assert (predictions.experiment, predictions.task, fit.n_datasets) == ("mini", "256x3", 4)
    mine = table.set_index("dataset").loc["mine"]
    assert mine["predicted"] == pytest.approx(float(fit.predict(mine["quotient"])[0]))
    assert np.isnan(mine["measured"])
    others = table.set_index("dataset").drop("mine")
    assert others["measured"].notna().all()
    assert ((others["low"] < others["predicted"]) & (others["predicted"] < others["high"])).all()


def test_prediction_is_not_changed_by_runs_of_other_training(runs: Path) -> None:
    before = predict_improvements(load_records(runs)).table
    for dataset in DATASETS[:3]:
        for method in ("random", "lcmd-tp_grad_rp-512"):
            write_first_rounds(runs, dataset, method, 1.5, experiment="silu", training="silu")
    after = predict_improvements(load_records(runs))
    pd.testing.assert_frame_equal(after.table, before)
    (note,) = [note for note in prediction_table(load_records(runs)).notes if note.startswith("fit on")]
    assert note.startswith("fit on 4 data sets of mini, 256x3: ")


def write_first_rounds(
    runs: Path, dataset: str, method: str, factor: float, experiment: str = "own", training: str = "relu"
) -> None:
    """A record of one round, whose RMSE is that of `make_record` times a factor."""
    record = make_record(experiment, dataset, "256x0", method, 0)
    rounds = tuple(replace(r, rmse=factor * r.rmse) for r in record.rounds)
    config = {"training": {"activation": training}}
    path = record_path(runs, experiment, dataset, "256x0", method, 0)
    write_record(replace(record, rounds=rounds, config=config), path)


def test_quotient_is_that_of_single_networks_and_of_random_where_it_has_run(tmp_path: Path) -> None:
    for dataset in ("fried", "stock"):
        write_first_rounds(tmp_path, dataset, "lcmd-tp_ll", 2.0)
        write_first_rounds(tmp_path, dataset, "lcmd-tp_ens-3_ll", 3.0)
    write_first_rounds(tmp_path, "fried", "random", 1.0)
    quotients = initial_quotients(load_records(tmp_path))
    for dataset, factor in (("fried", 1.0), ("stock", 2.0)):
        gap = known_log(dataset, "random", "rmse", 256) - known_log(dataset, "random", "mae", 256)
        assert quotients[dataset] == pytest.approx(gap + np.log(factor))


def test_no_fit_without_three_data_sets_and_no_invented_coefficients(runs: Path) -> None:
    frame = load_records(runs)
    two = frame[frame["dataset"].isin(DATASETS[:2])]
    with pytest.raises(ResultsError, match=r"at least 3 data sets, there are 2\. Of the published fit only R\^2"):
        quotient_points(two)


def published_like(shift: float, n_splits: int = 20) -> pd.DataFrame:
    """Records of two methods whose means and standard errors are the published ones, shifted."""
    table = load_published("relu").set_index("method")
    generator = np.random.default_rng(3)
    logs = {}
    for method in ("random", "lcmd-tp_grad_rp-512", "fw-p_ll_train"):
        wiggles = generator.standard_normal((len(PUBLISHED_DATASETS), n_splits))
        wiggles -= wiggles.mean(axis=1, keepdims=True)
        wiggles *= 0.002 * np.sqrt(15 * n_splits) / wiggles.std()
        for d, dataset in enumerate(PUBLISHED_DATASETS):
            for s in range(n_splits):
                logs[method, dataset, s] = table.at[method, "log_rmse"] + shift + wiggles[d, s]
    frame = frame_of(logs)
    return frame.assign(
        task="256x16",
        training="activation=relu",
        task_settings="",
        method_settings="",
        kernel_seconds=0.0,
        selection_seconds=0.0,
        timed_alone=False,
    )


def test_verdicts() -> None:
    same = compare_with_published(published_like(0.0), "rmse")
    assert same["stderrs"].abs().max() < 1e-6
    assert set(same["verdict"]) == {"agrees"}
    assert rank_correlation(same) == pytest.approx(1.0)
    worse = compare_with_published(published_like(0.02), "rmse")
    assert set(worse["verdict"]) == {"differs"}
    expected = 0.02 / np.sqrt(0.002**2 + 0.002**2 + 1e-6 / 12)
    assert worse["stderrs"].to_numpy() == pytest.approx(expected, rel=0.02)
    few = compare_with_published(published_like(0.0, n_splits=2), "rmse")
    assert set(few["verdict"]) == {"not comparable (2 splits, at least 5 needed)"}
    part = published_like(0.0)
    part = part[part["dataset"] != "methane"]
    assert set(compare_with_published(part, "rmse")["verdict"]) == {"not comparable (14 of 15 data sets)"}


def with_own_data_set(frame: pd.DataFrame) -> pd.DataFrame:
    """The records, and those of a data set that is none of the published."""
    own = frame[frame["dataset"] == "fried"].assign(dataset="mine")
    frame = pd.concat([frame, own], ignore_index=True).assign(code_version="1", data_hash="0")
    return frame.astype(dict.fromkeys(("task", "method", "dataset"), "category"))


@pytest.mark.parametrize("wanted", ["methods", "comparison"])
def test_own_data_sets_do_not_hide_the_published_numbers(wanted: str) -> None:
    published = published_like(0.0)
    same = published.assign(code_version="1", data_hash="0")
    (expected,) = compose_tables(same, wanted, "rmse", "random", all_methods=False)
    (table,) = compose_tables(with_own_data_set(published), wanted, "rmse", "random", all_methods=False)
    assert table.columns == expected.columns
    assert table.rows == expected.rows
    assert set(table.notes) - set(expected.notes) == {
        "left out, to be comparable with the published means: data sets mine"
    }


def test_why_there_are_no_published_numbers(runs: Path) -> None:
    (table,) = compose_tables(load_records(runs), "methods", "rmse", "random", all_methods=False)
    assert table.notes[-1] == "no published numbers for comparison: task 256x3, published: 256x16"
    part = published_like(0.0)
    part = with_own_data_set(part[part["dataset"] != "methane"])
    (table,) = compose_tables(part, "methods", "rmse", "random", all_methods=False)
    assert table.notes[-1] == "no published numbers for comparison: 14 of 15 data sets"
    assert compare_with_published(with_own_data_set(published_like(0.0)), "rmse")["verdict"].unique() == [
        "not comparable (data sets that were not published: mine)"
    ]


def test_effective_dimensions_are_paired_by_round(runs: Path) -> None:
    frame = load_records(runs)
    paired = paired_dimensions(frame)
    assert set(paired["selection"]) == {"lcmd-tp"}
    assert len(paired) == len(DATASETS) * 3 * 3
    found = compare_dimensions(paired)
    ll = frame[(frame["method"] == "lcmd-tp_ll") & (frame["round"] < 3)]["effective_dimension"]
    assert found.mean_ll == pytest.approx(ll.mean())
    assert found.share_larger == 1.0
    with pytest.raises(ResultsError, match="lcmd-tp_grad_rp-512 and lcmd-tp_ll"):
        paired_dimensions(frame[frame["method"] != "lcmd-tp_ll"])
