"""The interface of transformations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from bmdal.component import Component
from bmdal.errors import BmdalError, IncompatibleError
from bmdal.features import Features
from bmdal.kernels import Traits

Fitted = Callable[[Features], Features]
"""A transformation after it is fitted to the training features; maps the features of any points."""


class Transformation(Component):
    """Maps a kernel to another one, fitted on the training set (arXiv 2203.09410, Section 3.2).

    Attributes:
        needs_labels: whether `fit` uses the training labels.
        needs_train: whether `fit` needs at least one training point.
    """

    kind = "transformation"
    needs_labels: ClassVar[bool] = False
    needs_train: ClassVar[bool] = True

    @abstractmethod
    def traits(self, before: Traits) -> Traits:
        """Traits of the transformed features. Raises IncompatibleError if it cannot be applied to such features."""

    @abstractmethod
    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        """Fit on the features of the training points.

        Args:
            train: features of the n_train training points.
            y_train: labels of these points, shape (n_train,); not None if `needs_labels`.
            sigma: standard deviation of the observation noise.
            generator: source of all random draws.
        Returns: a function from features to transformed features.
        """

    def _require_at_least_one(self, field: str) -> None:
        if getattr(self, field) < 1:
            raise BmdalError(f"transformation {self.name!r}: {field} must be at least 1, got {getattr(self, field)}")

    def _require_explicit(self, before: Traits) -> None:
        if not before.explicit:
            raise IncompatibleError(
                f"transformation {self.name!r} needs an explicit feature matrix: put a sketch like 'rp-512' before it"
            )


def mean_diagonal(features: Features) -> float:
    """mean_i k(x_i, x_i), computed in float64; 1 for a kernel that is zero on all points, to allow division."""
    return float(features.diag().to(torch.float64).mean()) or 1.0
