"""The linear kernel of the inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.errors import BmdalError
from bmdal.features import DenseFeatures
from bmdal.kernels.base import BaseKernel, Traits
from bmdal.network.network import Network


@register
@dataclass(frozen=True)
class Linear(BaseKernel):
    """phi(x) = x, for inputs of shape (n, d); further dimensions are flattened (arXiv 2203.09410, Section 3.1)."""

    tokens = ("linear",)
    traits = Traits(explicit=True, sketchable=True)

    def features(self, network: Network, X: Tensor) -> DenseFeatures:
        return DenseFeatures(real_inputs(X))


def real_inputs(X: Tensor) -> Tensor:
    """Inputs as a matrix of float32 or float64, shape (n, d). Raises BmdalError for integer inputs."""
    if not X.is_floating_point():
        raise BmdalError(f"this kernel needs real inputs, but the inputs are {X.dtype}; use 'll' or 'grad'")
    return X.reshape(len(X), -1).to(torch.promote_types(X.dtype, torch.float32))
