"""Methods as query strategies for scikit-activeml (extra `skactiveml`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bmdal.errors import BmdalError
from bmdal.estimators import in_units_of_networks, last_step
from bmdal.from_models import select_batch
from bmdal.kernels import Predictions
from bmdal.method import Method

try:
    from skactiveml.base import SingleAnnotatorPoolQueryStrategy
    from skactiveml.regressor import SklearnRegressor
    from skactiveml.utils import MISSING_LABEL, is_labeled
    from sklearn.base import BaseEstimator, clone
except ModuleNotFoundError as error:
    message = f"bmdal.adapters.skactiveml needs scikit-activeml: pip install 'bmdal[skactiveml]' ({error})"
    raise ModuleNotFoundError(message) from None


class BatchQueryStrategy(SingleAnnotatorPoolQueryStrategy):  # type: ignore[misc]  # no types there
    """A batch active learning method for regression (arXiv 2203.09410) as a query strategy.

        strategy = BatchQueryStrategy("lcmd-tp_grad_rp-512", random_state=0)
        rows = strategy.query(X, y, SklearnRegressor(NetworkRegressor()), batch_size=16)

    Args:
        method: a method or its name.
        missing_label: the value in y that marks an unknown label.
        random_state: seed or `numpy.random.RandomState`.
    """

    def __init__(
        self,
        method: Method | str = "lcmd-tp_grad_rp-512",
        missing_label: Any = MISSING_LABEL,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(missing_label=missing_label, random_state=random_state)
        self.method = method

    def query(
        self,
        X: ArrayLike,
        y: ArrayLike,
        reg: BaseEstimator | Sequence[nn.Module],
        fit_reg: bool = True,
        candidates: ArrayLike | None = None,
        batch_size: int = 1,
        return_utilities: bool = False,
    ) -> NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The points to label next.

        Args:
            X: labelled and unlabelled points, shape (n, d), or a frame for a pipeline that takes frames.
            y: labels of these points, shape (n,) or (n, outputs), with `missing_label` for unknown ones. At least one
                label must be known, and for each point either all outputs or none.
            reg: a `bmdal.regressor.NetworkRegressor`, possibly as the last step of a pipeline or within
                `skactiveml.regressor.SklearnRegressor`, or trained networks as in `bmdal.select_batch`. With the kernel
                `pred`, any regressor that has members, such as a forest.
            fit_reg: whether to fit a copy of the regressor to the labelled points first; networks are never trained.
            candidates: what to choose from: rows of X, shape (n_candidates,), a mask of rows, or points, shape
                (n_candidates, d); None: the unlabelled rows.
            batch_size: number of points to select.
            return_utilities: whether to also return the utilities.

        Returns: the selected rows of X, or of `candidates` if these are points, in the order of selection; and the
        utilities, shape (batch_size, n or n_candidates). A batch is selected as a whole, so the utilities only contain
        the order: row i is 1 for the point selected as number i, 0 for other candidates, and NaN for points that could
        not be selected.

        Raises BmdalError if no label is known, the regressor has no networks, or the method cannot be used.
        """
        frame: Any = X if hasattr(X, "iloc") else None  # a pipeline may convert its text columns to numbers
        targets = np.asarray(y)
        points, labels, chosen_from, batch_size, return_utilities = self._validate_data(
            X if frame is None else np.arange(len(frame))[:, None],
            targets if targets.ndim < 2 else self._one_label(targets),
            np.flatnonzero(mask) if (mask := np.asarray(candidates)).dtype == bool else candidates,
            batch_size,
            return_utilities,
            reset=True,
        )
        pool, rows = self._transform_candidates(chosen_from, points, labels)
        labelled = is_labeled(labels, self.missing_label_)
        if not labelled.any():
            raise BmdalError("y has no labels yet: label some points first, e.g. with skactiveml's RandomSampling")
        x_train, y_train = points[labelled], targets[labelled].astype(np.float64)
        if frame is not None:
            if rows is None:
                raise BmdalError("if X is a frame, candidates must be rows of it")
            x_train, pool = frame[labelled], frame.iloc[rows]
        method = Method.from_name(self.method) if isinstance(self.method, str) else self.method
        models: Any = reg
        if isinstance(reg, BaseEstimator):
            models = clone(reg).fit(x_train, y_train) if fit_reg else reg
            models = getattr(models, "estimator_", models) if isinstance(models, SklearnRegressor) else models
            if not isinstance(method.kernel, Predictions | None):
                _check_networks(models)
                y_train = in_units_of_networks(models, y_train)
        batch = select_batch(
            method,
            models,
            x_train,
            y_train,
            pool,
            batch_size,
            torch.Generator().manual_seed(int(self.random_state_.randint(2**31 - 1))),
        )
        chosen: NDArray[np.int64] = batch.indices.numpy()
        indices = chosen if rows is None else rows[chosen]
        return (
            (indices, _utilities(indices, len(pool if rows is None else points), rows)) if return_utilities else indices
        )

    def _one_label(self, targets: NDArray[Any]) -> NDArray[Any]:
        """The first of several targets. Raises BmdalError for points of which only some targets are known."""
        known = is_labeled(targets, self.missing_label)
        if targets.ndim != 2 or not targets.shape[1] or bool((known.any(axis=1) != known.all(axis=1)).any()):
            bad = int((known.any(axis=1) != known.all(axis=1)).argmax()) if targets.ndim == 2 else 0
            raise BmdalError(
                f"y must have shape (n,) or (n, outputs), with all labels of a point or none; it has {targets.shape}, "
                f"row {bad} is {targets[bad].tolist()}"
            )
        first: NDArray[Any] = targets[:, 0]
        return first


def _check_networks(reg: BaseEstimator) -> None:
    """Raise BmdalError unless a regressor, possibly at the end of a pipeline, holds networks."""
    if not hasattr(last_step(reg), "networks_"):
        raise BmdalError(
            f"{reg} has no trained networks: pass a bmdal.regressor.NetworkRegressor, fitted or with fit_reg=True, "
            "or a list of trained torch.nn.Module; with the kernel pred, any model with members"
        )


def _utilities(indices: NDArray[np.int64], n: int, rows: NDArray[np.int64] | None) -> NDArray[np.float64]:
    utilities = np.full((len(indices), n), np.nan)
    utilities[:, slice(None) if rows is None else rows] = 0
    for i, index in enumerate(indices):
        utilities[i, index] = 1
        utilities[i + 1 :, index] = np.nan
    return utilities
