"""Compare our means with the published ones: differences in standard errors, and a verdict for each method."""

from __future__ import annotations

import numpy as np
import pandas as pd

from results.aggregate import summarize
from results.agreement import spearman
from results.published import differs_from_published, load_published, published_counterpart

AGREES_WITHIN = 3.0  # standard errors; if all 76 methods agree, one in five runs of the grid has one beyond this limit
MIN_SPLITS = 5
_ROUNDING_SD = 0.001 / np.sqrt(12)  # the published means are rounded to three digits


def compare_with_published(common: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return one row per published method in the records of one experiment and task.

    Columns: `method`, `ours`, `ours_stderr`, `published`, `published_stderr`, `stderrs` (the difference in standard
    errors, NaN if the grids differ) and `verdict`: agrees, differs, or not comparable with the reason.
    """
    published = load_published(published_counterpart(common)).set_index("method")
    summary = summarize(common)
    both = summary[summary["method"].isin(list(published.index))]
    theirs = published.loc[both["method"]]
    column = f"log_{metric}"
    table = pd.DataFrame(
        {
            "method": both["method"].astype(str).to_numpy(),
            "ours": both[column].to_numpy(),
            "ours_stderr": both[f"{column}_stderr"].to_numpy(),
            "published": theirs[column].to_numpy(),
            "published_stderr": theirs[f"{column}_stderr"].to_numpy(),
        }
    )
    lack = _what_lacks(common)
    spread = np.sqrt(table["ours_stderr"] ** 2 + table["published_stderr"] ** 2 + _ROUNDING_SD**2)
    table["stderrs"] = np.nan if lack else (table["ours"] - table["published"]) / spread
    agrees = np.where(table["stderrs"].abs() <= AGREES_WITHIN, "agrees", "differs")
    table["verdict"] = f"not comparable ({lack})" if lack else agrees
    return table.sort_values("published", ignore_index=True)


def rank_correlation(comparison: pd.DataFrame) -> float:
    """Return Spearman's rank correlation between our means and the published ones; NaN for fewer than three methods."""
    if len(comparison) < 3:
        return float("nan")
    return spearman(comparison["ours"], comparison["published"])


def _what_lacks(common: pd.DataFrame) -> str:
    """Return why the mean over these runs is not comparable with the published mean; empty if it is."""
    if difference := differs_from_published(common):
        return difference
    n_splits = common.groupby("dataset", observed=True)["split"].nunique().min()
    return f"{n_splits} splits, at least {MIN_SPLITS} needed" if n_splits < MIN_SPLITS else ""
