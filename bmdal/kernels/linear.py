"""The linear kernel of the inputs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.errors import BmdalError
from bmdal.features import DenseFeatures
from bmdal.kernels.base import BaseKernel, Traits, one_tensor
from bmdal.network.network import Network
from bmdal.points import Points


@register
@dataclass(frozen=True)
class Linear(BaseKernel):
    """phi(x) = x, for inputs of shape (n, d); further dimensions are flattened (arXiv 2203.09410, Section 3.1)."""

    tokens = ("linear",)
    traits = Traits(explicit=True, sketchable=True)

    def features(self, network: Network, X: Points) -> DenseFeatures:
        return DenseFeatures(real_inputs(self.name, X))


def real_inputs(name: str, points: Points) -> Tensor:
    """Inputs as a matrix, shape (n, d), in at least float32. Raises BmdalError for integers and several tensors."""
    X = one_tensor(name, points)
    if not X.is_floating_point():
        raise BmdalError(f"kernel {name!r} needs real inputs, but the inputs are {X.dtype}; use 'll' or 'grad'")
    return X.reshape(len(X), -1).to(torch.promote_types(X.dtype, torch.float32))
