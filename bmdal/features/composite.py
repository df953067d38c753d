"""Sums and products of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Self

import torch
from torch import Tensor

from bmdal.features.base import Features, Sketch


@dataclass(frozen=True)
class CompositeFeatures(Features):
    """Features made of parts that describe the same n points."""

    parts: tuple[Features, ...]

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(t for part in self.parts for t in part.tensors())

    def with_tensors(self, tensors: Sequence[Tensor]) -> Self:
        ends = accumulate((len(part.tensors()) for part in self.parts), initial=0)
        return type(self)(
            tuple(part.with_tensors(tensors[a:b]) for part, (a, b) in zip(self.parts, pairwise(ends), strict=True))
        )


class SumFeatures(CompositeFeatures):
    """Sum of kernels, k = sum_i k_i: the layers of a network, the members of an ensemble."""

    def kernel(self, other: Self) -> Tensor:
        kernel = self.parts[0].kernel(other.parts[0])
        for a, b in zip(self.parts[1:], other.parts[1:], strict=True):
            kernel = kernel + a.kernel(b)
        return kernel

    def diag(self) -> Tensor:
        return torch.stack([part.diag() for part in self.parts]).sum(dim=0)

    def scaled(self, factor: float) -> SumFeatures:
        return SumFeatures(tuple(part.scaled(factor) for part in self.parts))

    @property
    def n_features(self) -> int | None:
        """Number of columns of the concatenated feature matrices of the parts, or None if one has no matrix."""
        widths = [part.n_features for part in self.parts]
        return None if None in widths else sum(w for w in widths if w is not None)

    def matrix(self) -> Tensor:
        return torch.cat([part.matrix() for part in self.parts], dim=1)

    def draw_sketch(self, n_features: int, generator: torch.Generator) -> Sketch:
        """The sum of independent sketches of the parts (arXiv 2203.09410, Section 3.2)."""
        sketches = [part.draw_sketch(n_features, generator) for part in self.parts]

        def sketch(features: Features) -> Tensor:
            assert isinstance(features, SumFeatures)
            projected = sketches[0](features.parts[0])
            for s, part in zip(sketches[1:], features.parts[1:], strict=True):
                projected = projected + s(part)
            return projected

        return sketch


class ProductFeatures(CompositeFeatures):
    """Product of kernels, k = prod_i k_i: input times output gradient of a layer, or acs-grad."""

    def kernel(self, other: Self) -> Tensor:
        kernel = self.parts[0].kernel(other.parts[0])
        for a, b in zip(self.parts[1:], other.parts[1:], strict=True):
            kernel = kernel * a.kernel(b)
        return kernel

    def diag(self) -> Tensor:
        return torch.stack([part.diag() for part in self.parts]).prod(dim=0)

    def scaled(self, factor: float) -> ProductFeatures:
        return ProductFeatures((self.parts[0].scaled(factor), *self.parts[1:]))

    def draw_sketch(self, n_features: int, generator: torch.Generator) -> Sketch:
        """(U phi_1) * (V phi_2) / sqrt(P) elementwise, with independent U, V (arXiv 2203.09410, Section 3.2)."""
        sketches = [part.draw_sketch(n_features, generator) for part in self.parts]

        def sketch(features: Features) -> Tensor:
            assert isinstance(features, ProductFeatures)
            projected = sketches[0](features.parts[0])
            for s, part in zip(sketches[1:], features.parts[1:], strict=True):
                projected = projected * s(part)
                projected *= n_features**0.5
            return projected

        return sketch
