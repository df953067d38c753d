"""Will active learning pay? Predict the improvement over random selection from the initial training set alone.

The more the errors after the first training vary between points, the more active learning improves on random selection.
This module fits a line to the relative improvement of `lcmd-tp_grad_rp-512`,

    (L - R) / (R - I)   L, R: mean log RMSE over rounds of the method and of random; I: log RMSE of the first network

as a function of `log RMSE - log MAE` of the first network (arXiv 2203.09410, Section 6). An improvement of 0.3 means
that the error falls 30 % further than with random selection, on the logarithmic scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from results.aggregate import GROUP, run_values
from results.errors import ResultsError
from results.methods import RANDOM
from results.published import PUBLISHED_R2

PAPER_METHOD = "lcmd-tp_grad_rp-512"
MIN_DATASETS = 3


@dataclass(frozen=True)
class QuotientFit:
    """A line fitted to several data sets, and the quantities needed for its prediction interval."""

    slope: float
    intercept: float
    r_squared: float
    n_datasets: int
    residual_sd: float
    x_mean: float
    x_squares: float

    def predict(self, quotient: float | np.ndarray) -> np.ndarray:
        """Return the expected improvement and its 95 % prediction interval, given log RMSE - log MAE: `(3, ...)`."""
        quotient = np.asarray(quotient, dtype=float)
        expected = self.slope * quotient + self.intercept
        spread = np.sqrt(1 + 1 / self.n_datasets + (quotient - self.x_mean) ** 2 / self.x_squares)
        margin = stats.t.ppf(0.975, self.n_datasets - 2) * self.residual_sd * spread
        return np.stack([expected, expected - margin, expected + margin])


@dataclass(frozen=True)
class Predictions:
    """A fit, the experiment and task it is based on, and its predictions for all data sets.

    Columns of `table`: `dataset`, `quotient`, `predicted`, `low`, `high` (95 % prediction interval), `measured` (NaN
    if not run).
    """

    fit: QuotientFit
    experiment: str
    task: str
    table: pd.DataFrame


def initial_quotients(frame: pd.DataFrame) -> pd.Series:
    """Return log RMSE - log MAE after the first training on each data set, averaged over splits.

    Uses random selection if it has run on the data set, and otherwise all methods except ensembles, because those
    methods all start from the same network and points.
    """
    first = frame[(frame["round"] == 0) & ~frame["method"].astype(str).str.contains("_ens-")]
    is_random = first["method"] == RANDOM
    has_random = first["dataset"].isin(first.loc[is_random, "dataset"])
    first = first[is_random | ~has_random]
    logs = first[["dataset", "split"]].assign(quotient=np.log(first["rmse"]) - np.log(first["mae"]))
    per_split = logs.groupby(["dataset", "split"], observed=True)["quotient"].mean()
    return per_split.groupby(level="dataset", observed=True).mean()


def relative_improvements(frame: pd.DataFrame, method: str = PAPER_METHOD) -> pd.Series:
    """Return the relative improvement of a method over random on each data set, over the splits that both have."""
    values = run_values(frame, metrics=["rmse"])
    runs = values.pivot_table(index=["dataset", "split"], columns="method", values="rmse", observed=True)
    if not {method, RANDOM} <= set(runs.columns):
        return pd.Series(dtype=float)
    first = frame[(frame["round"] == 0) & (frame["method"] == RANDOM)]
    runs["first"] = np.log(first.set_index(["dataset", "split"])["rmse"])
    means = runs[[method, RANDOM, "first"]].dropna().groupby(level="dataset", observed=True).mean()
    return (means[method] - means[RANDOM]) / (means[RANDOM] - means["first"])


def fit_line(points: pd.DataFrame) -> QuotientFit:
    """Fit `improvement` to `quotient` by least squares on at least three data sets.

    Raises ResultsError if all data sets have the same quotient.
    """
    quotient, improvement = points["quotient"], points["improvement"]
    if quotient.nunique() == 1:
        raise ResultsError(f"no line fits {len(points)} data sets that have the same RMSE/MAE quotient")
    line = stats.linregress(quotient, improvement)
    residual = improvement - (line.slope * quotient + line.intercept)
    return QuotientFit(
        slope=float(line.slope),
        intercept=float(line.intercept),
        r_squared=float(line.rvalue**2),
        n_datasets=len(points),
        residual_sd=float(np.sqrt((residual**2).sum() / (len(points) - 2))),
        x_mean=float(quotient.mean()),
        x_squares=float(((quotient - quotient.mean()) ** 2).sum()),
    )


def quotient_points(frame: pd.DataFrame, method: str = PAPER_METHOD) -> pd.DataFrame:
    """Return `quotient` and `improvement` of each data set of one experiment and task that has the necessary runs.

    Raises ResultsError for fewer than three data sets, because the coefficients of the published fit are not known.
    """
    improvement = relative_improvements(frame, method)
    points = pd.DataFrame({"quotient": initial_quotients(frame), "improvement": improvement})
    points = points.replace([np.inf, -np.inf], np.nan).dropna()
    if len(points) < MIN_DATASETS:
        published = ", ".join(f"{value} ({name})" for name, value in PUBLISHED_R2.items())
        raise ResultsError(
            f"a fit needs records of {method} and {RANDOM} on at least {MIN_DATASETS} data sets, there are "
            f"{len(points)}. Of the published fit only R^2 is known, {published}, not its coefficients: "
            f"run more data sets, `python -m benchmark -m method={RANDOM},{method} dataset=...`, "
            "or import the original's results with `python -m results import=<folder>`"
        )
    return points


def predict_improvements(frame: pd.DataFrame) -> Predictions:
    """Fit a line to the experiment, task and training that cover most data sets, and predict for every data set.

    A prediction only needs the first training on the data set, in any experiment with the same training and number of
    initial points. A data set in the fit is predicted from the other ones, so the fit must have at least four.

    Raises ResultsError as `quotient_points` does.
    """
    parts = frame.groupby([*GROUP, "training"], observed=True)
    (experiment, task, training), fitted_on = max(parts, key=lambda item: len(relative_improvements(item[1])))
    points = quotient_points(fitted_on)
    is_like = (frame["training"] == training) & (frame["n_train"] == fitted_on["n_train"].min())
    like = frame[is_like & (frame["round"] == 0)]
    rows = []
    for dataset, quotient in initial_quotients(like).items():
        others = points.drop(index=dataset, errors="ignore")
        known = len(others) >= MIN_DATASETS
        predicted = fit_line(others).predict(quotient) if known else np.full(3, np.nan)
        rows.append((dataset, quotient, *predicted, points["improvement"].get(dataset, np.nan)))
    columns = ["dataset", "quotient", "predicted", "low", "high", "measured"]
    table = pd.DataFrame(rows, columns=columns).sort_values("quotient", ascending=False)
    return Predictions(fit_line(points), str(experiment), str(task), table)
