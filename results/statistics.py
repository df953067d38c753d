"""Statistics that reviewers ask for: paired differences, ranks over data sets, wins, ties and losses.

All functions expect the common part of one experiment and task, and use each run's mean log metric over rounds 1..n.
Lower is always better.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scikit_posthocs
from scipy import stats

from results.aggregate import run_values
from results.errors import ResultsError

CONFIDENCE = 0.95
TIE_STDERRS = 2.0  # a difference of fewer standard errors of the paired difference is a tie
_N_RESAMPLES = 2000


@dataclass(frozen=True)
class Ranks:
    """The Friedman test over data sets, with Nemenyi's critical difference.

    `mean_ranks` and `p_values` (n_methods, n_methods) are indexed by method; 1 is the best rank.
    """

    mean_ranks: pd.Series
    p_values: pd.DataFrame
    statistic: float
    p_value: float
    critical_difference: float
    n_datasets: int


def paired_values(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the mean log metric of each run, with rows (data set, split) and one column per method."""
    values = run_values(frame, metrics=[metric])
    return values.pivot_table(index=["dataset", "split"], columns="method", values=metric, observed=True)


def paired_differences(frame: pd.DataFrame, metric: str, reference: str, seed: int = 0) -> pd.DataFrame:
    """Return each method minus the reference on the same splits, averaged over splits and data sets.

    One row per other method: `difference` of the mean log metric, and its 95 % percentile bootstrap interval `low`,
    `high` from resampling the splits within each data set (NaN if a data set has a single split).

    Raises ResultsError if the reference has no records.
    """
    values = paired_values(frame, metric)
    if reference not in values:
        raise ResultsError(
            f"reference={reference} has no records here; there are: {', '.join(values.columns)}. "
            f"`python -m benchmark method={reference}` with the same experiment.name, data sets and task makes them"
        )
    rows = []
    for method in values.columns.drop(reference):
        difference = values[method] - values[reference]
        samples = [part.to_numpy() for _, part in difference.groupby(level="dataset", observed=True)]
        low, high = _bootstrap_interval(samples, np.random.default_rng(seed))
        rows.append((method, _mean_of_means(*samples), low, high))
    return pd.DataFrame(rows, columns=["method", "difference", "low", "high"]).sort_values("difference")


def mean_over_sets(values: pd.DataFrame) -> pd.Series:
    """Return the mean over data sets of the mean over splits of each column of `paired_values`."""
    return values.groupby(level="dataset", observed=True).mean().mean()


def _mean_of_means(*samples: np.ndarray, axis: int = -1) -> np.ndarray:
    return np.asarray(np.mean([sample.mean(axis=axis) for sample in samples], axis=0))


def _bootstrap_interval(samples: list[np.ndarray], generator: np.random.Generator) -> tuple[float, float]:
    if min(map(len, samples)) < 2:
        return np.nan, np.nan
    result = stats.bootstrap(
        samples,
        _mean_of_means,
        n_resamples=_N_RESAMPLES,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=generator,
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def friedman_ranks(frame: pd.DataFrame, metric: str) -> Ranks:
    """Test whether the methods differ over the data sets (Friedman), and which pairs differ (Nemenyi).

    The critical difference is `q / sqrt(2) * sqrt(k (k + 1) / (6 N))` for k methods on N data sets, q the 95 % point
    of the studentized range (Demsar, JMLR 7, 2006).

    Raises ResultsError for fewer than three methods or two data sets, and if all methods are equal everywhere.
    """
    by_dataset = paired_values(frame, metric).groupby(level="dataset", observed=True).mean()
    n_datasets, n_methods = by_dataset.shape
    if n_methods < 3 or n_datasets < 2:
        raise ResultsError(
            f"ranks need three methods and two data sets; there are {n_methods} methods on {n_datasets} data sets. "
            "`python -m benchmark -m dataset=... method=...` with the same experiment.name and task runs more"
        )
    if (by_dataset.nunique(axis=1) == 1).all():
        raise ResultsError(f"no ranks: all {n_methods} methods are equal on each of the {n_datasets} data sets")
    statistic, p_value = stats.friedmanchisquare(*(by_dataset[method] for method in by_dataset))
    q = stats.studentized_range.ppf(CONFIDENCE, n_methods, np.inf)
    p_values = scikit_posthocs.posthoc_nemenyi_friedman(by_dataset.to_numpy())
    return Ranks(
        mean_ranks=by_dataset.rank(axis=1).mean().sort_values(),
        p_values=pd.DataFrame(p_values.to_numpy(), index=by_dataset.columns, columns=by_dataset.columns),
        statistic=float(statistic),
        p_value=float(p_value),
        critical_difference=float(q / np.sqrt(2) * np.sqrt(n_methods * (n_methods + 1) / (6 * n_datasets))),
        n_datasets=n_datasets,
    )


def wins_ties_losses(frame: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Count the data sets on which each method (row) wins, ties and loses against each other method (column).

    A cell is a tuple of three counts. A data set is a tie if the mean of the paired differences over splits is within
    `TIE_STDERRS` of its standard errors.
    """
    values = paired_values(frame, metric)
    counts: dict[str, dict[str, tuple[int, int, int]]] = {method: {} for method in values.columns}
    for method in values.columns:
        differences = values.sub(values[method], axis=0).groupby(level="dataset", observed=True)
        mean = differences.mean()
        margin = TIE_STDERRS * differences.std(ddof=0).div(np.sqrt(differences.size()), axis=0)
        wins, losses = (mean > margin).sum(), (mean < -margin).sum()
        for other in values.columns:
            ties = len(mean) - wins[other] - losses[other]
            counts[other][method] = (int(wins[other]), int(ties), int(losses[other]))
    return pd.DataFrame(counts)
