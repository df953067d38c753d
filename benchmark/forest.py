"""A random forest that is trained in every round instead of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from benchmark.model import MembersModel, Predict, check_installed
from bmdal.regressor.training import TrainingData

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor


@dataclass(frozen=True)
class Forest(MembersModel):
    """scikit-learn's RandomForestRegressor, an average of trees grown on bootstrap samples of the labelled points.

    Raises BenchmarkError for fewer than two trees, or if scikit-learn is not installed.
    """

    n_trees: int = 100

    repeated = "n_trees"
    title = "a forest"
    packages = ("scikit-learn",)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_installed(self.title, "scikit-learn", "sklearn", "sklearn")

    def fit_members(self, points: TrainingData, seed: int, n_threads: int) -> tuple[RandomForestRegressor, Predict]:
        """Fit a forest to the labelled points; the validation points are not used."""
        from sklearn.ensemble import RandomForestRegressor

        X, y = points.X.numpy(), points.y.numpy()
        forest = RandomForestRegressor(self.n_trees, random_state=seed, n_jobs=n_threads).fit(X, y)
        forest.set_params(n_jobs=1)  # several threads would sum the trees in random order and round differently
        return forest, lambda X: torch.from_numpy(forest.predict(X.numpy()))
