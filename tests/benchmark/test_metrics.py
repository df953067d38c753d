"""Errors on the test set against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmark.metrics import error_metrics


def test_one_network() -> None:
    errors = np.abs(np.random.default_rng(0).normal(size=1000))
    metrics = error_metrics([torch.from_numpy(errors)])
    ordered = np.sort(errors)
    assert metrics.mae == pytest.approx(errors.mean())
    assert metrics.rmse == pytest.approx(np.sqrt((errors**2).mean()))
    assert (metrics.q95, metrics.q99, metrics.maxe) == (ordered[950], ordered[990], ordered[999])


def test_ensemble_pools_squared_errors_and_averages_the_rest() -> None:
    a, b = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 5.0])
    metrics = error_metrics([a, b])
    assert metrics.mae == 2.5
    assert metrics.rmse == pytest.approx(((1 + 1 + 9 + 25) / 4) ** 0.5)
    assert (metrics.q95, metrics.q99, metrics.maxe) == (3.0, 3.0, 3.0)
