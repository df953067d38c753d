"""The kernel of the infinitely wide network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from bmdal.component import register
from bmdal.errors import BmdalError
from bmdal.features import NNGPFeatures
from bmdal.kernels.base import BaseKernel, Traits
from bmdal.kernels.linear import real_inputs
from bmdal.layers import NTKLinear
from bmdal.network.network import Network
from bmdal.points import Points


@register
@dataclass(frozen=True)
class NNGP(BaseKernel):
    """Infinite-width kernel of a ReLU network with as many linear layers as the given network.

    For the formula, see `bmdal.features.NNGPFeatures`. sigma_w is that of the network's first `NTKLinear` layer, or
    else sqrt(2); it only affects the scale of the kernel. Source: arXiv 2203.09410, Section 3.1.
    """

    tokens = ("nngp",)
    traits = Traits(explicit=False, sketchable=False)

    def features(self, network: Network, X: Points) -> NNGPFeatures:
        """Features of n points. Raises BmdalError if the network has no linear layer or the inputs are not real."""
        layers = [m for m in network.model.modules() if isinstance(m, nn.Linear | NTKLinear)]
        if not layers:
            raise BmdalError(
                "kernel 'nngp' takes its depth from the network's linear layers, but there are none; try 'll' or 'grad'"
            )
        sigma_w = next((m.sigma_w for m in layers if isinstance(m, NTKLinear)), 2**0.5)
        return NNGPFeatures(real_inputs(self.name, X), n_layers=len(layers), sigma_w=sigma_w)
