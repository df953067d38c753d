"""How many labels a method saves: how early it reaches the final error of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from results.aggregate import mean_and_stderr, run_values
from results.errors import ResultsError
from results.methods import RANDOM, labels_of
from results.tables import METRIC_NAMES

SURE = 3.0
"""Number of standard errors above which a difference counts as sure."""
N_RESAMPLES = 1000
"""Of the splits, for the interval of the number of labels."""


@dataclass(frozen=True)
class Saving:
    """A method compared with the reference on the same splits.

    Attributes:
        method, reference: their names.
        n_labels: labelled points after the last round.
        difference: difference of the mean log metric after the last round; negative if the method is better.
        stderr: its standard error over splits; NaN for a single split.
        n_needed: number of labels at which the method's mean curve reaches the reference's last value, interpolated
            linearly between rounds; None if it does not.
        needed_interval: 95 % interval of `n_needed`, infinite where the method does not get there: percentiles over
            resamples of the splits of each data set; NaN for a single split.
        n_splits: minimum number of splits per data set.
    """

    method: str
    reference: str
    n_labels: int
    difference: float
    stderr: float
    n_needed: float | None
    needed_interval: tuple[float, float]
    n_splits: int

    @property
    def is_sure(self) -> bool:
        """Whether the difference exceeds three standard errors."""
        return bool(abs(self.difference) > SURE * self.stderr)

    def words(self, metric: str, beside: Sequence[str] = ()) -> str:
        """Describe the comparison in one or two sentences, with a name that no other of the methods `beside` has."""
        labels = labels_of([*{self.method, self.reference, *beside}]) | {RANDOM: "random selection"}
        name, other = labels[self.method], labels[self.reference]
        percent = 100 * abs(np.expm1(self.difference))
        what = METRIC_NAMES[metric]
        measured = f"log {what} {self.difference:+.3f} ± {self.stderr:.3f} over {self.n_splits} splits"
        if np.isnan(self.stderr):
            return f"{name}: one split is not enough to judge the difference to {other} ({self.difference:+.3f})."
        if not self.is_sure:
            return f"With {self.n_labels} labels {name} and {other} are within three standard errors ({measured})."
        better = "below" if self.difference < 0 else "above"
        seen = f"With {self.n_labels} labels {name} has an {what} {percent:.0f} % {better} that of {other}, {measured}."
        if self.n_needed is None:
            return seen
        most, saved, least = (
            100 * (1 - n / self.n_labels) for n in (self.needed_interval[0], self.n_needed, self.needed_interval[1])
        )
        at_least, at_most = (f"{value:.0f}" if np.isfinite(value) else "none" for value in (least, most))
        return (
            f"{seen} {name} reaches the final error of {other} with about {self.n_needed:.0f} labels, "
            f"{saved:.0f} % fewer (95 % interval over splits: {at_least} to {at_most} %)."
        )


def savings(frame: pd.DataFrame, metric: str, reference: str) -> list[Saving]:
    """Compare every method with the reference, best first; the frame is a common part of one experiment and task.

    Raises ResultsError if the reference has no records, or if there is no other method.
    """
    methods = [str(m) for m in frame["method"].unique()]
    if reference not in methods or len(methods) < 2:
        raise ResultsError(f"reference={reference} and another method must have run; there are: {', '.join(methods)}")
    last = run_values(frame, metrics=[metric], final=True)
    wide = last.pivot_table(index=["dataset", "split"], columns="method", values=metric, observed=True)
    beside = wide.drop(columns=reference).sub(wide[reference], axis=0)
    differences = beside.melt(ignore_index=False, value_name="difference").reset_index()
    summary = mean_and_stderr(differences, ["difference"], ["method"]).set_index("method")
    n_splits = int(wide.groupby(level="dataset", observed=True).size().min())
    n, means, resampled = _curves(frame, metric)
    found = []
    for method in summary.index:
        row = summary.loc[method]
        (needed,) = _first_below(n, means[method][None], means[reference][-1:])
        each = _first_below(n, resampled[method], resampled[reference][:, -1])
        low, high = np.quantile(each, [0.025, 0.975], method="nearest")
        interval = (float(low), float(high)) if n_splits > 1 else (np.nan, np.nan)
        found.append(
            Saving(
                method=str(method),
                reference=reference,
                n_labels=int(n[-1]),
                difference=row["difference"],
                stderr=row["difference_stderr"],
                n_needed=float(needed) if np.isfinite(needed) else None,
                needed_interval=interval,
                n_splits=n_splits,
            )
        )
    return sorted(found, key=lambda saving: saving.difference)


def _curves(frame: pd.DataFrame, metric: str) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the numbers of labels, each method's mean log curve, and its curves for resamples of the splits.

    The resamples, shape (N_RESAMPLES, n_rounds), draw as many splits of each data set as there are, with replacement,
    the same for all methods.
    """
    logs = frame[["method", "dataset", "split", "n_train"]].assign(log=np.log(frame[metric]))
    wide = logs.pivot_table(index=["dataset", "split"], columns=["method", "n_train"], values="log", observed=True)
    rng = np.random.default_rng(0)
    weights = np.zeros((N_RESAMPLES, len(wide)))
    names = wide.index.get_level_values("dataset")
    for name in names.unique():
        of_set = np.flatnonzero(names == name)
        counts = rng.multinomial(len(of_set), np.full(len(of_set), 1 / len(of_set)), size=N_RESAMPLES)
        weights[:, of_set] = counts / len(of_set) / names.nunique()
    sizes = names.value_counts()
    usual = (1 / sizes[names] / len(sizes)).to_numpy()
    values, methods = wide.to_numpy(), wide.columns.get_level_values("method")
    curves = {str(m): values[:, methods == m] for m in methods.unique()}
    n = np.sort(wide.columns.get_level_values("n_train").unique().to_numpy())
    return n, {m: usual @ v for m, v in curves.items()}, {m: weights @ v for m, v in curves.items()}


def _first_below(n: np.ndarray, curves: np.ndarray, goals: np.ndarray) -> np.ndarray:
    """Return where each curve falls to its goal and stays at or below it until the end; infinity if it ends above.

    Curves have shape (n_curves, n_rounds), goals (n_curves,).
    """
    above = curves > goals[:, None]
    last = above.shape[1] - 1 - above[:, ::-1].argmax(axis=1)  # the last round above the goal, if there is one
    i, row = np.minimum(last, len(n) - 2), np.arange(len(curves))
    before, after = curves[row, i], curves[row, i + 1]
    share = (before - goals) / np.where(before > after, before - after, 1)
    crossing = np.where(last == len(n) - 1, np.inf, n[i] + share * (n[i + 1] - n[i]))
    return np.where(above.any(axis=1), crossing, n[0])
