"""Per-sample gradients of a network's outputs with respect to its parameters, as features.

The gradients of a linear layer are products of two factors; all others are matrices. Factors are only correct for a
layer whose row i belongs to point i and whose parameters are not used anywhere else. This cannot be seen from outside,
so a plan is made first by comparing factors with gradients of single outputs at single points.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as all_modules

from bmdal.errors import BmdalError, is_out_of_memory
from bmdal.features import DenseFeatures, Features, ProductFeatures
from bmdal.layers import FactoredLayer, is_factored
from bmdal.network.network import Function, Network, check_same, tolerance, without_inference_tensors
from bmdal.network.per_point import (
    Factors,
    IrregularError,
    Layer,
    NotDifferentiableError,
    exact,
    exact_sum,
    factors,
    hooks,
    outer_products,
    point_by_point,
    squared_norms_of,
    summed_gradients,
    vectorized,
)
from bmdal.points import Items, Points, size_of

N_COMPARED = 3
"""Number of points whose gradients are compared."""


@dataclass(frozen=True)
class Plan:
    """How to compute the gradients with respect to some parameters.

    Attributes:
        layers: linear layers whose gradients are products of two factors.
        others: names of the other parameters.
        many_at_once: whether the gradients of the other parameters can be computed for many points at a time.
    """

    layers: tuple[Layer, ...]
    others: tuple[str, ...]
    many_at_once: bool


class UnfactoredError(Exception):
    """A layer does not factor on some later points; the network has recorded this, so start again."""


def gradients(network: Network, parameters: Sequence[str], X: Points) -> list[Features]:
    """Features of the gradients with respect to some parameters: one entry per linear layer, then per other parameter.

    The kernel of a layer is <x~, x~'> <g, g'> with its input x~ and g = df/dz, shape (n, n_outputs * d_out). The
    features of another parameter are a matrix (n, n_outputs * numel).

    Args:
        network: the network.
        parameters: names of the parameters.
        X: n points.

    Raises BmdalError if the parameters are not real or the outputs do not depend on them, and UnfactoredError if a
    layer behaves differently than on the points with which the plan was made.
    """
    names = tuple(parameters)
    if names not in network.plans:
        network.plans[names] = make_plan(network, names)
    plan: Plan = network.plans[names]
    function, n = network.function, len(X)
    found = _checked_factors(network, plan, function.padded(X))
    parts: list[Features] = []
    for layer in plan.layers:
        x, g = (None if t is None else _real(t[:n]) for t in found[layer.name])
        assert x is not None
        if g is None:  # dz/dz = I
            parts.append(DenseFeatures(x * function.n_outputs**0.5 if function.n_outputs > 1 else x))
        else:
            parts.append(ProductFeatures((DenseFeatures(x), DenseFeatures(g))))
    if plan.others:
        matrices = (vectorized if plan.many_at_once else point_by_point)(function, plan.others, X)
        parts += [DenseFeatures(_real(matrices[name].flatten(1))) for name in plan.others]
    return parts


def _checked_factors(network: Network, plan: Plan, X: Points) -> dict[str, Factors]:
    """The factors of a plan's layers, compared with autograd unless the network treats each point independently."""
    if not plan.layers:
        return {}
    wrong: set[str]
    try:
        outputs, found = factors(network.function, plan.layers, X)
        wrong = set() if network.function.by_points else _wrong_layers(network.function, plan.layers, X, outputs, found)
        if isinstance(X, Items):
            _check_alone(network.function, X, outputs)
    except IrregularError as error:
        wrong = error.layers
    except Exception as error:  # anything that PyTorch or a user's backward pass raises
        refused = isinstance(error, BmdalError) and not isinstance(error, NotDifferentiableError)
        if is_out_of_memory(error) or refused:
            raise
        wrong = {layer.name for layer in plan.layers}
    if wrong:
        network.unfactored |= wrong
        network.plans.clear()
        raise UnfactoredError(f"linear layers {sorted(wrong)} do not factor")
    return found


def _check_alone(function: Function, X: Items, outputs: Tensor) -> None:
    """Raise BmdalError if the smallest or largest items have different outputs on their own, e.g. due to padding."""
    sizes = [size_of(item) for item in X.items]
    order = sorted(range(len(X)), key=sizes.__getitem__)
    for i in dict.fromkeys([*order[:N_COMPARED], order[-1]]):
        check_same(function.fresh()(function.padded(X[[i]]))[:1], outputs[i : i + 1], outputs)


