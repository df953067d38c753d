"""The members of a CatBoost model, and variances that such a model may predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bmdal.errors import BmdalError
from bmdal.members.checks import (
    BAGGING,
    Predict,
    as_matrix,
    called,
    check_count,
    kind_of,
    same_up_to_rounding,
)
from bmdal.members.points import Array, for_estimators, length


@dataclass(frozen=True)
class VirtualEnsembles:
    """A CatBoost model, treated as several: each member leaves out some of the last trees, fewer for later members.

    CatBoost calls these `VirtEnsembles`.

    Args:
        model: the fitted CatBoost model, with at least 2 `n_members` trees.
        n_members: number of members, at least 2.

    Raises BmdalError for values that cannot be used.

    Source: Malinin, Prokhorenkova and Ustimenko, arXiv 2006.10562.
    """

    model: Any
    n_members: int = 10

    def __post_init__(self) -> None:
        if not hasattr(self.model, "virtual_ensembles_predict"):
            raise BmdalError(f"VirtualEnsembles takes a CatBoost model, got a {kind_of(self.model)}")
        check_count(self.n_members)


def virtual_ensembles(given: VirtualEnsembles, few: Any, reference: Array) -> Predict:
    """How virtual ensembles predict. The last one has all trees, which is used to check scale and columns."""
    model, K = given.model, given.n_members
    kind = f"the {kind_of(model)} (virtual ensembles)"
    remedy = f"pass VirtualEnsembles(model, n_members) for a model with at least 2 n_members trees, or {BAGGING}"

    def predict(X: Any) -> Array:
        options = {"prediction_type": "VirtEnsembles", "virtual_ensembles_count": K}
        raw = np.asarray(called(kind, model.virtual_ensembles_predict, for_estimators(X), remedy, **options))
        n = length(X)
        if raw.ndim != 3 or raw.shape[:2] != (n, K):
            raise BmdalError(f"{kind} returned shape {raw.shape} for {n} points and {K} members; {BAGGING}")
        return as_matrix(kind, raw.reshape(n, -1), n).reshape(raw.shape)

    if not same_up_to_rounding(predict(few)[:, -1], reference):
        raise BmdalError(f"{kind} are on another scale than its predictions, as with a Poisson loss; {BAGGING}")
    return without_variance(model, predict)


def without_variance(model: Any, predict: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Predictions of a model or its members, without the second column if that is a variance."""
    return (lambda X: predict(X)[..., :1]) if _has_variance(model) else predict


def _has_variance(model: Any) -> bool:
    """Whether a model, or one inside it, predicts a mean and a variance: CatBoost with loss RMSEWithUncertainty."""
    while not hasattr(model, "get_all_params"):
        if hasattr(model, "best_estimator_"):
            model = model.best_estimator_
        elif hasattr(model, "steps"):
            model = model.steps[-1][1]
        elif isinstance(estimators := getattr(model, "estimators_", None), list) and estimators:
            model = estimators[0]
        else:
            return False
    parameters = called(kind_of(model), lambda _: model.get_all_params(), None)
    return parameters.get("loss_function") == "RMSEWithUncertainty"  # type: ignore[no-any-return]
