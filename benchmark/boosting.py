"""Bagged gradient boosting that is trained in every round instead of the network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmark.errors import BenchmarkError
from benchmark.model import MembersModel, Predict, check_installed
from bmdal.regressor.training import TrainingData

Member = Callable[[Any], NDArray[np.float64]]
"""The predictions of one boosted model for an array or a tensor of points, (n, d) -> (n,)."""


@dataclass(frozen=True)
class Boosting(MembersModel):
    """The mean of LightGBM models on bootstrap samples of the labelled points (bagging).

    Each model stops boosting once the error on the validation points has not fallen for `patience` rounds, or after
    `max_rounds`, and keeps the rounds up to the best one. So these points are used as by the network, which keeps the
    epoch with the smallest error on them. All other settings are LightGBM's own.

    Raises BenchmarkError for fewer than two members, a setting that is not positive, or if LightGBM is not installed.
    """

    n_members: int = 10
    learning_rate: float = 0.2
    max_rounds: int = 1000
    patience: int = 20

    repeated = "n_members"
    title = "boosting"
    packages = ("lightgbm",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("max_rounds", "patience"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise BenchmarkError(f"training.{name} must be a whole number of at least 1, got {value!r}")
        rate = self.learning_rate
        if type(rate) not in (int, float) or not 0 < rate <= sys.float_info.max:
            raise BenchmarkError(f"training.learning_rate must be a number greater than 0, got {rate!r}")
        check_installed(self.title, "LightGBM", "lightgbm", "lightgbm")

    def fit_members(self, points: TrainingData, seed: int, n_threads: int) -> tuple[list[Member], Predict]:
        """Fit each member to as many labelled points as there are, drawn with replacement."""
        random, n = np.random.default_rng(seed), len(points.X)
        samples = random.integers(n, size=(self.n_members, n))
        members = [self._fit_member(points, rows, n_threads) for rows in samples]
        return members, lambda X: torch.from_numpy(np.mean([member(X) for member in members], axis=0))

    def _fit_member(self, points: TrainingData, rows: NDArray[np.int64], n_threads: int) -> Member:
        import lightgbm

        settings = {
            "objective": "regression",
            "learning_rate": self.learning_rate,
            "num_threads": n_threads,
            "deterministic": True,
            "force_col_wise": True,  # otherwise chosen by a measurement of time, and sums depend on it
            "verbosity": -1,
        }
        data = lightgbm.Dataset(points.X.numpy()[rows], points.y.numpy()[rows])
        valid = lightgbm.Dataset(points.X_valid.numpy(), points.y_valid.numpy(), reference=data)
        stop = lightgbm.early_stopping(self.patience, verbose=False)
        booster = lightgbm.train(settings, data, self.max_rounds, valid_sets=[valid], callbacks=[stop])
        return lambda X: np.asarray(booster.predict(np.asarray(X), num_threads=n_threads))
