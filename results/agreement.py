"""How well records on few data sets, splits and rounds predict the published ranking of the methods.

The published values are means over 15 data sets, 16 rounds and 20 splits, and there are none of single data sets. All
functions take the mean log metric of each run, in rows (data set, split) with a column per method
(`results.statistics.paired_values`), and the published mean of each of these methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from results.errors import ResultsError
from results.published import load_published, published_counterpart
from results.statistics import CONFIDENCE, mean_over_sets, paired_values

FAR = 2.0
"""Number of standard deviations from the line, or in rank, above which a method is named."""
_N_RESAMPLES = 1000
_TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Agreement:
    """Rank correlations with the published means, over methods, of the mean over some data sets.

    `spearman` and `kendall` are the correlation and its bootstrap interval (NaN if a data set has a single split).
    `between_splits` is the mean Spearman correlation of the rankings of single splits with each other (NaN for one).
    """

    datasets: tuple[str, ...]
    spearman: tuple[float, float, float]
    kendall: tuple[float, float, float]
    between_splits: float


def published_values(frame: pd.DataFrame, metric: str) -> tuple[pd.DataFrame, pd.Series]:
    """Return the values of the published methods in a common part, and the published means in the same order.

    Raises ResultsError for fewer than three such methods.
    """
    values = paired_values(frame, metric)
    published = load_published(published_counterpart(frame)).set_index("method")[f"log_{metric}"]
    methods = [method for method in published.index if method in values]
    if len(methods) < 3:
        raise ResultsError(
            f"a correlation with the published ranking needs three published methods, there are {len(methods)}; "
            "`python -m results table=published` shows their names"
        )
    return values[methods], published[methods]


def agreements(values: pd.DataFrame, published: pd.Series) -> list[Agreement]:
    """Return the agreement of all data sets together, of each alone and, for three or more, of all but each."""
    datasets = tuple(str(d) for d in values.index.unique("dataset"))
    single = [(dataset,) for dataset in datasets] if len(datasets) > 1 else []
    without = [tuple(d for d in datasets if d != left_out) for left_out in datasets] if len(datasets) > 2 else []
    return [_agreement(values.loc[list(chosen)], published) for chosen in (datasets, *single, *without)]


def _agreement(values: pd.DataFrame, published: pd.Series) -> Agreement:
    mean, resampled = mean_over_sets(values).to_numpy(), _resampled_means(values)
    different, place = np.unique(resampled, axis=0, return_inverse=True)  # of two splits there are few
    correlations = []
    for correlate in (spearman, kendall):
        resamples = np.array([correlate(sample, published) for sample in different])[place]
        low, high = np.quantile(resamples, _TAILS) if len(resamples) else (np.nan, np.nan)
        correlations.append((correlate(mean, published), float(low), float(high)))
    datasets = tuple(str(d) for d in values.index.unique("dataset"))
    return Agreement(datasets, correlations[0], correlations[1], between_splits(values))


def spearman(ours: Any, published: Any) -> float:
    """Return Spearman's rank correlation."""
    return float(stats.spearmanr(ours, published).statistic)


def kendall(ours: Any, published: Any) -> float:
    """Return Kendall's rank correlation, tau-b."""
    return float(stats.kendalltau(ours, published).statistic)


def between_splits(values: pd.DataFrame) -> float:
    """Return the mean Spearman correlation between the rankings of two splits that all data sets have."""
    n_datasets = values.groupby(level="split").size()
    per_split = values.groupby(level="split").mean()[n_datasets == n_datasets.max()]
    pairs = per_split.T.corr("spearman").to_numpy()[np.triu_indices(len(per_split), 1)]
    return float(pairs.mean()) if len(pairs) else np.nan


def _resampled_means(values: pd.DataFrame) -> np.ndarray:
    """Return means over splits drawn with replacement within each data set, the same for all methods, `(n, methods)`.

    There are none (n = 0) if a data set has a single split.
    """
    samples = [part.to_numpy() for _, part in values.groupby(level="dataset", observed=True)]
    generator = np.random.default_rng(0)
    sizes = [(_N_RESAMPLES if min(map(len, samples)) > 1 else 0, len(sample)) for sample in samples]
    drawn = [s[generator.integers(len(s), size=size)].mean(axis=1) for s, size in zip(samples, sizes, strict=True)]
    return np.asarray(np.mean(drawn, axis=0))


def method_distances(values: pd.DataFrame, published: pd.Series) -> pd.DataFrame:
    """Return how far each method is from the least-squares line through (published, ours), and in rank.

    Indexed by method, in the published order, with columns `ours`, `published`, `fitted`, `rank`, `published_rank`,
    `rank_<data set>`; `off_line`: whether the distance from the line exceeds `FAR` residual standard deviations;
    `off_rank`: whether the difference of the ranks exceeds `FAR` of its standard deviations over methods. 1 is the best
    rank.
    """
    ours = mean_over_sets(values).to_numpy()
    line = stats.linregress(published, ours)
    table = pd.DataFrame({"ours": ours, "published": published}, index=published.index)
    table["fitted"] = line.slope * table["published"] + line.intercept
    table["rank"], table["published_rank"] = table["ours"].rank(), table["published"].rank()
    for dataset, part in values.groupby(level="dataset", observed=True):
        table[f"rank_{dataset}"] = part.mean().rank()
    residual, moved = table["ours"] - table["fitted"], table["rank"] - table["published_rank"]
    residual_sd = np.sqrt((residual**2).sum() / (len(table) - 2))
    table["off_line"] = residual.abs() > FAR * residual_sd
    table["off_rank"] = moved.abs() > FAR * moved.std()
    return table.sort_values(["published", "ours"])
