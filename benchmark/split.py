"""Random splits of a data set into training, validation, pool and test points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.errors import BenchmarkError
from benchmark.task import Task

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Row numbers of the prepared data set (arXiv 2203.09410, Section 5.1)."""

    number: int
    train: Rows
    valid: Rows
    pool: Rows
    test: Rows


def check_size(n: int, n_test: int, task: Task) -> int:
    """Return the number of points outside the test set. Raises BenchmarkError if there are too few for the task."""
    n_other = n - n_test
    if n_other < task.n_train_valid_and_pool:
        raise BenchmarkError(
            f"the data set has {n_other} points outside the test set, but task {task.name} needs "
            f"{task.n_initial} initial training + {task.n_valid} validation + {task.n_rounds} x {task.batch_size} pool "
            f"= {task.n_train_valid_and_pool}; reduce task.n_valid, task.n_rounds or task.batch_size"
        )
    return n_other


def make_split(n: int, n_test: int, task: Task, number: int) -> Split:
    """Cut numpy.random.RandomState(number).permutation(n) into training, validation, pool and test rows, in this order.

    Raises BenchmarkError if the data set is too small for the task.
    """
    n_other = check_size(n, n_test, task)
    permutation = np.random.RandomState(number).permutation(n)
    train, valid, pool, test = np.split(permutation, [task.n_initial, task.n_initial + task.n_valid, n_other])
    return Split(number, train, valid, pool, test)


def scale_inputs(X: NDArray[np.float32], split: Split) -> NDArray[np.float32]:
    """Return 5 tanh(z / 5) for inputs z standardized on the training and pool points, shape (n, d), float32.

    The mean and the standard deviation (Bessel-corrected) are computed in float64. An input that is constant on these
    points is only centred. Source: arXiv 2203.09410, Section 5.1.

    Raises BenchmarkError if an input is NaN or infinite.
    """
    rows = np.concatenate([split.train, split.pool])
    reference = X[np.sort(rows)]
    mean = reference.mean(axis=0, dtype=np.float64)
    std = reference.std(axis=0, dtype=np.float64, ddof=1)
    scaled: NDArray[np.float32] = (X - mean.astype(np.float32)) / np.where(std > 0, std, 1.0).astype(np.float32)
    np.tanh(scaled / 5, out=scaled)
    scaled *= 5
    bad = ~np.isfinite(scaled)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise BenchmarkError(
            f"split {split.number}: input column {column} of row {row} is NaN or infinite; prepare the data again: "
            "`python -m data_prep dataset=... overwrite=true`"
        )
    return scaled
