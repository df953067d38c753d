"""Scaling and conditioning on the training set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features, condition
from bmdal.kernels import Traits
from bmdal.transformations.base import Fitted, Transformation, mean_diagonal


@register
@dataclass(frozen=True)
class Scale(Transformation):
    """k / mean_i k(x_i, x_i), where the mean runs over the training set (arXiv 2203.09410, Section 3.2)."""

    tokens = ("scale",)

    def traits(self, before: Traits) -> Traits:
        return before

    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        factor = 1 / mean_diagonal(train)
        return lambda features: features.scaled(factor)


@register
@dataclass(frozen=True)
class Train(Transformation):
    """Scale, then take the Gaussian process posterior kernel after observing the training set, in float64.

    k(x, x') - k(x, X) (k(X, X) + sigma^2 I)^-1 k(X, x')   (arXiv 2203.09410, Section 3.2). Computed in feature
    space if there is a feature matrix, and in kernel space otherwise: see `bmdal.features.condition`.
    """

    tokens = ("train",)

    def traits(self, before: Traits) -> Traits:
        return Traits(explicit=before.explicit, sketchable=before.explicit)

    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        factor = 1 / mean_diagonal(train)
        posterior = condition(train.scaled(factor), sigma)
        return lambda features: posterior(features.scaled(factor))
