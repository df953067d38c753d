"""Gaussian process posterior kernels: the uncertainty that remains after observing some points."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from bmdal.features.base import Features
from bmdal.features.dense import DenseFeatures
from bmdal.linalg import blocks, cholesky, inverse_root, squared_norms


@dataclass(frozen=True)
class PosteriorFeatures(Features):
    """Posterior kernel in kernel space, k(x, x') - <a(x), a(x')> with a(x) = L^-1 k(X, x), L L^T = k(X, X) + sigma^2 I.

    Args:
        prior: features of the n points under k.
        explained: a(x) for these points, shape (n, n_train).
    """

    prior: Features
    explained: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.prior.tensors(), self.explained)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        return type(self)(self.prior.with_tensors(tensors[:-1]), tensors[-1])

    def kernel(self, other: Self) -> Tensor:
        return torch.addmm(self.prior.kernel(other.prior), self.explained, other.explained.T, alpha=-1)

    def diag(self) -> Tensor:
        return self.prior.diag() - squared_norms(self.explained)

    def scaled(self, factor: float) -> PosteriorFeatures:
        return PosteriorFeatures(self.prior.scaled(factor), self.explained * factor**0.5)


def condition(observed: Features, sigma: float) -> Callable[[Features], Features]:
    """The posterior after observing the points `observed` with noise variance sigma^2, as a function of features.

    k(x, x') - k(x, X) (k(X, X) + sigma^2 I)^-1 k(X, x')   (arXiv 2203.09410, Section 3.2), computed in float64.
    If there is a feature matrix Phi (n, p), the result has one, too. For many observations it is
    phi -> sigma (Phi^T Phi + sigma^2 I)^(-1/2) phi; for few (2 n < p) the same map is computed as a correction of rank
    n, phi -> phi - Phi^T g(Phi Phi^T) Phi phi, g(t) = 1 / (sqrt(t + sigma^2) (sqrt(t + sigma^2) + sigma)).
    Without a feature matrix, the posterior is computed in kernel space.
    """
    observed = observed.to(dtype=torch.float64)
    n, p = len(observed), observed.n_features
    if p is None:
        return _condition_kernel_space(observed, sigma)
    return _condition_few(observed, sigma) if 2 * n < p else _condition_feature_space(observed, sigma)


def _condition_kernel_space(observed: Features, sigma: float) -> Callable[[Features], Features]:
    L = cholesky(observed.kernel(observed), sigma**2)

    def posterior(features: Features) -> Features:
        features = features.to(dtype=torch.float64)
        explained = L.new_empty(len(features), len(L))
        for rows in blocks(len(features), 8 * len(L), L.device):
            explained[rows] = torch.linalg.solve_triangular(L, observed.kernel(features[rows]), upper=False).T
        return PosteriorFeatures(features, explained)

    return posterior


def _condition_feature_space(observed: Features, sigma: float) -> Callable[[Features], Features]:
    Phi = observed.matrix()
    root = sigma * inverse_root(Phi.T @ Phi, sigma**2)

    def posterior(features: Features) -> Features:
        return DenseFeatures(features.matrix().to(torch.float64) @ root)

    return posterior


def _condition_few(observed: Features, sigma: float) -> Callable[[Features], Features]:
    Phi_observed = observed.matrix()
    eigenvalues, Q = torch.linalg.eigh(Phi_observed @ Phi_observed.T)
    root = torch.sqrt(eigenvalues.clamp(min=0) + sigma**2)
    correction = (Q / (root * (root + sigma))) @ Q.T @ Phi_observed  # shape: (n_observed, p)

    def posterior(features: Features) -> Features:
        Phi = features.matrix().to(torch.float64)
        return DenseFeatures(torch.addmm(Phi, Phi @ Phi_observed.T, correction, alpha=-1))

    return posterior
