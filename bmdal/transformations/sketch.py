"""Random projections."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bmdal.component import register
from bmdal.errors import IncompatibleError
from bmdal.features import DenseFeatures, Features
from bmdal.kernels import Traits
from bmdal.transformations.base import Fitted, Transformation


@register
@dataclass(frozen=True)
class RandomProjection(Transformation):
    """Sketch to P features, an unbiased estimate of the kernel (arXiv 2203.09410, Section 3.2).

    Plain features become U phi / sqrt(P) with U standard normal; a sum of kernels becomes the sum of independent
    sketches of its terms, and a product becomes (U phi_1) * (V phi_2) / sqrt(P). The same draw is used for all points.
    """

    n_features: int = 512

    tokens = ("rp-{n_features}",)
    needs_train = False

    def __post_init__(self) -> None:
        self._require_at_least_one("n_features")

    def traits(self, before: Traits) -> Traits:
        if not before.sketchable:
            raise IncompatibleError(
                f"transformation {self.name!r} needs a finite-dimensional kernel, "
                "which 'nngp' and posteriors of kernels without a feature matrix are not"
            )
        return Traits(explicit=True, sketchable=True)

    def fit(self, train: Features, y_train: Tensor | None, sigma: float, generator: torch.Generator) -> Fitted:
        sketch = train.draw_sketch(self.n_features, generator)
        return lambda features: DenseFeatures(sketch(features))
