"""How the error falls with more labels, and whether choosing rows will pay: estimates from labelled rows alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bmdal.regressor.gain import FEWEST, Gain, simulate_gain
from bmdal.suggestion.models import Choice
from bmdal.suggestion.validation import Validation, fit_or_mean

SHARES = (0.125, 0.25, 0.5)
"""Of the rows that cross-validation trains on, those in the smaller steps of the learning curve."""
REPEATS = {"forest": (20, 10), "lightgbm": (10, 6), "network": (4, 4)}
"""Simulations of each model with up to `MANY` labelled rows, and with more, so that none takes too long."""
MANY = 500
SMALLEST = 4
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Outlook:
    """What to expect of more labels.

    Attributes:
        n: numbers of labelled rows of the learning curve, the last that of cross-validation, shape (k,).
        errors: root mean square error on rows that were left out, for each number and part of the cross-validation,
            shape (k, n_folds); with several targets the geometric mean of their errors in units of their spread.
        n_now, n_then: labelled rows now, and with the batch.
        gain: of the method over random rows, in simulations; None if there were none, for the reason in `no_gain`.
    """

    n: NDArray[np.int64]
    errors: Matrix
    n_now: int
    n_then: int
    gain: Gain | None
    no_gain: str = ""

    @property
    def mean_errors(self) -> Matrix:
        """The error for each number of rows, shape (k,)."""
        return np.asarray(np.sqrt((self.errors**2).mean(axis=1)))

    def at(self, n: float | NDArray[np.float64]) -> Matrix:
        """The error expected with n labelled rows chosen at random: a + b log n fitted to log errors, b at most 0."""
        x, y = np.log(self.n), np.log(self.mean_errors)
        slope = min(0.0, float(np.polyfit(x, y, 1)[0])) if len(x) > 1 else 0.0
        return np.asarray(np.exp(y[-1] + slope * (np.log(n) - x[-1])))

    @property
    def with_batch(self) -> float:
        """The error expected after the batch: of as many random rows, times what choosing gained in simulations."""
        factor = np.exp(self.gain.interval[0]) if self.gain else 1.0
        return float(self.at(self.n_then) * factor)


def outlook(choice: Choice, X: Matrix, Y: Matrix, validation: Validation, batch_size: int, seed: int) -> Outlook:
    """Estimate both from the labelled rows.

    X: (n, p); Y: (n, n_targets), none constant.
    """
    rows, fold = validation.rows, validation.fold
    folds = range(min(int(fold.max()) + 1, 10))
    of_full = np.array([_error(validation.errors[fold == k], Y) for k in folds])
    n_full = int((fold != 0).sum())
    sizes = sorted({n for share in SHARES if SMALLEST <= (n := round(share * n_full)) < n_full})
    errors = [[_error_with(choice, X, Y, rows[fold != k][:n], rows[fold == k], seed) for k in folds] for n in sizes]
    gain, no_gain = _gain(choice, X[rows], Y[rows], batch_size, seed)
    n_now = len(Y)
    return Outlook(np.array([*sizes, n_full]), np.array([*errors, of_full]), n_now, n_now + batch_size, gain, no_gain)


def _error_with(
    choice: Choice, X: Matrix, Y: Matrix, train: NDArray[np.int64], test: NDArray[np.int64], seed: int
) -> float:
    predicted, _ = fit_or_mean(choice, X[train], Y[train], X[test], seed)
    return _error(predicted - Y[test], Y)


def _error(errors: Matrix, Y: Matrix) -> float:
    rmse = np.sqrt((errors**2).mean(axis=0))
    if len(rmse) == 1:
        return max(float(rmse[0]), float(np.finfo(np.float64).tiny))
    return float(np.exp(np.log(np.maximum(rmse / Y.std(axis=0), np.finfo(np.float64).tiny)).mean()))


def _gain(choice: Choice, X: Matrix, Y: Matrix, batch_size: int, seed: int) -> tuple[Gain | None, str]:
    """The simulated gain, or the reason why there is none."""
    if choice.by_features:
        return None, f"the method {choice.method.name} does not use the model, and its gain is not simulated"
    if len(Y) < FEWEST:
        return None, f"a simulation needs at least {FEWEST} labelled rows, there are {len(Y)}"
    targets = Y[:, 0] if Y.shape[1] == 1 else (Y - Y.mean(axis=0)) / Y.std(axis=0)
    estimator = choice.estimator(Y.shape[1], quick=True)
    repeats = REPEATS[choice.model][len(Y) > MANY]
    return simulate_gain(choice.method.name, estimator, X, targets, batch_size, n_repeats=repeats, seed=seed), ""
