"""Your own base kernel, transformation and selection method.

Each is a frozen dataclass with `tokens`, the templates of its name, and `@register`. You can then use it in method
names: `lottery_grad_rp-512_train`, `lcmd-tp_grad_rp-512_pca-32`, `lcmd-tp_quadratic_rp-512`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal import register
from bmdal.features import DenseFeatures, Features, ProductFeatures
from bmdal.kernels import BaseKernel, Network, Traits
from bmdal.selection import Selection, SelectionProblem
from bmdal.transformations import Fitted, Transformation


@register
@dataclass(frozen=True)
class Quadratic(BaseKernel):
    """k(x, x') = (1 + <x, x'> / d)^2 of the inputs, which ignores what the network has learned.

    A product of two linear kernels. Its features, about d^2, are never materialized, but they can be sketched.
    """

    tokens = ("quadratic",)
    traits = Traits(explicit=False, sketchable=True)

    def features(self, network: Network, X: Tensor) -> ProductFeatures:
        X = X.flatten(1)
        ones = torch.ones_like(X[:, :1])
        factor = DenseFeatures(torch.cat([X / X.shape[1] ** 0.5, ones], dim=1))
        return ProductFeatures((factor, factor))


@register
@dataclass(frozen=True)
class PrincipalAxes(Transformation):
    """phi -> V^T phi with the first `n_axes` principal axes V of the training features, which are not centred.

    An alternative to a random projection that keeps the directions with the largest second moments of the training
    points.
    """

    n_axes: int

    tokens = ("pca-{n_axes}",)

    def traits(self, before: Traits) -> Traits:
        self._require_explicit(before)
        return before

    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        axes = torch.linalg.svd(train.matrix(), full_matrices=False).Vh[: self.n_axes]  # shape: (n_axes, p)
        return lambda features: DenseFeatures(features.matrix() @ axes.T)


@register
@dataclass(frozen=True)
class Lottery(Selection):
    """Draw points without replacement, with probabilities proportional to k(x, x).

    MaxDiag selects the most uncertain points, which are often similar; here, less uncertain points have a chance,
    too. Source: Kirsch et al., Stochastic Batch Acquisition (arXiv 2106.12059), with the posterior variance as the
    score. The library has it as `power`.
    """

    tokens = ("lottery",)
    modes = ()

    def select(self, problem: SelectionProblem, batch_size: int) -> Tensor:
        scores = problem.pool.diag()
        g = problem.generator  # draw everything from it, on its device: the same generator gives the same batch
        uniform = torch.rand(len(scores), generator=g, device=g.device, dtype=torch.float64).to(scores.device)
        # The points with the largest log(score) + Gumbel noise are such a draw.
        order = (scores.log() - (-uniform.log()).log()).argsort(descending=True)[:batch_size]
        return order[scores[order] > 0]  # if there are too few points, the batch is filled up with random ones
