"""Small problems for tests, in float64 unless said otherwise."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from bmdal import NTKLinear


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def ntk_network(d: int = 4, width: int = 8, seed: int = 0) -> nn.Sequential:
    """The benchmark's kind of network, with biases that are not zero."""
    g = generator(seed)
    sizes = [d, width, width, 1]
    layers: list[nn.Module] = []
    for d_in, d_out in pairwise(sizes):
        weight = torch.randn(d_out, d_in, generator=g, dtype=torch.float64)
        layers += [NTKLinear(weight, torch.randn(d_out, generator=g, dtype=torch.float64), 1.2, 0.3), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def torch_network(d: int = 4, n_outputs: int = 1, seed: int = 0) -> nn.Sequential:
    """An ordinary network of nn.Linear and element-wise layers."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Linear(d, 7), nn.ReLU(inplace=True), nn.Linear(7, 6, bias=False), nn.Tanh(), nn.Linear(6, n_outputs)
    )
    return net.double()


def autograd_features(model: nn.Module, X: Tensor, parameters: list[Tensor] | None = None) -> Tensor:
    """Gradients of the outputs with respect to the parameters, one row for each sample, by plain autograd."""
    parameters = list(model.parameters()) if parameters is None else parameters
    rows = []
    for x in X:
        outputs = model(x[None]).reshape(-1)
        gradients = [torch.autograd.grad(o, parameters, retain_graph=True, materialize_grads=True) for o in outputs]
        rows.append(torch.cat([g.flatten() for per_output in gradients for g in per_output]))
    return torch.stack(rows)


def naive_posterior(K_xx: Tensor, K_xo: Tensor, K_oo: Tensor, sigma: float) -> Tensor:
    """k(x, x') - k(x, X) (k(X, X) + sigma^2 I)^-1 k(X, x'), as it is written."""
    return K_xx - K_xo @ torch.linalg.inv(K_oo + sigma**2 * torch.eye(len(K_oo), dtype=K_oo.dtype)) @ K_xo.T
