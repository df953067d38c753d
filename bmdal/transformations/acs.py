"""Kernels of active learning as sparse subset (coreset) approximation, ACS (arXiv 2203.09410, Section 3.2).

They measure how much a label changes the expected log-likelihood of a Bayesian model. All of them scale the features
first and work in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.errors import BmdalError
from bmdal.features import DenseFeatures, Features, ProductFeatures, condition
from bmdal.kernels import Traits
from bmdal.linalg import inverse_root, squared_norms
from bmdal.randomness import standard_normal
from bmdal.transformations.base import Fitted, Transformation, mean_diagonal


@register
@dataclass(frozen=True)
class AcsRandomFeatures(Transformation):
    """Random features of the ACS log-likelihood kernel, computed as for the published numbers.

    With S = (Phi^T Phi + sigma^2 I)^-1, theta_j ~ N(0, S), q(x) = phi^T S phi and z_j = phi^T theta_j, feature j is
    (0.5 log(1 + q / sigma^2) - (z_j^2 + q) / (2 sigma^2)) / sqrt(P). Source: arXiv 2203.09410, Section 3.2 and
    Appendix B. For the formula in the paper's text, see `AcsRandomFeaturesPaper`.
    """

    n_features: int = 512

    tokens = ("acs-rf-{n_features}",)
    posterior_variance: ClassVar[bool] = False  # whether q is sigma^2 phi^T S phi instead of phi^T S phi

    def __post_init__(self) -> None:
        self._require_at_least_one("n_features")

    def traits(self, before: Traits) -> Traits:
        self._require_explicit(before)
        return Traits(explicit=True, sketchable=True)

    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        factor = 1 / mean_diagonal(train)
        Phi = _matrix(train, factor)
        root = inverse_root(Phi.T @ Phi, sigma**2)
        if self.posterior_variance:
            root = sigma * root
        theta = root @ standard_normal((root.shape[1], self.n_features), generator, root)

        def transform(features: Features) -> Features:
            Phi = _matrix(features, factor)
            half = Phi @ root
            q = squared_norms(half)[:, None]
            values = (Phi @ theta).square_().add_(q).mul_(-0.5 / sigma**2).add_(0.5 * torch.log1p(q / sigma**2))
            return DenseFeatures(values.mul_(self.n_features**-0.5))

        return transform


@register
@dataclass(frozen=True)
class AcsRandomFeaturesPaper(AcsRandomFeatures):
    """Random features of the ACS log-likelihood kernel, computed as in the paper's text.

    Like `AcsRandomFeatures`, but q is the posterior variance sigma^2 phi^T S phi, and theta_j ~ N(0, sigma^2 S) with
    S = (Phi^T Phi + sigma^2 I)^-1. Source: arXiv 2203.09410, Section 3.2.
    """

    tokens = ("acs-rf-paper-{n_features}",)
    posterior_variance: ClassVar[bool] = True


@register
@dataclass(frozen=True)
class AcsRandomFeaturesHyper(Transformation):
    """Random features of the ACS kernel with an inverse-gamma prior on the noise variance, a_0 = b_0 = 1.

    With S = (Phi^T Phi + I)^-1, m = S Phi^T y, a = a_0 + n / 2, b = b_0 + (y^T y - m^T S^-1 m) / 2,
    v(x) = b / a (1 + phi^T S phi), theta_j ~ N(0, S) and z_j = phi^T theta_j, feature j is
    (-0.5 log(2 pi) - (z_j^2 + v) / 2) / sqrt(P). Source: arXiv 2203.09410, Section 3.2 and Appendix B.
    """

    n_features: int = 512

    tokens = ("acs-rf-hyper-{n_features}",)
    needs_labels = True

    def __post_init__(self) -> None:
        self._require_at_least_one("n_features")

    def traits(self, before: Traits) -> Traits:
        self._require_explicit(before)
        return Traits(explicit=True, sketchable=True)

    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        if y_train is None:
            raise BmdalError(f"transformation {self.name!r} needs the training labels y_train")
        factor = 1 / mean_diagonal(train)
        Phi = _matrix(train, factor)
        y = y_train.to(Phi)
        root = inverse_root(Phi.T @ Phi, 1.0)
        projected = root.T @ (Phi.T @ y)  # m^T S^-1 m = |root^T Phi^T y|^2
        a = 1 + len(y) / 2
        b = float(1 + (y @ y - projected @ projected) / 2)
        theta = root @ standard_normal((root.shape[1], self.n_features), generator, root)

        def transform(features: Features) -> Features:
            Phi = _matrix(features, factor)
            half = Phi @ root
            v = b / a * (1 + squared_norms(half))[:, None]
            values = (Phi @ theta).square_().add_(v).mul_(-0.5).sub_(0.5 * math.log(2 * math.pi))
            return DenseFeatures(values.mul_(self.n_features**-0.5))

        return transform


@register
@dataclass(frozen=True)
class AcsGradient(Transformation):
    """ACS kernel of the Fisher type, sigma^-4 k~(x, x') k~_post(x, x') with the scaled kernel k~ and its posterior.

    Source: arXiv 2203.09410, Section 3.2.
    """

    tokens = ("acs-grad",)

    def traits(self, before: Traits) -> Traits:
        return Traits(explicit=False, sketchable=before.explicit)

    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        factor = 1 / mean_diagonal(train)
        posterior = condition(train.scaled(factor), sigma)

        def transform(features: Features) -> Features:
            scaled = features.to(dtype=torch.float64).scaled(factor)
            return ProductFeatures((scaled.scaled(sigma**-4), posterior(scaled)))

        return transform


def _matrix(features: Features, factor: float) -> Tensor:
    """Feature matrix of the kernel multiplied by `factor`, in float64."""
    Phi = features.matrix().to(torch.float64)
    return Phi * math.sqrt(factor)
