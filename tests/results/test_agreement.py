"""Agreement with the published ranking, beside sums written out here and on the records of the repository."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from results import load_records
from results.__main__ import main
from results.aggregate import run_values
from results.agreement import agreements, between_splits, kendall, method_distances, published_values, spearman
from results.published import load_published

LITE = Path(__file__).resolve().parents[2] / "results" / "lite.zip"
Capture = pytest.CaptureFixture[str]


def made(cells: dict[tuple[str, int], list[float]]) -> pd.DataFrame:
    """Values of methods a, b, ... in rows (data set, split)."""
    index = pd.MultiIndex.from_tuples(cells, names=["dataset", "split"])
    n_methods = len(next(iter(cells.values())))
    return pd.DataFrame(list(cells.values()), index=index, columns=list("abcdefgh"[:n_methods]))


def naive_spearman(x: np.ndarray, y: np.ndarray) -> float:
    ranks = [[sum(v < w for v in values) + sum(v == w for v in values) / 2 for w in values] for values in (x, y)]
    return float(np.corrcoef(ranks)[0, 1])


def naive_kendall(x: np.ndarray, y: np.ndarray) -> float:
    pairs = list(itertools.combinations(range(len(x)), 2))
    signs = np.sign([[x[i] - x[j], y[i] - y[j]] for i, j in pairs])
    return float(signs.prod(axis=1).sum() / np.sqrt((signs[:, 0] ** 2).sum() * (signs[:, 1] ** 2).sum()))


@pytest.mark.parametrize(("ours", "naive"), [(spearman, naive_spearman), (kendall, naive_kendall)])
def test_correlations_are_those_of_the_definition(
    ours: Callable[..., float], naive: Callable[[np.ndarray, np.ndarray], float]
) -> None:
    generator = np.random.default_rng(1)
    for _ in range(20):
        x, y = generator.normal(size=9), generator.integers(4, size=9).astype(float)  # y with ties
        assert ours(x, y) == pytest.approx(naive(x, y), abs=1e-12)


def test_data_sets_count_equally_alone_and_left_out() -> None:
    values = made(
        {("p", 0): [1, 2, 3, 4], ("q", 0): [4, 3, 2, 1.5], ("r", 0): [0, 10, 20, 30], ("r", 1): [0, 10, 20, 5]}
    )
    published = pd.Series([1.0, 2.0, 3.0, 4.0], index=list("abcd"))
    found = {agreement.datasets: agreement.spearman[0] for agreement in agreements(values, published)}
    means = {"p": [1, 2, 3, 4], "q": [4, 3, 2, 1.5], "r": [0, 10, 20, 17.5]}
    expected = [("p", "q", "r"), ("p",), ("q",), ("r",), ("q", "r"), ("p", "r"), ("p", "q")]
    assert list(found) == expected
    for datasets in expected:
        mean = np.mean([means[dataset] for dataset in datasets], axis=0)
        assert found[datasets] == pytest.approx(naive_spearman(mean, published.to_numpy()))


def test_interval_covers_the_resamples_and_needs_two_splits() -> None:
    """Of two splits there are three different means: each split alone, one time in four, and both."""
    splits = np.array([[1.0, 2, 3, 4, 5], [1.0, 2.5, 2, 6, 4]])
    published = pd.Series(np.arange(5.0), index=list("abcde"))
    values = made({("p", 0): list(splits[0]), ("p", 1): list(splits[1])})
    (agreement,) = agreements(values, published)
    alone = [naive_spearman(split, published.to_numpy()) for split in splits]
    assert agreement.spearman == pytest.approx(
        (naive_spearman(splits.mean(axis=0), published.to_numpy()), min(alone), max(alone))
    )
    assert agreement.kendall[1:] == pytest.approx(tuple(sorted(naive_kendall(s, published.to_numpy()) for s in splits)))
    (single,) = agreements(values.iloc[:1], published)
    assert single.spearman[0] == pytest.approx(1)
    assert np.isnan([*single.spearman[1:], *single.kendall[1:], single.between_splits]).all()


def test_correlation_between_splits_takes_the_splits_that_all_data_sets_have() -> None:
    values = made(
        {
            ("p", 0): [1, 2, 3],
            ("p", 1): [3, 2, 1],
            ("p", 2): [1, 3, 2],
            ("q", 0): [0, 0, 0],
            ("q", 1): [0, 0, 0],
        }
    )
    assert between_splits(values) == pytest.approx(-1)
    assert between_splits(values.loc[["p"]]) == pytest.approx(np.mean([-1, 0.5, -0.5]))


def test_methods_far_off_are_found() -> None:
    generator = np.random.default_rng(0)
    published = pd.Series(np.linspace(-1.6, -1.1, 8), index=list("abcdefgh"))
    ours = 0.5 * published.to_numpy() - 0.8 + 0.001 * generator.normal(size=8)
    ours[5] += 0.2
    table = method_distances(made({("p", 0): list(ours), ("q", 0): list(ours)}), published)
    slope, intercept = np.polyfit(published, ours, 1)
    assert table["fitted"].to_numpy() == pytest.approx(slope * published.to_numpy() + intercept)
    assert list(table.index[table["off_line"]]) == ["f"]
    assert table.loc["f", ["rank", "published_rank", "rank_p"]].tolist() == [8, 6, 8]
    moved = table["rank"] - table["published_rank"]
    assert list(table["off_rank"]) == list(np.abs(moved) > 2 * np.std(moved, ddof=1))


def test_too_few_published_methods(runs: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={runs}", "table=agreement", "method=random,lcmd-tp_ll"]) == 2
    assert "needs three published methods, there are 2" in capsys.readouterr().err


def test_intervals_of_few_splits_are_explained(runs: Path, capsys: Capture) -> None:
    assert main([f"paths.runs={runs}", "table=agreement"]) == 0
    shown = capsys.readouterr().out
    assert "with 3 splits, a resample can only lose splits" in shown
    assert "whole splits are drawn within each data set" in shown
    assert main([f"paths.runs={runs}", "table=agreement", "metric=mae"]) == 0
    assert "mean log MAE (mini, 256x3)" in capsys.readouterr().out


def test_records_of_lite_rank_the_methods_as_published() -> None:
    """What docs/results.md says about them."""
    frame = load_records(LITE)
    assert len(frame) == 76 * 3 * 2 * 5  # methods, data sets, splits, rounds 0 to 4
    values, published = published_values(frame, "rmse")
    found = {agreement.datasets: agreement for agreement in agreements(values, published)}
    means = run_values(frame, metrics=["rmse"]).groupby("method", observed=True)["rmse"].mean()
    table = load_published("relu").set_index("method").loc[means.index.astype(str)]
    expected = naive_spearman(means.to_numpy(), table["log_rmse"].to_numpy())
    assert found["diamonds", "fried", "sgemm"].spearman[0] == pytest.approx(expected)
    rounded = {datasets: f"{agreement.spearman[0]:.2f}" for datasets, agreement in found.items()}
    assert rounded == {
        ("diamonds", "fried", "sgemm"): "0.88",
        ("diamonds",): "0.86",
        ("fried",): "0.21",
        ("sgemm",): "0.89",
        ("fried", "sgemm"): "0.85",
        ("diamonds", "sgemm"): "0.91",
        ("diamonds", "fried"): "0.75",
    }
    distances = method_distances(values, published)
    assert set(distances.index[distances["off_line"]]) == {
        "maxdiag_ll_train",
        "maxdiag_ll_acs-rf-512",
        "maxdiag_grad_train",
        "maxdist-p_ll_acs-rf-512",
    }
    assert set(distances.index[distances["off_rank"]]) == {
        "maxdet-p_ll_train",
        "maxdet-p_ll_ens-3_rp-512_train",
        "maxdet-tp_grad_scale",
        "kmeanspp-tp_nngp",
    }
