"""A random forest that is trained in every round instead of the network."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmark.errors import BenchmarkError
from bmdal import IncompatibleError, Method
from bmdal.kernels import Predictions
from bmdal.regressor.training import Training

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor


@dataclass(frozen=True)
class Forest:
    """scikit-learn's RandomForestRegressor, an average of trees grown on bootstrap samples of the labelled points.

    Raises BenchmarkError for fewer than two trees, or if scikit-learn is not installed.
    """

    n_trees: int = 100

    def __post_init__(self) -> None:
        if type(self.n_trees) is not int or self.n_trees < 2:
            raise BenchmarkError(f"training.n_trees must be a whole number of at least 2, got {self.n_trees!r}")
        if find_spec("sklearn") is None:
            raise BenchmarkError("a forest needs scikit-learn: pip install 'bmdal[sklearn]'")

    def fit(self, X: Tensor, y: Tensor, generator: torch.Generator, n_threads: int) -> RandomForestRegressor:
        """Fit a forest to inputs (n, d) and targets (n,), seeded with the generator's initial seed."""
        from sklearn.ensemble import RandomForestRegressor

        seed = generator.initial_seed() % 2**32
        forest = RandomForestRegressor(self.n_trees, random_state=seed, n_jobs=n_threads).fit(X.numpy(), y.numpy())
        return forest.set_params(n_jobs=1)  # several threads would sum the trees in random order and round differently


def check_method(training: Training | Forest, method: Method) -> None:
    """Raise IncompatibleError if a method does not work with the trained model."""
    if isinstance(training, Training):
        if isinstance(method.kernel, Predictions):
            raise IncompatibleError(
                f"method {method.name!r}: 'pred' compares the trees of training=forest; a network needs one of the "
                "kernels linear, nngp, ll, grad"
            )
    elif method.ensemble or not isinstance(method.kernel, Predictions | None):
        raise IncompatibleError(
            f"method {method.name!r}: a forest needs the kernel pred without an ensemble, as in bait-f-p_pred, or "
            "random; methods for networks need training=relu or training=silu"
        )
