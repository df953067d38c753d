"""Splits and input scaling by the protocol."""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.errors import BenchmarkError
from benchmark.split import make_split, scale_inputs
from benchmark.task import Task


def test_split_is_the_published_one() -> None:
    """The first numbers of numpy.random.RandomState(0).permutation(40768), cut in order."""
    split = make_split(40768, 8153, Task(), 0)
    permutation = np.random.RandomState(0).permutation(40768)
    assert permutation[:5].tolist() == [17258, 33243, 37712, 29917, 26641]
    assert split.train[:5].tolist() == [17258, 33243, 37712, 29917, 26641]
    assert [len(rows) for rows in (split.train, split.valid, split.pool, split.test)] == [256, 1024, 31335, 8153]
    assert np.concatenate([split.train, split.valid, split.pool, split.test]).tolist() == permutation.tolist()


def test_splits_differ() -> None:
    assert make_split(40768, 8153, Task(), 1).train[0] == np.random.RandomState(1).permutation(40768)[0]


def test_too_small_a_data_set_is_named() -> None:
    make_split(256 + 1024 + 4096 + 100, 100, Task(), 0)
    with pytest.raises(BenchmarkError, match=r"has 5375 points.*needs 256 .*\+ 1024 .*16 x 256 pool = 5376"):
        make_split(256 + 1024 + 4095 + 100, 100, Task(), 0)


def test_inputs_are_standardized_by_training_and_pool_points() -> None:
    X = np.random.default_rng(0).normal(3, 5, size=(400, 4)).astype(np.float32)
    X[:, 3] = 7.0  # constant
    split = make_split(400, 100, Task(batch_size=10, n_rounds=2, n_initial=50, n_valid=60), 0)
    scaled = scale_inputs(X, split)
    reference = X[np.concatenate([split.train, split.pool])].astype(np.float64)
    z = (X[:, :3] - reference[:, :3].mean(axis=0)) / reference[:, :3].std(axis=0, ddof=1)
    np.testing.assert_allclose(scaled[:, :3], 5 * np.tanh(z / 5), rtol=1e-4, atol=1e-5)
    assert (scaled[:, 3] == 0).all()
    assert scaled.dtype == np.float32


def test_nan_input_is_named() -> None:
    X = np.zeros((400, 4), dtype=np.float32)
    X[17, 2] = np.nan
    split = make_split(400, 100, Task(batch_size=10, n_rounds=2, n_initial=50, n_valid=60), 3)
    with pytest.raises(BenchmarkError, match="split 3: input column 2"):
        scale_inputs(X, split)


def test_task() -> None:
    assert Task(batch_size=64, n_rounds=4).name == "64x4"
    with pytest.raises(BenchmarkError, match=r"task\.n_rounds must be a whole number of at least 1, got 0"):
        Task(n_rounds=0)
