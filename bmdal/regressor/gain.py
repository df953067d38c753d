"""Will active learning pay? Choose a batch among labelled points, as if most labels were unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.base import BaseEstimator, clone
from sklearn.utils import _safe_indexing

from bmdal.errors import BmdalError
from bmdal.estimators import in_units_of_networks
from bmdal.from_models import select_batch
from bmdal.kernels import Predictions
from bmdal.method import Method

FEWEST = 40
"""Labelled points; with fewer, a test set of 30 % has a dozen points."""
TEST_SHARE, START_SHARE = 0.3, 0.5
"""Of all points, those that errors are measured on; of the others, those that count as labelled at the start."""


@dataclass(frozen=True)
class Gain:
    """What choosing a batch with a method gained in simulations, compared with random points.

    Attributes:
        method: its name.
        batch_size: number of points in a batch.
        n_start: number of points labelled before it.
        differences: log RMSE after the method's batch minus that after a random one, one for each repetition,
            shape (n_repeats,); negative if the method is better.
        worth: number of random points that lower the error as much as the batch does, by linear interpolation of the
            mean log RMSE against the logarithm of the number of labels; infinite beyond all points there are.
    """

    method: str
    batch_size: int
    n_start: int
    differences: NDArray[np.float64]
    worth: float

    @property
    def interval(self) -> tuple[float, float, float]:
        """Mean difference and its 95 % interval by Student's t. Repetitions share points, so it is a little narrow."""
        mean, n = float(self.differences.mean()), len(self.differences)
        margin = float(stats.t.ppf(0.975, n - 1) * self.differences.std(ddof=1) / n**0.5)
        return mean, mean - margin, mean + margin

    def __str__(self) -> str:
        """The gain in words."""
        mean, low, high = (100 * np.expm1(value) for value in self.interval)
        seen = (
            f"{self.method}: from {self.n_start} labels, a batch of {self.batch_size} changes the error by "
            f"{mean:+.1f} % compared with a random one (95 % interval {low:+.1f} to {high:+.1f} %, "
            f"{len(self.differences)} repetitions)"
        )
        if low <= 0 <= high:
            return f"{seen}; a gain cannot be told from chance."
        worth = f"about {self.worth:.0f} random labels" if np.isfinite(self.worth) else "more than the whole pool"
        return f"{seen}; it is worth {worth}."


def simulate_gain(
    method: str,
    estimator: BaseEstimator,
    X: Any,
    y: ArrayLike,
    batch_size: int,
    *,
    n_repeats: int = 10,
    seed: int = 0,
) -> Gain:
    """Estimate from labelled points alone what a method gains on them over random selection.

    In each repetition, 30 % of the points are for testing, half of the others count as labelled, and the rest are the
    pool. The estimator is fitted to the labelled points; then the method's batch, a random batch of the same size, and
    the whole pool are added in turn, and the estimator is fitted again. The pool of a real application is larger than
    this one and leaves more to choose from, so the real gain tends to be larger.

    Args:
        method: name of a method as in `select_batch`; with kernel `pred` for a forest and other ensembles.
        estimator: a regressor as in scikit-learn, such as `NetworkRegressor` or `RandomForestRegressor`; it is cloned.
        X: inputs of the labelled points, shape (n, d), an array or a frame.
        y: their targets, shape (n,) or (n, n_targets); the log RMSE of several targets is the mean of their log RMSEs.
        batch_size: number of points to choose at a time, reduced to a quarter of the pool.
        n_repeats: number of repetitions, at least 2; each takes four fits.
        seed: of all random draws.

    Raises BmdalError for fewer than 40 points, targets that are not finite or all equal, and as `select_batch` does.
    """
    targets = np.asarray(y, dtype=np.float64)
    if targets.ndim not in (1, 2) or len(targets) < FEWEST or not targets.size:
        raise BmdalError(f"y must have shape (n,) or (n, n_targets) with n at least {FEWEST}, got {targets.shape}")
    if not np.isfinite(targets).all() or not np.ptp(targets, axis=0).all():
        raise BmdalError("y must be finite and not constant")
    if n_repeats < 2:
        raise BmdalError(f"n_repeats must be at least 2, got {n_repeats}")
    in_units = isinstance(Method.from_name(method).kernel, Predictions)
    n, rng = len(targets), np.random.default_rng(seed)
    n_test = int(TEST_SHARE * n)
    n_start = int(START_SHARE * (n - n_test))
    n_pool = n - n_test - n_start
    size = max(1, min(batch_size, n_pool // 4))
    errors = np.empty((n_repeats, 4))  # at the start; with the batch, random points, and the whole pool
    for repeat in range(n_repeats):
        test, start, pool = np.split(rng.permutation(n), [n_test, n_test + n_start])
        random_state = int(rng.integers(2**31 - 1))

        def fitted(rows: NDArray[np.int64], state: int = random_state) -> Any:
            model = clone(estimator)
            if "random_state" in model.get_params():
                model.set_params(random_state=state)
            return model.fit(_safe_indexing(X, rows), targets[rows])

        model = fitted(start)
        batch = select_batch(
            method,
            model,
            _safe_indexing(X, start),
            targets[start] if in_units else in_units_of_networks(model, targets[start]),
            _safe_indexing(X, pool),
            size,
            random_state,
        )
        chosen = pool[np.asarray(batch.indices)]
        models = [model, *(fitted(np.concatenate([start, more])) for more in (chosen, pool[:size], pool))]
        predicted = [m.predict(_safe_indexing(X, test)) for m in models]
        errors[repeat] = [np.log(np.sqrt(np.mean((p - targets[test]) ** 2, axis=0))).mean() for p in predicted]
    at_start, with_batch, with_random, with_all = errors.mean(axis=0).tolist()
    worth = _worth(at_start, with_batch, with_random, with_all, n_start + np.array([0, size, n_pool]))
    return Gain(method, size, n_start, errors[:, 1] - errors[:, 2], worth)


def _worth(at_start: float, with_batch: float, with_random: float, with_all: float, n: NDArray[np.int64]) -> float:
    """Number of random points whose error equals that of the batch, given errors at n = start, with a batch, with all.

    Errors between them are interpolated against log n, after making them fall: a point more never counts as harm.
    """
    falling = np.minimum.accumulate([at_start, with_random, with_all])
    if with_batch < falling[-1]:
        return float("inf")
    return float(np.exp(np.interp(with_batch, falling[::-1], np.log(n)[::-1])) - n[0])