def _wrong_layers(
    function: Function, layers: Sequence[Layer], X: Points, outputs: Tensor, found: Mapping[str, Factors]
) -> set[str]:
    """Layers whose factors do not add up to the gradient of a random weighted sum of the outputs.

    For autograd, the points are in a different order and in two groups. Raises BmdalError if this changes the outputs.
    """
    n = len(X)
    generator = torch.Generator().manual_seed(n)
    order = torch.randperm(n, generator=generator, device="cpu").to(X.device)
    sizes = torch.stack([squared_norms_of(found[layer.name]) for layer in layers]).sum(dim=0).sqrt()
    weights = torch.randn(n, function.n_outputs, generator=generator, device="cpu").to(X.device)
    weights = weights / torch.where(sizes > 0, sizes, 1.0)[:, None].to(weights)  # so that no point dominates
    names = [name for layer in layers for name in (layer.weight, layer.bias)]
    present = dict(function.module.named_parameters())
    others, sums = exact_sum(function, [name for name in names if name in present], X[order], weights[order])
    check_same(others, outputs[order], outputs)
    wrong: set[str] = set()
    for layer in layers:
        for name, gradient in summed_gradients(layer, found[layer.name], weights).items():
            allowed = 5 * tolerance(outputs.dtype) * _largest(sums[name])
            if not _largest(gradient - sums[name]) <= allowed < torch.inf:
                wrong.add(layer.name)
    return wrong


def make_plan(network: Network, parameters: Sequence[str]) -> Plan:
    """The fastest way to compute gradients with respect to some parameters that is correct on the network's few points.

    Raises BmdalError as `gradients` does.
    """
    values = dict(network.module.named_parameters())
    if bad := [n for n in parameters if not values[n].is_floating_point() or values[n].layout != torch.strided]:
        raise BmdalError(
            f"parameter {bad[0]!r} is {values[bad[0]].dtype}, {values[bad[0]].layout}, but gradients need dense real "
            "numbers; try 'll' or 'linear'"
        )
    layers = _candidates(network, set(parameters))
    wrong, exists = _compare(network, parameters, _by_factors(layers))
    if not exists and not _any_gradient(network, parameters):
        raise BmdalError(
            "there is no gradient: the network computes under torch.no_grad, or detaches its outputs from "
            f"{', '.join(parameters[:4])}{', ...' if len(parameters) > 4 else ''}"
        )
    layers = [layer for layer in layers if not wrong & {layer.weight, layer.bias}]
    factored = {name for layer in layers for name in (layer.weight, layer.bias)}
    others = tuple(name for name in parameters if name not in factored)
    plan = Plan(tuple(layers), others, bool(others) and _many_at_once(network, others))
    network.forget_twin()
    return plan


ByPoint = Callable[[Function, Points, list[int], Tensor], Iterator[Mapping[str, Tensor]]]
"""Yields, for each of some rows, the gradients of weighted sums of the outputs, shape (k, ...), by parameter."""


