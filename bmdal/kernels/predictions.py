"""The kernel of predictions: where the members of an ensemble disagree."""

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
class Predictions(BaseKernel):
    """k(x, x') = covariance of the members' predictions f_1, ..., f_K at x and x', summed over the outputs.

    phi(x)_i = (f_i(x) - mean_j f_j(x)) / sqrt(K), concatenated over the outputs. For any kind of model: `bmdal.members`
    finds the members, or they are the columns of a matrix of predictions passed to `select`. Each output is divided by
    the standard deviation of its mean prediction over the training points, or over the pool if there are fewer than two
    training points, so that units do not matter. Source: Kirsch, arXiv 2302.08981.
    """

    tokens = ("pred",)
    traits = Traits(explicit=True, sketchable=True)
    sigma = 0.1

    def features(self, network: Network, X: Points) -> DenseFeatures:
        """Features of given predictions X, shape (n, K) or (n, K, n_outputs), in their own units."""
        return DenseFeatures(centred(as_predictions("predictions", one_tensor(self.name, X))))


def as_predictions(name: str, X: Tensor) -> Tensor:
    """Predictions of at least two members in float64, shape (n, K, n_outputs). Raises BmdalError for other shapes."""
    if X.ndim not in (2, 3) or X.shape[1] < 2 or not X.is_floating_point():
        raise BmdalError(
            f"{name} must be predictions of at least two members, shape (n, members) or (n, members, outputs), it has "
            f"shape {tuple(X.shape)} and holds {X.dtype}"
        )
    return X.to(torch.float64).reshape(len(X), X.shape[1], -1)


def centred(P: Tensor) -> Tensor:
    """phi, shape (n, K * n_outputs), of predictions (n, K, n_outputs)."""
    return (P - P.mean(dim=1, keepdim=True)).div_(P.shape[1] ** 0.5).flatten(1)
