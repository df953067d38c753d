"""Features given by their matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from bmdal.features.base import Features, Sketch
from bmdal.linalg import squared_norms
from bmdal.randomness import standard_normal


@dataclass(frozen=True)
class DenseFeatures(Features):
    """Features with matrix Phi of shape (n, p): k(x_i, x_j) = (Phi Phi^T)_ij."""

    Phi: Tensor

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.Phi,)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        (Phi,) = tensors
        return type(self)(Phi)

    def kernel(self, other: Self) -> Tensor:
        return functional.linear(self.Phi, other.matrix())

    def diag(self) -> Tensor:
        return squared_norms(self.Phi)

    def scaled(self, factor: float) -> DenseFeatures:
        return DenseFeatures(self.Phi * factor**0.5)

    @property
    def n_features(self) -> int:
        return self.Phi.shape[1]

    def matrix(self) -> Tensor:
        return self.Phi

    def draw_sketch(self, n_features: int, generator: torch.Generator) -> Sketch:
        """phi -> U phi / sqrt(P) with U standard normal, shape (P, p) (arXiv 2203.09410, Section 3.2)."""
        U: Tensor = standard_normal((n_features, self.n_features), generator, self.Phi) / n_features**0.5

        def sketch(features: Features) -> Tensor:
            return features.matrix() @ U.T

        return sketch
