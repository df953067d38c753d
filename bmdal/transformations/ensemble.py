"""Ensembles of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.features import Features, SumFeatures
from bmdal.kernels import Traits
from bmdal.transformations.base import Fitted, Transformation


@register
@dataclass(frozen=True)
class Ensemble(Transformation):
    """Sum of the kernels of N independently trained networks (arXiv 2203.09410, Section 3.2).

    Transformations before it in a method are applied to each network separately, transformations after it to the sum.
    """

    n_models: int = 3

    tokens = ("ens-{n_models}",)

    def __post_init__(self) -> None:
        self._require_at_least_one("n_models")

    def traits(self, before: Traits) -> Traits:
        return before

    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        return lambda features: features

    def combine(self, members: Sequence[Features]) -> Features:
        """The features of the sum of the members' kernels."""
        return SumFeatures(tuple(members))
