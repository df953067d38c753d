"""The last-layer kernel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bmdal.component import register
from bmdal.errors import BmdalError, unknown
from bmdal.features import DenseFeatures, Features, ProductFeatures
from bmdal.kernels.base import BaseKernel, Traits
from bmdal.network.gradients import gradients
from bmdal.network.network import Network
from bmdal.points import Points


@register
@dataclass(frozen=True)
class LastLayer(BaseKernel):
    """Gradient with respect to the last layer's weight and bias, phi(x) = (sigma_w / sqrt(d_L) x_L, sigma_b).

    The last layer is the last module that has its own parameters, or the module named `layer`, as in `named_modules()`;
    in method names "ll[head.2]". Source: arXiv 2203.09410, Section 3.1.
    """

    layer: str | None = None

    tokens = ("ll[{layer}]", "ll")
    traits = Traits(explicit=True, sketchable=True)

    def features(self, network: Network, X: Points) -> DenseFeatures:
        """Features of n points. Raises BmdalError without such a layer with parameters, or if outputs are unusable."""
        own = {id(p) for p in self._layer(network.module).parameters()}
        names = [name for name, p in network.module.named_parameters() if id(p) in own]
        matrices = [_matrix(part) for part in gradients(network, names, X)]
        return DenseFeatures(matrices[0] if len(matrices) == 1 else torch.cat(matrices, dim=1))

    def _layer(self, model: nn.Module) -> nn.Module:
        modules: dict[str, nn.Module] = dict(model.named_modules())
        layers = {name: m for name, m in modules.items() if any(True for _ in m.parameters(recurse=False))}
        if not layers:
            raise BmdalError("kernel 'll' needs a layer with parameters, and the network has none; try 'linear'")
        if self.layer is None:
            return list(layers.values())[-1]
        if self.layer not in modules or not any(True for _ in modules[self.layer].parameters()):
            raise BmdalError(f"kernel {self.name!r}: {unknown('layer', self.layer, layers)}")
        return modules[self.layer]


def _matrix(features: Features) -> Tensor:
    """The feature matrix of one layer's gradient; a product of factors (n, p), (n, q) has p q columns."""
    if isinstance(features, ProductFeatures):
        left, right = (part.matrix() for part in features.parts)
        return (left[:, :, None] * right[:, None, :]).flatten(1)
    return features.matrix()
