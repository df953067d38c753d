"""Three ways to compute per-sample gradients of a network's outputs with respect to its parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from bmdal.errors import BmdalError, is_out_of_memory
from bmdal.layers import FactoredLayer, input_features
from bmdal.network.network import Function
from bmdal.points import Points, Tree, mapped


@dataclass(frozen=True)
class Layer:
    """A linear layer whose gradient factors.

    Attributes:
        name: as in `named_modules()`.
        d_out, d_in: the shape of its weight.
        in_place: whether a later operation changes its output in place.
        is_output: whether its output is the network's output.
    """

    name: str
    d_out: int
    d_in: int
    in_place: bool = False
    is_output: bool = False

    @property
    def weight(self) -> str:
        """The name of its weight, as in `named_parameters()`."""
        return f"{self.name}.weight" if self.name else "weight"

    @property
    def bias(self) -> str:
        """The name of its bias, if it has one."""
        return f"{self.name}.bias" if self.name else "bias"


Factors = tuple[Tensor, Tensor | None]
"""x~, shape (n, d + 1), and g, shape (n, n_outputs * d_out), of a layer; g is None for dz/dz = I."""


class NotDifferentiableError(BmdalError):
    """PyTorch cannot differentiate the network."""


class IrregularError(Exception):
    """Layers that were not called exactly once, with one row per point."""

    def __init__(self, layers: set[str]) -> None:
        super().__init__(layers)
        self.layers = layers


def factors(function: Function, layers: Sequence[Layer], X: Points) -> tuple[Tensor, dict[str, Factors]]:
    """The outputs, shape (n, n_outputs), and the factors of every layer's gradient.

    Raises IrregularError if a layer is not called exactly once, with one row per point.
    """
    function = function.fresh()
    modules = {function.module.get_submodule(layer.name): layer for layer in layers}
    x: dict[str, Tensor] = {}
    z: dict[str, Tensor] = {}
    irregular: set[str] = set()
    cut: set[str] = set()  # called while autograd is off, so no gradient arrives here

    def record(module: FactoredLayer, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        layer = modules[module]
        if layer.name in z or not args or args[0].shape[:-1] != (len(X),):
            irregular.add(layer.name)
            return output
        x[layer.name], z[layer.name] = input_features(module, args[0].detach()), output
        if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
            cut.add(layer.name)
            return output
        if not output.requires_grad:
            output.requires_grad_()
        return output.clone() if layer.in_place else output

    with torch.enable_grad(), hooks(modules, record):
        outputs = function(X)
        if irregular := irregular | {layer.name for layer in layers if layer.name not in z}:
            raise IrregularError(irregular)
        inner = [layer.name for layer in layers if not layer.is_output and layer.name not in cut]
        g: dict[str, Tensor | None] = dict(zip(inner, _output_gradients(outputs, [z[n] for n in inner]), strict=True))
    for layer in layers:
        if layer.name in cut:
            width = function.n_outputs * z[layer.name].shape[1]
            g[layer.name] = torch.zeros(len(X), width, dtype=x[layer.name].dtype, device=X.device)
    return outputs.detach(), {layer.name: (x[layer.name], g.get(layer.name)) for layer in layers}


def _output_gradients(outputs: Tensor, z: list[Tensor]) -> list[Tensor]:
    """df_c/dz for every z, concatenated over the outputs c. Points must not depend on each other."""
    if not z:
        return []
    n_outputs = outputs.shape[1]
    if not outputs.requires_grad:
        return [t.new_zeros(len(t), n_outputs * t.shape[1]) for t in z]
    per_output = [
        torch.autograd.grad(outputs[:, c].sum(), z, retain_graph=c + 1 < n_outputs, materialize_grads=True)
        for c in range(n_outputs)
    ]
    return [torch.cat(gradients, dim=1) for gradients in zip(*per_output, strict=True)]


def outer_products(layer: Layer, factors: Factors, row: int, weights: Tensor) -> dict[str, Tensor]:
    """Gradients of weighted sums of one point's outputs with respect to a layer's parameters, shape (k, ...), by name.

    weights: shape (k, n_outputs).
    """
    x, g = factors
    g_row = torch.eye(layer.d_out).to(x) if g is None else g[row].reshape(-1, layer.d_out)
    gradient = (weights.to(x) @ g_row.to(x))[:, :, None] * x[row]
    return _by_name(layer, gradient)


def summed_gradients(layer: Layer, factors: Factors, weights: Tensor) -> dict[str, Tensor]:
    """Gradients of sum_ic w_ic f_c(x_i) with respect to a layer's weight and bias, by name.

    weights: shape (n, n_outputs).
    """
    x, g = factors
    weights = weights.to(x)
    z = weights if g is None else (weights[:, :, None] * g.to(x).reshape(len(x), -1, layer.d_out)).sum(dim=1)
    return _by_name(layer, z.T @ x)


def squared_norms_of(factors: Factors) -> Tensor:
    """|x~_i|^2 |g_i|^2 of every point, shape (n,)."""
    x, g = factors
    of_x = x.double().square().sum(dim=1)
    return of_x if g is None else of_x * g.double().square().sum(dim=1)


def _by_name(layer: Layer, gradient: Tensor) -> dict[str, Tensor]:
    of_weight = {layer.weight: gradient[..., : layer.d_in]}
    return of_weight if gradient.shape[-1] == layer.d_in else {**of_weight, layer.bias: gradient[..., -1]}


def vectorized(function: Function, parameters: Sequence[str], X: Points) -> dict[str, Tensor]:
    """Gradients by parameter, shape (n, n_outputs, ...), for many points at a time with `torch.func.vmap`."""
    function = function.copied()  # so that no tensors of vmap are kept
    values = dict(function.module.named_parameters())
    wanted = {name: values[name] for name in parameters}

    def outputs(wanted: dict[str, Tensor], x: Any) -> Tensor:
        one = mapped(lambda t: t.unsqueeze(0), x)
        return function(function.padded(Tree(one) if isinstance(X, Tree) else one), wanted)[0]

    with sdpa_kernel(SDPBackend.MATH):  # the only attention backend that vmap supports
        found: dict[str, Tensor] = vmap(jacrev(outputs), in_dims=(None, 0))(
            wanted, X.tree if isinstance(X, Tree) else X
        )
    return {name: gradient.detach() for name, gradient in found.items()}


def point_by_point(function: Function, parameters: Sequence[str], X: Points) -> dict[str, Tensor]:
    """Gradients by parameter, shape (n, n_outputs, ...), computed point by point."""
    values = dict(function.module.named_parameters())
    outputs = torch.eye(function.n_outputs, device=X.device)
    found = {name: values[name].new_zeros(len(X), len(outputs), *values[name].shape) for name in parameters}
    for i in range(len(X)):
        for name, gradient in (exact(function, parameters, X[i : i + 1], outputs) or {}).items():
            found[name][i] = gradient
    return found


def exact(function: Function, parameters: Sequence[str], x: Points, weights: Tensor) -> dict[str, Tensor] | None:
    """Gradients of weighted sums of one point's outputs, shape (k, ...), by parameter; None if there are none.

    Args:
        x: a single point.
        weights: shape (k, n_outputs).

    Raises BmdalError if PyTorch cannot differentiate the network.
    """
    function = function.fresh()

    def outputs() -> Tensor:
        return weights @ function(function.padded(x))[0].to(weights)

    rows = _gradients(function, parameters, outputs, len(weights))
    return None if rows is None else {name: torch.stack([row[name] for row in rows]) for name in parameters}


def exact_sum(
    function: Function, parameters: Sequence[str], X: Points, weights: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Outputs and the gradients of sum_ic w_ic f_c(x_i), by parameter, with the points in two groups if possible.

    Args:
        X: n points.
        weights: shape (n, n_outputs).
    """
    function = function.fresh()
    found: list[Tensor] = []

    def outputs() -> Tensor:
        k = max(function.smallest, len(X) // 3)
        groups = [X[:k], X[k:]] if len(X) >= 2 * function.smallest else [X]
        found.append(torch.cat([function(group) for group in groups]))
        return (weights * found[0].to(weights)).sum()[None]

    rows = _gradients(function, parameters, outputs, 1)
    values = dict(function.module.named_parameters())
    return found[0].detach(), rows[0] if rows else {name: torch.zeros_like(values[name]) for name in parameters}


def _gradients(
    function: Function, parameters: Sequence[str], outputs: Callable[[], Tensor], n: int
) -> list[dict[str, Tensor]] | None:
    """The gradient of each of n numbers with respect to parameters of the function; None if there is none."""
    values = dict(function.module.named_parameters())
    leaves = [values[name] for name in parameters]
    try:
        for leaf in leaves:
            leaf.requires_grad_()
        with torch.enable_grad():
            f = outputs()
            if not f.requires_grad:
                return None
            rows = [torch.autograd.grad(f[k], leaves, retain_graph=k + 1 < n, materialize_grads=True) for k in range(n)]
    except Exception as error:
        if is_out_of_memory(error) or isinstance(error, BmdalError):
            raise
        raise NotDifferentiableError(f"the network cannot be differentiated: {error}") from error
    finally:
        for leaf in leaves:
            leaf.requires_grad_(False)
    return [{name: _dense(t) for name, t in zip(parameters, row, strict=True)} for row in rows]


def _dense(t: Tensor) -> Tensor:
    return t if t.layout == torch.strided else t.to_dense()


@contextmanager
def hooks(modules: Iterable[nn.Module], hook: Callable[..., Tensor | None]) -> Iterator[None]:
    handles = [module.register_forward_hook(hook) for module in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
