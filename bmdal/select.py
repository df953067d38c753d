"""The front door of the library: from trained networks and data to the points to label next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bmdal.errors import BmdalError
from bmdal.features import DenseFeatures, Features
from bmdal.method import Method
from bmdal.network.gradients import evaluation_mode
from bmdal.pipeline import fit_feature_map
from bmdal.randomness import permutation
from bmdal.selection import SelectionProblem

MAX_EFFECTIVE_DIMENSION_COLUMNS = 1000


@dataclass(frozen=True)
class Batch:
    """What `select_batch` chose.

    Attributes:
        indices: rows of `x_pool` in the order of selection, shape (batch_size,), int64 on the CPU, no repeats.
        n_filled: how many of them, the last ones, are random because the method could not go on.
        kernel_seconds: wall-clock time for features and transformations.
        selection_seconds: wall-clock time for the selection itself.
        effective_dimension: tr(C) / lambda_max(C) for the centred second-moment matrix C of the pool features, if
            asked for; None if they have no explicit matrix, no columns or more than 1000.
    """

    indices: Tensor
    n_filled: int
    kernel_seconds: float
    selection_seconds: float
    effective_dimension: float | None


def select_batch(
    method: Method,
    models: Sequence[nn.Module],
    x_train: Tensor,
    y_train: Tensor | None,
    x_pool: Tensor,
    batch_size: int,
    generator: torch.Generator,
    device: torch.device | str | None = None,
    with_effective_dimension: bool = False,
) -> Batch:
    """Choose the pool points that should be labelled next (arXiv 2203.09410, Algorithm 1).

    The networks come back unchanged: parameters, gradients, modes and hooks.

    Args:
        method: what to do, e.g. `Method.from_name("lcmd-tp_grad_rp-512")`.
        models: the trained networks, `method.n_models` of them. Each maps inputs (n, ...) to outputs (n,) or
            (n, n_outputs).
        x_train: inputs of the labelled points, shape (n_train, ...).
        y_train: their labels, shape (n_train,) or (n_train, 1); only for methods that use them, None otherwise.
        x_pool: inputs to choose from, shape (n_pool, ...); may be on the CPU while the networks are on a GPU.
        batch_size: number of points to choose, 1 <= batch_size <= n_pool.
        generator: source of all random draws; the same generator state gives the same batch.
        device: where features are kept and the selection runs; by default the device of the first network.
        with_effective_dimension: also compute `Batch.effective_dimension`.

    Raises BmdalError for input that cannot be used; the message says which and why.
    """
    _check(method, models, x_train, x_pool, batch_size)
    y_train = _labels(method, y_train, len(x_train))
    device = torch.device(device) if device is not None else _device(models, x_pool)
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(_full_float32_precision())
        for model in models:
            stack.enter_context(evaluation_mode(model))
        start = _now(device)
        if method.kernel is None:
            train: Features = DenseFeatures(torch.empty(len(x_train), 0, device=device))
            pool: Features = DenseFeatures(torch.empty(len(x_pool), 0, device=device))
        else:
            feature_map = fit_feature_map(method, models, x_train, y_train, generator, device)
            train, pool = feature_map.train, feature_map(x_pool)
            _check_finite_features(method, pool)
        if method.selection.needs_float64:
            train, pool = train.to(dtype=torch.float64), pool.to(dtype=torch.float64)
        kernel_seconds = _now(device) - start
        effective_dimension = _effective_dimension(pool) if with_effective_dimension else None
        start = _now(device)
        problem = SelectionProblem(train, pool, method.mode, method.sigma, generator)
        chosen = method.selection.select(problem, batch_size)
        indices = _fill(chosen, len(pool), batch_size, generator)
        selection_seconds = _now(device) - start
    return Batch(
        indices=indices.cpu(),
        n_filled=batch_size - len(chosen),
        kernel_seconds=kernel_seconds,
        selection_seconds=selection_seconds,
        effective_dimension=effective_dimension,
    )


def _fill(chosen: Tensor, n_pool: int, batch_size: int, generator: torch.Generator) -> Tensor:
    """Fill a batch with random points that are not in it yet."""
    if len(chosen) == batch_size:
        return chosen
    order = permutation(n_pool, generator, chosen.device)
    others = order[~torch.isin(order, chosen)]
    return torch.cat([chosen, others[: batch_size - len(chosen)]])


def _effective_dimension(pool: Features) -> float | None:
    """tr(C) / lambda_max(C) with C = sum_i (phi_i - mean) (phi_i - mean)^T; 0 if all points are equal."""
    if pool.n_features is None or not 0 < pool.n_features <= MAX_EFFECTIVE_DIMENSION_COLUMNS:
        return None
    Phi = pool.matrix()
    mean = Phi.mean(dim=0, dtype=torch.float64).to(Phi)
    C = torch.zeros(Phi.shape[1], Phi.shape[1], dtype=torch.float64, device=Phi.device)
    for start in range(0, len(Phi), 2**14):
        centred = Phi[start : start + 2**14] - mean
        C += centred.T @ centred
    largest = float(torch.linalg.eigvalsh(C)[-1])
    return float(C.trace()) / largest if largest > 0 else 0.0


def _check(method: Method, models: Sequence[nn.Module], x_train: Tensor, x_pool: Tensor, batch_size: int) -> None:
    if isinstance(models, nn.Module):
        raise BmdalError("models must be a list of networks, also for a single one: models=[net]")
    if not 1 <= batch_size <= len(x_pool):
        raise BmdalError(f"batch_size must be between 1 and the pool size {len(x_pool)}, got {batch_size}")
    if len(x_train) == 0:
        raise BmdalError("x_train is empty: the kernels are scaled and conditioned on at least one training point")
    if x_train.shape[1:] != x_pool.shape[1:]:
        shapes = f"{tuple(x_train.shape)} and {tuple(x_pool.shape)}"
        raise BmdalError(f"x_train and x_pool must agree in all dimensions but the first, they have shapes {shapes}")
    if method.kernel is not None and len(models) != method.n_models:
        raise BmdalError(f"method {method.name!r} takes {method.n_models} model(s), {len(models)} were given")
    for name, x in (("x_train", x_train), ("x_pool", x_pool)):
        if x.is_floating_point():
            _check_finite(name, x)


def _labels(method: Method, y_train: Tensor | None, n_train: int) -> Tensor | None:
    if not method.needs_labels:
        return None
    if y_train is None:
        raise BmdalError(f"method {method.name!r} needs the training labels y_train")
    if y_train.shape not in ((n_train,), (n_train, 1)):
        shape = tuple(y_train.shape)
        raise BmdalError(f"y_train must have shape ({n_train},) or ({n_train}, 1), it has {shape}")
    _check_finite("y_train", y_train)
    return y_train.flatten()


def _check_finite(name: str, x: Tensor) -> None:
    for start in range(0, len(x), 2**16):
        bad = ~torch.isfinite(x[start : start + 2**16].flatten(1) if x.ndim > 1 else x[start : start + 2**16, None])
        if bool(bad.any()):
            row = start + int(bad.any(dim=1).nonzero()[0])
            raise BmdalError(f"{name} has a NaN or infinite value in row {row}")


def _check_finite_features(method: Method, pool: Features) -> None:
    bad = ~torch.isfinite(pool.diag())
    if bool(bad.any()):
        rows = f"row {int(bad.nonzero()[0])} and {int(bad.sum()) - 1} others"
        raise BmdalError(
            f"method {method.name!r}: the kernel is NaN or infinite for pool points ({rows}); "
            "do the network's parameters hold NaN, or are its outputs unbounded?"
        )


def _device(models: Sequence[nn.Module], x_pool: Tensor) -> torch.device:
    return next((p.device for model in models for p in model.parameters()), x_pool.device)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


@contextmanager
def _full_float32_precision() -> Iterator[None]:
    """No TF32 within this context: distances are differences of large numbers."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
