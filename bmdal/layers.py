"""Linear layers whose parameter gradients factor, and the neural tangent parametrization."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class NTKLinear(nn.Module):
    """Linear layer in neural tangent parametrization, z = sigma_w / sqrt(d) W x + sigma_b b.

    Source: arXiv 2203.09410, Section 2.

    Args:
        weight: W, shape (d_out, d); not copied.
        bias: b, shape (d_out,); not copied.
        sigma_w: weight factor.
        sigma_b: bias factor.
    """

    def __init__(self, weight: Tensor, bias: Tensor, sigma_w: float, sigma_b: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.sigma_w = sigma_w
        self.sigma_b = sigma_b

    @property
    def weight_factor(self) -> float:
        """sigma_w / sqrt(d)."""
        return float(self.sigma_w / self.weight.shape[1] ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight_factor * self.weight, self.sigma_b * self.bias)

    def extra_repr(self) -> str:
        d_out, d_in = self.weight.shape
        return f"in_features={d_in}, out_features={d_out}, sigma_w={self.sigma_w}, sigma_b={self.sigma_b}"


FactoredLayer = nn.Linear | NTKLinear


def is_factored(module: nn.Module) -> bool:
    """Whether the gradient of the layer's output with respect to its parameters is its input, up to constants."""
    return type(module) in (nn.Linear, NTKLinear) and isinstance(module._parameters.get("weight"), nn.Parameter)


def input_features(layer: FactoredLayer, x: Tensor) -> Tensor:
    """x~ with dz_j/d(W_j, b_j) = x~: (x, 1) or, in neural tangent parametrization, (sigma_w / sqrt(d) x, sigma_b).

    Args:
        layer: a linear layer.
        x: its input, shape (n, d).
    Returns: shape (n, d + 1), or (n, d) for a layer without bias.
    """
    weight_factor, bias_factor = (layer.weight_factor, layer.sigma_b) if isinstance(layer, NTKLinear) else (1.0, 1.0)
    n, d = x.shape
    if layer.bias is None:
        return x * weight_factor
    features = torch.empty(n, d + 1, dtype=x.dtype, device=x.device)
    torch.mul(x, weight_factor, out=features[:, :d])
    features[:, d] = bias_factor
    return features