def _compare(network: Network, parameters: Sequence[str], by_point: ByPoint) -> tuple[set[str], bool]:
    """Compare gradients on the few points with those of single points, for random weighted sums of the outputs.

    The points are shuffled, because their own order may happen to be sorted.
    Returns: names of the parameters for which the gradients differ, and whether any parameter has a gradient.
    """
    function, points = network.precise
    points = points[_shuffled(len(points))]
    n, k = min(len(points), N_COMPARED), min(function.n_outputs, 2)
    rows = [i * (len(points) - 1) // max(1, n - 1) for i in range(n)]
    weights = torch.randn(
        k, function.n_outputs, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device="cpu"
    )
    weights = weights.to(points.device, points.dtype if points.is_floating_point() else torch.float64)
    error: dict[str, float] = {}
    allowed: dict[str, float] = {}
    exists = False
    for i, found in zip(rows, by_point(function, points, rows, weights), strict=True):
        right = exact(function.copied(), parameters, points[i : i + 1], weights)
        exists = exists or right is not None
        for name, gradient in found.items():
            expected = torch.zeros_like(gradient) if right is None else right[name].to(gradient)
            error[name] = max(error.get(name, 0.0), _largest(gradient - expected))
            allowed[name] = max(allowed.get(name, 0.0), tolerance(expected.dtype) * _largest(expected))
    return {name for name in error if not error[name] <= allowed[name] < torch.inf}, exists


def _any_gradient(network: Network, parameters: Sequence[str]) -> bool:
    """Whether the outputs of any of the few points depend on the parameters: an expert may only see some of them."""
    function, points = network.precise
    weights = torch.ones(1, function.n_outputs, device=points.device)
    rows = range(len(points))
    return any(exact(function.copied(), parameters, points[i : i + 1], weights) is not None for i in rows)


def _by_factors(layers: list[Layer]) -> ByPoint:
    """Gradients as products of factors; layers that turn out not to factor are removed from the list."""

    def by_point(
        function: Function, points: Points, rows: list[int], weights: Tensor
    ) -> Iterator[Mapping[str, Tensor]]:
        found: dict[str, Factors] = {}
        while layers and not found:
            try:
                _, found = factors(function, layers, function.padded(points))
            except IrregularError as error:
                layers[:] = [layer for layer in layers if layer.name not in error.layers]
            except Exception as error:  # PyTorch cannot differentiate to inner layers, e.g. in a checkpointed part
                if is_out_of_memory(error):
                    raise
                layers.clear()
        for i in rows:
            products = [outer_products(layer, found[layer.name], i, weights) for layer in layers]
            yield {name: gradient for of_layer in products for name, gradient in of_layer.items()}

    return by_point


def _many_at_once(network: Network, parameters: Sequence[str]) -> bool:
    """Whether vmap works and is correct. It is not used with user hooks, which might keep its short-lived tensors."""

    def by_point(
        function: Function, points: Points, rows: list[int], weights: Tensor
    ) -> Iterator[Mapping[str, Tensor]]:
        found = vectorized(function, parameters, points[rows])
        for i in range(len(rows)):
            yield {name: torch.tensordot(weights.to(t), t[i], 1) for name, t in found.items()}

    hooks = [h for m in network.model.modules() for h in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]
    if (
        isinstance(network.points, Items)
        or has_global_hooks()
        or not all(_module_of(hook).startswith("torch.") for hook in hooks)
    ):
        return False
    try:
        return not _compare(network, parameters, by_point)[0]
    except Exception as error:  # vmap raises many kinds for what it does not support
        if is_out_of_memory(error):
            raise
        return False


def _candidates(network: Network, parameters: set[str]) -> list[Layer]:
    """Linear layers that are called once, with one row per point, and whose parameters nothing else uses."""
    function, points = network.function.copied(), network.function.padded(network.points)
    module = function.module
    uses = Counter(id(p) for m in module.modules() for p in m._parameters.values() if p is not None)
    names = {
        cast(FactoredLayer, m): name
        for name, m in module.named_modules()
        if is_factored(m)
        and not has_global_hooks()
        and "forward" not in m.__dict__
        and name not in network.unfactored
        and all(uses[id(p)] == 1 for p in m.parameters())
        and all((f"{name}.{p}" if name else p) in parameters - function.used_again for p, _ in m.named_parameters())
        and isinstance(m.bias, nn.Parameter | None)
        and m.weight.numel()
        and not m._forward_hooks
        and list(m._forward_pre_hooks.values()) == [without_inference_tensors]
    }
    half = any(p.is_floating_point() and p.itemsize < 4 for p in module.parameters())
    if half and not function.by_points:  # too imprecise for the comparison on every chunk
        return []
    calls: dict[FactoredLayer, list[tuple[torch.Size, Tensor, int]]] = {m: [] for m in names}

    def record(layer: FactoredLayer, args: tuple[Tensor, ...], output: Tensor) -> None:
        calls[layer].append((args[0].shape if args else torch.Size(), output, _version(output)))

    with hooks(names, record):
        outputs = function(points)
    layers: list[Layer] = []
    for m, name in names.items():
        if len(calls[m]) == 1 and calls[m][0][0][:-1] == (len(points),):
            _, z, version = calls[m][0]
            in_place = _version(z) > version
            is_output = not in_place and z.shape == outputs.shape and z.data_ptr() == outputs.data_ptr()
            d_out, d_in = m.weight.shape
            layers.append(Layer(name, d_out, d_in, in_place, is_output))
    return layers


def _version(t: Tensor) -> int:
    return 0 if t.is_inference() else t._version


def _shuffled(n: int) -> list[int]:
    """0..n-1 in an order that is neither ascending nor descending: last, first, last but one, second, ..."""
    return [n - 1 - i // 2 if i % 2 == 0 else i // 2 for i in range(n)]


def _largest(t: Tensor) -> float:
    """The largest magnitude; infinite if a value is NaN, so that it differs from everything."""
    return float(t.abs().nan_to_num(torch.inf, torch.inf).max()) if t.numel() else 0.0


def has_global_hooks() -> bool:
    """Whether global module hooks are registered."""
    kinds = ("backward_pre", "backward", "forward_pre", "forward")
    return any(getattr(all_modules, f"_global_{kind}_hooks") for kind in kinds)


def _module_of(hook: object) -> str:
    return f"{getattr(hook, '__module__', None) or type(hook).__module__}."


def _real(t: Tensor) -> Tensor:
    """The tensor in at least float32, because half precision is too imprecise for kernels."""
    return t.to(torch.promote_types(t.dtype, torch.float32))
