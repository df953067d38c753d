"""The finite-width neural tangent kernel: gradients with respect to all parameters."""

from __future__ import annotations

from dataclasses import dataclass

from bmdal.component import register
from bmdal.errors import BmdalError
from bmdal.features import Features, SumFeatures
from bmdal.kernels.base import BaseKernel, Traits
from bmdal.network.gradients import gradients
from bmdal.network.network import Network
from bmdal.points import Points


@register
@dataclass(frozen=True)
class Gradient(BaseKernel):
    """k(x, x') = sum over outputs c of <df_c/dtheta(x), df_c/dtheta(x')>, with all parameters theta of the network.

    For linear layers, k = sum_l <x~_l, x~_l'> <g_l, g_l'> with layer input x~_l and g_l = df/dz_l, so the gradient is
    never materialized. For all other parameters, including shared ones, per-sample gradients are computed.
    Source: arXiv 2203.09410, Section 3.1.
    """

    tokens = ("grad",)
    traits = Traits(explicit=False, sketchable=True)

    def features(self, network: Network, X: Points) -> Features:
        """Features of n points. Raises BmdalError without parameters, or if the network cannot be differentiated."""
        names = [name for name, _ in network.module.named_parameters()]
        if not names:
            raise BmdalError("kernel 'grad' needs a network with parameters, and this one has none; try 'linear'")
        return SumFeatures(tuple(gradients(network, names, X)))
