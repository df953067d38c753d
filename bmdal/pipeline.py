"""From networks and inputs to transformed features, in chunks of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from bmdal.errors import BmdalError
from bmdal.features import Features
from bmdal.inputs import Inputs
from bmdal.kernels import BaseKernel
from bmdal.method import Method
from bmdal.transformations import Ensemble, Fitted, Transformation

CHUNK_BYTES = {"cpu": 32 * 2**20, "cuda": 512 * 2**20}
"""Memory for what is computed on the way to the features of one chunk of points: on a CPU what its cache holds."""


@dataclass(frozen=True)
class FeatureMap:
    """The fitted map from inputs to the features that a selection method sees.

    Attributes:
        train: features of the training points.
        chunk_size: number of points that are mapped at a time.
    """

    train: Features
    chunk_size: int
    _map: Callable[[Tensor], Features]

    def __call__(self, X: Inputs) -> Features:
        """Features of the inputs X, shape (n, ...); X may live on another device than the features, or on disk."""
        return _in_chunks(self._map, X, self.chunk_size)


def fit_feature_map(
    method: Method,
    models: Sequence[nn.Module],
    x_train: Tensor,
    y_train: Tensor | None,
    generator: torch.Generator,
    device: torch.device,
) -> FeatureMap:
    """Compute the training features and fit the transformations on them, one after the other.

    Args:
        method: a method with a kernel.
        models: its `n_models` networks, in evaluation mode.
        x_train: inputs, shape (n_train, ...).
        y_train: labels, shape (n_train,), if the method needs them.
        generator: source of all random draws.
        device: where the features are to live.
    """
    assert method.kernel is not None
    at = next((i for i, t in enumerate(method.transformations) if isinstance(t, Ensemble)), 0)
    own, common = method.transformations[:at], method.transformations[at:]
    fit = _Fit(y_train, method.sigma, generator)

    chains: list[Callable[[Tensor], Features]] = []
    members: list[Features] = []
    point_bytes = 0
    for model in models:
        base = _base(method.kernel, model, device)
        member_bytes = _point_bytes(base, x_train)
        features = _in_chunks(base, x_train, _chunk_size(member_bytes, device))
        check_finite_features(method, "training points", features)
        train, fitted = fit(own, features)
        chains.append(_chain(base, fitted))
        members.append(train)
        point_bytes += member_bytes

    def combine(members: Sequence[Features]) -> Features:
        return members[0] if method.ensemble is None else method.ensemble.combine(members)

    train, fitted = fit(common, combine(members))
    point_bytes = max(point_bytes, len(models) * fit.largest_bytes // len(x_train))
    return FeatureMap(
        train=train,
        chunk_size=_chunk_size(point_bytes, device),
        _map=_chain(lambda X: combine([chain(X) for chain in chains]), fitted),
    )


@dataclass
class _Fit:
    """Fits transformations one after the other, and remembers how large the features got on the way."""

    y_train: Tensor | None
    sigma: float
    generator: torch.Generator
    largest_bytes: int = 0

    def __call__(self, transformations: Sequence[Transformation], train: Features) -> tuple[Features, list[Fitted]]:
        fitted: list[Fitted] = []
        for transformation in transformations:
            fitted.append(transformation.fit(train, self.y_train, self.sigma, self.generator))
            train = fitted[-1](train)
            self.largest_bytes = max(self.largest_bytes, train.nbytes)
        return train, fitted


def _base(kernel: BaseKernel, model: nn.Module, device: torch.device) -> Callable[[Tensor], Features]:
    model_device = next((t.device for t in (*model.parameters(), *model.buffers())), device)

    def features(X: Tensor) -> Features:
        X = X.to(model_device)
        return kernel.features(model, X.clone() if X.is_inference() else X).to(device=device)

    return features


def _point_bytes(base: Callable[[Tensor], Features], X: Tensor) -> int:
    """Memory for one point: its inputs, its features, or what the modules of a network return on the way to them."""
    outputs: dict[nn.Module, int] = {}

    def count(module: nn.Module, args: object, output: object) -> None:
        if isinstance(output, Tensor) and not any(module.children()):
            outputs[module] = max(outputs.get(module, 0), output.numel() * output.element_size())

    few = X[:2]  # not one: a network may drop dimensions of length one
    hook = register_module_forward_hook(count)
    try:
        features = base(few)
    finally:
        hook.remove()
    return max(few.nbytes, features.nbytes, sum(outputs.values())) // len(few)


def _chunk_size(point_bytes: int, device: torch.device) -> int:
    return max(1, min(CHUNK_BYTES[device.type] // (3 * point_bytes), 2**16))


def check_finite_features(method: Method, name: str, features: Features) -> None:
    """Raise BmdalError, naming the row, if the kernel of a point with itself is NaN or infinite."""
    bad = ~torch.isfinite(features.diag())
    if bool(bad.any()):
        rows = f"row {int(bad.nonzero()[0])} and {int(bad.sum()) - 1} others"
        raise BmdalError(
            f"method {method.name!r}: the kernel is NaN or infinite for {name} ({rows}); "
            "do the network's parameters hold NaN, or are its outputs unbounded?"
        )


def _chain(base: Callable[[Tensor], Features], fitted: Sequence[Fitted]) -> Callable[[Tensor], Features]:
    def features(X: Tensor) -> Features:
        result = base(X)
        for transformation in fitted:
            result = transformation(result)
        return result

    return features


def _in_chunks(f: Callable[[Tensor], Features], X: Inputs, size: int) -> Features:
    """f(X), computed for `size` points at a time and gathered without a second copy."""
    part = f(X[:size])
    if len(part) == len(X):
        return part
    whole = [torch.empty((len(X), *t.shape[1:]), dtype=t.dtype, device=t.device) for t in part.tensors()]
    for start in range(0, len(X), size):
        if start:
            part = f(X[start : start + size])
        for target, piece in zip(whole, part.tensors(), strict=True):
            target[start : start + size] = piece
    return part.with_tensors(whole)
