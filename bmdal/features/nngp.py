"""The infinite-width kernel of a ReLU network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from bmdal.features.base import Features
from bmdal.linalg import squared_norms


@dataclass(frozen=True)
class NNGPFeatures(Features):
    """Neural network Gaussian process kernel of a ReLU network with zero-initialized biases.

    k_1 = sigma_w^2 / d <x, x'>, then for each further layer k_{l+1} = sigma_w^2 T(k_l(x,x), k_l(x,x'), k_l(x',x'))
    with the arc-cosine map T(a, b, c) = sqrt(a c) / (2 pi) (sqrt(1 - u^2) + (pi - arccos u) u), u = b / sqrt(a c).
    The feature space has infinite dimension. Source: arXiv 2203.09410, Section 3.1 and Appendix B.

    Args:
        X: inputs, shape (n, d).
        n_layers: number of linear layers of the network, at least 1.
        sigma_w: weight factor of the neural tangent parametrization.
        factor: the kernel is multiplied by this number.
    """

    X: Tensor
    n_layers: int
    sigma_w: float
    factor: float = 1.0

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.X,)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        (X,) = tensors
        return replace(self, X=X)

    def kernel(self, other: Self) -> Tensor:
        first = self.sigma_w**2 / self.X.shape[1]
        a = first * squared_norms(self.X)[:, None]
        c = first * squared_norms(other.X)[None, :]
        b = first * (self.X @ other.X.T)
        for _ in range(self.n_layers - 1):
            b = self.sigma_w**2 * _arc_cosine(a, b, c)
            a, c = self.sigma_w**2 / 2 * a, self.sigma_w**2 / 2 * c
        return self.factor * b

    def diag(self) -> Tensor:
        """T(a, a, a) = a / 2, hence k_L(x, x) = sigma_w^2 / d |x|^2 (sigma_w^2 / 2)^(L - 1)."""
        first = self.sigma_w**2 / self.X.shape[1] * squared_norms(self.X)
        return first * self.factor * (self.sigma_w**2 / 2) ** (self.n_layers - 1)

    def scaled(self, factor: float) -> NNGPFeatures:
        return replace(self, factor=self.factor * factor)


def _arc_cosine(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    norms = torch.sqrt(a * c)
    u = torch.where(norms > 0, b / norms, 0.0).clamp(-1.0, 1.0)
    return norms / (2 * math.pi) * (torch.sqrt(1 - u * u) + (math.pi - torch.arccos(u)) * u)
