"""The front door of the library: from trained networks and data to the points to label next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from bmdal.batch import Batch, as_generator, as_labels, check_batch_size, check_target, choose, now, with_ids
from bmdal.errors import BmdalError
from bmdal.features import DenseFeatures, Features
from bmdal.from_predictions import select_by_predictions
from bmdal.inputs import (
    Inputs,
    Table,
    as_inputs,
    check_columns,
    check_finite,
    few_points,
    first_point,
    in_one_precision,
    may_cast,
)
from bmdal.kernels import Predictions
from bmdal.method import Method
from bmdal.network.copies import unwrapped
from bmdal.network.modes import plain_arithmetic
from bmdal.network.network import Network
from bmdal.pipeline import CHUNK_BYTES, transformed_features


def select_batch(
    method: Method | str | None,
    models: Any,
    x_train: Table | Dataset[Any] | None,
    y_train: Table | None,
    x_pool: Table | Dataset[Any],
    batch_size: int,
    generator: torch.Generator | int,
    device: torch.device | str | None = None,
    with_effective_dimension: bool = False,
    x_target: Table | Dataset[Any] | None = None,
) -> Batch:
    """Choose the pool points that should be labelled next (arXiv 2203.09410, Algorithm 1).

    Private copies of the networks are looked at, in evaluation mode: the networks, the points and the global random
    generators are afterwards as they were. Networks may be compiled, wrapped for data parallelism, half precise or
    frozen. What a point's output is must depend on that point alone; this is checked on a few points.

    Points are tensors, which are used as they are, or numpy arrays or pandas frames. Where a network does not take
    their precision, they are cast to its own, unless this would lose what they differ in. A map-style
    `torch.utils.data.Dataset` with items x or (x, ...) is read once, in pieces, after a look at a few items; what
    stays in memory are its features (`rp-512`: 2 KB a point), which for `linear` and `nngp` without a sketch are
    the inputs themselves.

    Args:
        method: what to do, e.g. "lcmd-tp_grad_rp-512", by name or as a value; None is that one for networks, and
            "bait-f-p_pred" for models with members.
        models: the trained network, or `method.n_models` of them; each maps inputs (n, ...) to outputs (n,) or
            (n, n_outputs). A fitted `NetworkRegressor` stands for its networks. For the kernel `pred` whatever has
            members: a fitted forest, a list of fitted models, `MCDropout(net)`: see `bmdal.members`.
        x_train: inputs of the labelled points, shape (n_train, ...), at least one; for `pred` None, if the method does
            not look at them.
        y_train: their labels, shape (n_train,) or (n_train, 1); only for methods that use them, None otherwise.
        x_pool: inputs to choose from, shape (n_pool, ...); may be on the CPU while the networks are on a GPU.
        batch_size: number of points to choose, 1 <= batch_size <= n_pool.
        generator: source of all random draws, or a seed; the same generator state gives the same batch, on a GPU up to
            rounding: some of its sums have no fixed order.
        device: where features are kept and the selection runs; by default the device of the first network.
        with_effective_dimension: also compute `Batch.effective_dimension`; not for the kernel `pred`.
        x_target: inputs of the points that matter, shape (n_target, ...), for `epig`, `bait-f` and `bait-fb`: where the
            network will be used, say. Labels are not needed.

    Raises BmdalError for input that cannot be used; the message says which and why.
    """
    method = _method(method, models)
    if isinstance(method.kernel, Predictions):
        tables = {"x_train": x_train, "x_pool": x_pool, "x_target": x_target}
        given = {name: table for name, table in tables.items() if table is not None}
        if device is not None:
            raise BmdalError(
                f"method {method.name!r}: features of predictions are on the CPU, leave device={device!r} out"
            )
        return with_ids(select_by_predictions(method, models, given, y_train, batch_size, generator), x_pool)
    models = _models(method, models)
    if x_train is None:
        raise BmdalError(f"method {method.name!r} needs labelled points, x_train; `select` takes features without any")
    points: dict[str, Inputs] = {"x_train": as_inputs("x_train", x_train), "x_pool": as_inputs("x_pool", x_pool)}
    if x_target is not None:
        points["x_target"] = as_inputs("x_target", x_target)
    check_columns({"x_train": x_train, "x_pool": x_pool, "x_target": x_target})
    check_target(method, x_target)
    generator = as_generator(generator)
    _check(points, batch_size)
    castable = any(may_cast(given, X) for given, X in zip((x_train, x_pool, x_target), points.values(), strict=False))
    X_train, *others = in_one_precision(points, castable)
    y = as_labels(method, y_train, len(X_train))
    with plain_arithmetic(models):
        device = _device(device, models, others[0])
        start = now(device)
        if method.kernel is None:
            train: Features = DenseFeatures(torch.empty(len(X_train), 0, device=device))
            pool: Features = DenseFeatures(torch.empty(len(others[0]), 0, device=device))
            target: list[Features] = []
        else:
            few = few_points(X_train, others[0])
            networks = [Network(model, few, castable) for model in models]
            train, pool, *target = transformed_features(method, networks, X_train, y, others, generator, device)
        seconds, of_target = now(device) - start, next(iter(target), None)
        batch = choose(method, train, pool, batch_size, generator, seconds, of_target, with_effective_dimension)
    return with_ids(batch, x_pool)


def _method(method: Method | str | None, models: Any) -> Method:
    if method is None:
        listed = models if isinstance(models, list | tuple) else [models]
        networks = all(isinstance(model, nn.Module) or hasattr(model, "networks_") for model in listed)
        method = "lcmd-tp_grad_rp-512" if networks else "bait-f-p_pred"
    if isinstance(method, str):
        return Method.from_name(method)
    if not isinstance(method, Method):
        raise BmdalError(f"method must be a name such as 'lcmd-tp_grad_rp-512' or a bmdal.Method, got {method!r}")
    return method


def _models(method: Method, models: Any) -> list[nn.Module]:
    if method.kernel is None:
        return []
    models = getattr(models, "networks_", models)
    single = isinstance(models, nn.Module) and type(models) is not nn.ModuleList
    given: Any = [models] if single else models
    if not isinstance(given, Sequence | nn.ModuleList) or isinstance(given, str):
        hint = "; models with members, such as forests, go with 'bait-f-p_pred'" if hasattr(models, "predict") else ""
        raise BmdalError(f"models must be a torch.nn.Module or a list of them, got {models!r}{hint}")
    for model in given:
        if not isinstance(model, nn.Module):
            raise BmdalError(f"models must be a torch.nn.Module or a list of them, it holds a {type(model).__name__}")
    if len(given) != method.n_models:
        hint = f"; with 'ens-{len(given)}' in its name it would take them all" if len(given) > 1 else ""
        raise BmdalError(f"method {method.name!r} takes {method.n_models} model(s), {len(given)} were given{hint}")
    return [unwrapped(model) for model in given]


def _check(points: Mapping[str, Inputs], batch_size: int) -> None:
    for name, x in points.items():
        if isinstance(x, Tensor) and x.ndim == 0:
            raise BmdalError(f"{name} must have shape (n, ...), it is a single number")
        if isinstance(x, Tensor) and len(x) and x[0].numel() == 0:
            raise BmdalError(f"{name} has shape {tuple(x.shape)}: its points have no inputs")
    check_batch_size(batch_size, len(points["x_pool"]))
    if len(points["x_train"]) == 0:
        raise BmdalError("x_train is empty: label at least one point first, kernels are scaled by the labelled ones")
    if "x_target" in points and len(points["x_target"]) == 0:
        raise BmdalError("x_target is empty: leave it out")
    shapes = {name: (len(x), *first_point(x).shape[1:]) for name, x in points.items()}
    if len({shape[1:] for shape in shapes.values()}) > 1:
        text = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise BmdalError(f"points must agree in all dimensions but the first, they have shapes {text}")
    for name, x in points.items():
        if isinstance(x, Tensor):  # a stream is checked when it is read
            check_finite(name, x)


def _device(given: torch.device | str | None, models: Sequence[nn.Module], x_pool: Inputs) -> torch.device:
    usual = x_pool.device if isinstance(x_pool, Tensor) else torch.device("cpu")
    usual = next((p.device for model in models for p in model.parameters()), usual)
    try:
        device = torch.device(given) if given is not None else usual
    except (RuntimeError, TypeError):
        device = torch.device("meta")
    if device.type not in CHUNK_BYTES or (device.type == "cuda" and not torch.cuda.is_available()):
        valid = "cpu, cuda, cuda:0, ..." if torch.cuda.is_available() else "cpu"
        raise BmdalError(f"features cannot be kept on device={str(given or usual)!r}; valid here: device={valid}")
    return device
