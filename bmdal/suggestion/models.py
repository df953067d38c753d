"""The models that predict: a forest, bagged LightGBM, or networks."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import BaggingRegressor, RandomForestRegressor
from sklearn.multioutput import MultiOutputRegressor

from bmdal.errors import BmdalError, unknown
from bmdal.kernels import Linear, Predictions
from bmdal.members import members
from bmdal.method import Method
from bmdal.regressor import NetworkRegressor

DEFAULTS = {"forest": "bait-f-p_pred", "lightgbm": "lcmd-tp_pred", "network": "lcmd-tp_grad_rp-512"}
"""The models, and the method that is the default for each."""
FIRST_DESIGN, NEXT_DESIGN = "lcmd-p_linear", "lcmd-tp_linear"
"""The defaults if nothing can be learned: without labelled rows, and with some."""
N_TREES, N_BOOSTED, N_NETWORKS = 100, 10, 3
EQUAL_SHARE = 0.02
"""Of the importance, the part that all columns share equally."""
PART = 2**14
"""Number of rows that are predicted at a time."""
Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Choice:
    """A model and the method that chooses with it.

    Raises BmdalError for an unknown model, and for a method that the model does not support.
    """

    model: str
    method: Method

    @classmethod
    def of(cls, model: str, name: str | None, can_learn: bool, n_labelled: int = 1) -> Choice:
        """The choice from its names; None is the model's default, or that of a design if nothing can be learned."""
        if model not in DEFAULTS:
            raise BmdalError(unknown("model", model, DEFAULTS))
        design = NEXT_DESIGN if n_labelled else FIRST_DESIGN
        method = Method.from_name(name or (DEFAULTS[model] if can_learn else design), kernel=Linear())
        if not can_learn and not isinstance(method.kernel, Linear | None):
            raise BmdalError(
                f"method {method.name!r} needs a model, and there is nothing to learn from: use {design!r}"
            )
        if model != "network" and not isinstance(method.kernel, Linear | Predictions | None):
            raise BmdalError(
                f"method {method.name!r} needs the model 'network'; for {model!r} the kernel must be 'pred' or 'linear'"
            )
        return cls(model, method)

    @property
    def by_features(self) -> bool:
        """Whether the method works on features of the rows, without a model."""
        return isinstance(self.method.kernel, Linear | None)

    def estimator(self, n_targets: int = 1, quick: bool = False) -> Any:
        """A scikit-learn regressor; `quick`: with fewer members, for simulations."""
        if self.model == "forest":
            return RandomForestRegressor(N_TREES // 2 if quick else N_TREES, random_state=0)
        if self.model == "lightgbm":
            return BaggingRegressor(_boosting(n_targets), N_BOOSTED, random_state=0)
        one = quick and not isinstance(self.method.kernel, Predictions)
        return NetworkRegressor(
            random_state=0, n_models=self.method.n_models if one else max(N_NETWORKS, self.method.n_models)
        )

    def fit(self, X: Matrix, Y: Matrix, seed: int) -> Fitted:
        """Fit the model to Y, shape (n, n_targets), in units of each target's spread."""
        mean, spread = Y.mean(axis=0), Y.std(axis=0)
        estimator = self.estimator(Y.shape[1]).set_params(random_state=seed)
        y = (Y - mean) / spread
        if self.model == "forest":
            estimator.set_params(n_jobs=os.cpu_count())
        estimator.fit(X, y[:, 0] if Y.shape[1] == 1 else y)
        if self.model == "forest":
            estimator.set_params(n_jobs=1)  # several threads would sum the trees in random order and round differently
        return Fitted(estimator, mean, spread)


def _boosting(n_targets: int) -> Any:
    try:
        from lightgbm import LGBMRegressor
    except ModuleNotFoundError as error:
        raise BmdalError(f"model 'lightgbm' needs LightGBM: pip install 'bmdal[lightgbm]' ({error})") from None
    one = LGBMRegressor(
        n_estimators=100, min_child_samples=5, verbose=-1, n_jobs=1, deterministic=True, force_col_wise=True
    )
    return one if n_targets == 1 else MultiOutputRegressor(one)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted model: a regressor for standardized targets, and their means and spreads, shape (n_targets,)."""

    regressor: Any
    mean: Matrix
    spread: Matrix

    def predict(self, X: Matrix) -> tuple[Matrix, Matrix]:
        """Mean of the members' predictions, and their standard deviation, in units of the targets; (n, n_targets)."""
        predict = members(self.regressor, X[[0, -1]])
        parts = [predict(X[start : start + PART]) for start in range(0, len(X), PART)]
        mean, sd = (np.concatenate([f(part) for part in parts]) for f in (_mean, _sd))
        return self.mean + self.spread * mean, self.spread * sd

    def for_method(self, method: Method) -> Any:
        """What `select_batch` takes as the model."""
        if isinstance(method.kernel, Predictions) or not hasattr(self.regressor, "networks_"):
            return self.regressor
        fewer = copy.copy(self.regressor)
        n_models = len(fewer.networks_) // len(self.mean)
        fewer.networks_ = [net for i, net in enumerate(fewer.networks_) if i % n_models < method.n_models]
        return fewer


def _mean(predictions: Matrix) -> Matrix:
    return np.asarray(predictions.mean(axis=1))


def _sd(predictions: Matrix) -> Matrix:
    return np.asarray(predictions.std(axis=1, ddof=1))


def importance(X: Matrix, Y: Matrix, places: tuple[slice, ...], seed: int) -> list[float]:
    """How much each column of the table matters to a forest: the share of the variance that its splits explain.

    The forest also gets a copy of the columns with the rows shuffled, and what these explain by chance is subtracted. A
    small part is shared equally among all columns, so that none counts for nothing. The sum is 1.
    """
    n, p = X.shape
    standard = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    options = {"min_samples_leaf": 3, "max_features": 1 / 3, "random_state": seed, "n_jobs": os.cpu_count()}
    forest = RandomForestRegressor(N_TREES, **options)
    shuffled = X[np.random.default_rng(seed).permutation(n)]
    forest.fit(np.hstack([X, shuffled]), standard[:, 0] if Y.shape[1] == 1 else standard)
    own, of_chance = forest.feature_importances_[:p], forest.feature_importances_[p:]
    gains = np.array([max(own[place].sum() - of_chance[place].sum(), 0.0) for place in places])
    shares = gains / gains.sum() if gains.sum() > 0 else np.full(len(places), 1 / len(places))
    return [float(share) for share in (1 - EQUAL_SHARE) * shares + EQUAL_SHARE / len(places)]
