"""How far predictions are off: cross-validation of the model, and uncertainties that fit its errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bmdal.suggestion.models import Choice

FOLDS = 5
MOST_ROWS = 1000
"""More labelled rows are not cross-validated, to be quick; a random sample of them is."""
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Validation:
    """Cross-validation of the labelled rows.

    Attributes:
        rows: the labelled rows that took part, shape (m,).
        fold: the part in which each was predicted from the other parts, shape (m,).
        errors: prediction minus target, shape (m, n_targets).
        spreads: standard deviation of the members' predictions, shape (m, n_targets).
        scale: what spreads are multiplied with to be as large as the errors, root mean square, shape (n_targets,).
    """

    rows: NDArray[np.int64]
    fold: NDArray[np.int64]
    errors: Matrix
    spreads: Matrix
    scale: Matrix

    @property
    def rmse(self) -> Matrix:
        """Root mean square error, shape (n_targets,)."""
        return np.asarray(np.sqrt((self.errors**2).mean(axis=0)))

    @property
    def mae(self) -> Matrix:
        """Mean absolute error, shape (n_targets,)."""
        return np.asarray(np.abs(self.errors).mean(axis=0))

    @property
    def within(self) -> Matrix:
        """Share of errors within one uncertainty, shape (n_targets,); for a normal distribution it is 0.68."""
        return np.asarray((np.abs(self.errors) <= self.scale * self.spreads).mean(axis=0))


def validate(choice: Choice, X: Matrix, Y: Matrix, seed: int) -> Validation:
    """Cross-validate in five parts, or leave single rows out if there are fewer than ten.

    X: (n, p); Y: (n, n_targets), none constant.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(Y))[:MOST_ROWS]
    n_folds = FOLDS if len(rows) >= 2 * FOLDS else len(rows)
    fold = np.arange(len(rows)) % n_folds
    errors, spreads = np.zeros((2, len(rows), Y.shape[1]))
    for k in range(n_folds):
        test, train = rows[fold == k], rows[fold != k]
        mean, sd = fit_or_mean(choice, X[train], Y[train], X[test], seed)
        errors[fold == k], spreads[fold == k] = mean - Y[test], sd
    total = (spreads**2).sum(axis=0)
    scale = np.sqrt((errors**2).sum(axis=0) / np.where(total > 0, total, 1.0))
    return Validation(rows, fold, errors, spreads, scale)


def fit_or_mean(choice: Choice, X: Matrix, Y: Matrix, X_test: Matrix, seed: int) -> tuple[Matrix, Matrix]:
    """Predictions and spreads of a model fitted to Y; where a target is constant, that constant, and 0."""
    varies = np.ptp(Y, axis=0) > 0
    mean, sd = np.tile(Y.mean(axis=0), (len(X_test), 1)), np.zeros((len(X_test), Y.shape[1]))
    if varies.any():
        mean[:, varies], sd[:, varies] = choice.fit(X, Y[:, varies], seed).predict(X_test)
    return mean, sd
