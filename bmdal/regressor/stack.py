"""The three-layer network of the benchmark, in stacks of many."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from bmdal.layers import NTKLinear

Activation = Literal["relu", "silu"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "silu": nn.SiLU}
WIDTHS = (512, 512)


class NetworkStack(nn.Module):
    """m networks d -> 512 -> 512 -> 1 with a leading dimension m in all parameters.

    Neural tangent parametrization, z_l = sigma_w / sqrt(d_l) W_l x_l + sigma_b b_l, with standard normal initial
    weights and zero initial biases. The networks can be the members of an ensemble, belong to several splits, or both;
    they are only computed together. Source: arXiv 2203.09410, Section 5.1.

    Args:
        n_inputs: d.
        activation: "relu" or "silu".
        sigma_w: weight factor.
        sigma_b: bias factor.
        generators: one per network, the source of its initial weights.
        device: device of the parameters.
    """

    def __init__(
        self,
        n_inputs: int,
        activation: Activation,
        sigma_w: float,
        sigma_b: float,
        generators: Sequence[torch.Generator],
        device: torch.device,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]()
        self.sigma_w = sigma_w
        self.sigma_b = sigma_b
        sizes = (n_inputs, *WIDTHS, 1)
        shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
        normal = partial(torch.randn, dtype=torch.float32)
        networks = [[normal(*shape, generator=g, device=g.device) for shape in shapes] for g in generators]
        self.weights = nn.ParameterList(torch.stack(layer).to(device) for layer in zip(*networks, strict=True))
        zeros = partial(torch.zeros, dtype=torch.float32, device=device)
        self.biases = nn.ParameterList(zeros(len(networks), d_out) for d_out, _ in shapes)

    def __len__(self) -> int:
        return int(self.weights[0].shape[0])

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of all networks, each on its own n inputs: shape (m, n, d) -> (m, n)."""
        for layer, (W, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer:
                x = self.activation(x)
            x = torch.baddbmm(b[:, None, :], x, W.mT, beta=self.sigma_b, alpha=self.sigma_w / W.shape[2] ** 0.5)
        return x[:, :, 0]

    def network(self, k: int) -> nn.Sequential:
        """Network k, which shares its memory with the stack. Maps (n, d) to (n, 1)."""
        layers: list[nn.Module] = []
        for W, b in zip(self.weights, self.biases, strict=True):
            layers += [NTKLinear(W.detach()[k], b.detach()[k], self.sigma_w, self.sigma_b), self.activation]
        return nn.Sequential(*layers[:-1])
