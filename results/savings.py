"""How many labels a method saves: how early it reaches the final error of the reference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from results.aggregate import learning_curves, mean_and_stderr, run_values
from results.errors import ResultsError
from results.methods import RANDOM, labels_of
from results.tables import METRIC_NAMES

SURE = 3.0
"""Number of standard errors above which a difference counts as sure."""


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
        n_splits: minimum number of splits per data set.
    """

    method: str
    reference: str
    n_labels: int
    difference: float
    stderr: float
    n_needed: float | None
    n_splits: int

    @property
    def is_sure(self) -> bool:
        """Whether the difference exceeds three standard errors."""
        return bool(abs(self.difference) > SURE * self.stderr)

    def words(self, metric: str) -> str:
        """Describe the comparison in one or two sentences."""
        name, other = (labels_of([m])[m] if m != RANDOM else "random selection" for m in (self.method, self.reference))
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
        saved = 100 * (1 - self.n_needed / self.n_labels)
        return (
            f"{seen} {name} reaches the final error of {other} with about {self.n_needed:.0f} labels, "
            f"{saved:.0f} % fewer."
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
    curves = learning_curves(frame, metric)
    n_splits = int(wide.groupby(level="dataset", observed=True).size().min())
    goal = _curve(curves, reference)[1][-1]
    found = []
    for method in summary.index:
        n, values = _curve(curves, str(method))
        row = summary.loc[method]
        needed = _first_below(n, values, goal)
        found.append(
            Saving(str(method), reference, int(n[-1]), row["difference"], row["difference_stderr"], needed, n_splits)
        )
    return sorted(found, key=lambda saving: saving.difference)


def _curve(curves: pd.DataFrame, method: str) -> tuple[np.ndarray, np.ndarray]:
    curve = curves[curves["method"] == method].sort_values("n_train")
    return curve["n_train"].to_numpy(), curve["log"].to_numpy()


def _first_below(n: np.ndarray, values: np.ndarray, goal: float) -> float | None:
    """Return where a curve falls to a value and stays at or below it until the end; None if it ends above."""
    above = np.flatnonzero(values > goal)
    if len(above) == 0:
        return float(n[0])
    i = int(above[-1])
    if i == len(n) - 1:
        return None
    share = (values[i] - goal) / (values[i] - values[i + 1])
    return float(n[i] + share * (n[i + 1] - n[i]))
