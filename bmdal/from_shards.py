"""Select points from a pool that is spread over the processes of a group."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor

from bmdal.batch import Batch, Request, as_labels, check_batch_size, choose, now
from bmdal.errors import BmdalError, IncompatibleError
from bmdal.features import DenseFeatures, Features
from bmdal.features.shard import Shard, explicit
from bmdal.group import Traffic
from bmdal.inputs import Inputs, first_point
from bmdal.kernels import Predictions, Traits
from bmdal.method import Method
from bmdal.part import Part
from bmdal.pipeline import check_finite_kernel, check_kinds, fit
from bmdal.points import leaves, with_dtypes
from bmdal.processes import Processes
from bmdal.rules import Fingerprints, fingerprints, repeats
from bmdal.tables import as_tensor

N_PROBE = 64
"""Number of points on which the processes check that they have fitted the same transformations."""


def choose_from_shards(
    processes: Processes,
    request: Request,
    shard: Shard,
    others: Mapping[str, Features],
    y_train: Any,
    sharded_train: bool,
) -> Batch:
    """The batch from the features that all processes hold: the same in each, with row numbers of the whole pool.

    Raises BmdalError in all processes if their requests differ, or for what is wrong in some, with the ranks.

    Args:
        request: with the rules for this process's points.
        shard: this process's points.
        others: features of "train" and "target" points, if there are any.
        y_train: labels of the training points.
        sharded_train: whether each process has other training points, rather than the same.
    """
    method, rules = request.method, request.rules
    with processes.together():
        _check_supported(method, Traits(explicit=True, sketchable=True))
        _check_matrices(shard, others)
        if sharded_train and y_train is not None and len(y_train) != len(others.get("train", ())):
            n_train = len(others.get("train", ()))
            raise BmdalError(
                f"y_train must have one row for each of the {n_train} training points, it has {len(y_train)}"
            )
        asked = _asked(request, shard.device) | {
            "pool": f"{shard.stored.dtype} with {shard.n_features} columns",
            "sharded_train": sharded_train,
        }
        for name, points in {**dict.fromkeys(("train", "y_train", "target")), **others, "y_train": y_train}.items():
            asked[name] = _summary(points, sharded_train and name != "target")
    processes.agree(asked)
    if sharded_train and "train" in others:
        others = {**others, "train": DenseFeatures(processes.concatenated(others["train"].matrix()))}
        y_train = None if y_train is None else processes.concatenated(as_tensor("y_train", y_train))
    processes = processes.holding(len(shard), len(rules.rows))
    with processes.together():
        check_batch_size(request.batch_size, processes.count(shard))
    shard = shard.only(rules.rows, processes.start)
    dtype = reduce(torch.promote_types, [f.dtype for f in (shard, *others.values())])
    shard, others = shard.to(dtype=dtype), {name: f.to(dtype=dtype) for name, f in others.items()}
    train = others.get("train", shard[:0].in_one_matrix())
    if request.distinct:
        of_blocks = [fingerprints(shard[rows].in_one_matrix().matrix(), [shard.dtype]) for rows in shard.slices(0)]
        own = torch.cat([torch.empty(0, dtype=torch.long), *of_blocks])
        request = _with_copies_last(processes, request, fingerprints(train.matrix(), [shard.dtype]), own)
    start = now(shard.device)
    with processes.together():
        check_kinds(method, train, [shard[:0].in_one_matrix(), *([others["target"]] if "target" in others else [])])
        check_finite_kernel(method, "pool", shard)
        y = as_labels(method, y_train, len(train))
        train, transformed = fit(method, train, y, request.generator)
        target = transformed(others["target"]) if "target" in others else None
        probe = transformed(_probe(shard))
        shard = shard.transformed(transformed) if method.transformations else shard
        if method.transformations:  # as `transform` does
            for name, features in zip(("train", "pool", "target"), (train, shard, target), strict=True):
                if features is not None:
                    check_finite_kernel(method, name, features)
    processes.agree({"the fitted transformations": _digest(*train.tensors(), *probe.tensors())})
    seconds = now(shard.device) - start
    return choose(request, train, shard, seconds, target, group=_counting_anew(processes))


def of_one_type(
    processes: Processes, points: Mapping[str, Inputs], castable: bool, without_pool: bool
) -> tuple[dict[str, Inputs], bool]:
    """The points, by name, and whether they may be cast in any process.

    A process that holds no point of the pool gets the type of the others' points. Raises BmdalError if these differ.
    """
    castable = any(processes.objects(castable))
    own = None if without_pool else tuple(t.dtype for t in leaves(first_point(points["x_pool"])))
    types = processes.agree({"the type of x_pool": own})["the type of x_pool"]
    with processes.together():
        if without_pool and types is not None:
            return {**points, "x_pool": with_dtypes(first_point(points["x_pool"]), types)}, castable
    return dict(points), castable


def choose_from_parts(
    processes: Processes,
    request: Request,
    features: Callable[[Part], Sequence[Features]],
    x_train: Fingerprints,
    x_pool: Fingerprints,
    y_train: Tensor | None,
    device: torch.device,
) -> Batch:
    """The batch from networks and the points that all processes hold, as `choose_from_shards`.

    Args:
        features: maps this process's part of the pool to the transformed features of the training points, the part, and
            the target points if there are any.
        x_train, x_pool: the training points, and this process's part of the pool.
        y_train: labels of the training points, if the method needs them.
    """
    method, rules = request.method, request.rules
    with processes.together():
        _check_supported(method, Traits(True, True) if method.kernel is None else method.kernel.traits)
        of_points = {"x_train": f"{len(x_train)} rows", "y_train": _summary(y_train, False)}
    processes.agree(_asked(request, device) | of_points)
    first, n_pool = processes.span(len(x_pool))
    processes = processes.holding(len(x_pool), len(rules.rows))
    with processes.together():
        check_batch_size(request.batch_size, sum(processes.sizes))
    start = now(device)
    with processes.together():
        train, pool, *others = [explicit(f) for f in features(Part(x_pool, first, n_pool))]
        target = next(iter(others), None)
        state = _digest(*train.tensors(), *(() if target is None else target.tensors()), request.generator.get_state())
    processes.agree({"the digest of the features of x_train and x_target": state})
    if request.distinct:
        of_train, of_part = x_train.of_all(), x_pool.of_all()
        if None in processes.objects(None if of_train is None or of_part is None else True):
            request = request.without_copies(None, None)
        else:
            assert of_train is not None
            assert of_part is not None
            request = _with_copies_last(processes, request, of_train, of_part[rules.rows])
    seconds = now(device) - start
    shard = Shard(pool.matrix()).only(rules.rows, processes.start)
    return choose(request, train, shard, seconds, target, group=_counting_anew(processes))


def _counting_anew(processes: Processes) -> Processes:
    """The same processes, for which everything sent so far was before the selection."""
    before = processes.traffic
    return replace(processes, traffic=Traffic(0, 0, before.messages, before.n_bytes))


def _check_supported(method: Method, traits: Traits) -> None:
    if not method.selection.takes_group:
        raise IncompatibleError(
            f"method {method.name!r}: {method.selection.name!r} needs the whole pool in one process"
        )
    for transformation in method.transformations:
        traits = transformation.traits(traits)
    if not traits.explicit:
        raise IncompatibleError(
            f"method {method.name!r}: over a group the transformed features must be a matrix; add 'rp-512' at the end"
        )
    if isinstance(method.kernel, Predictions):
        raise IncompatibleError(
            f"method {method.name!r}: over a group predictions are not put into units of their spread; do that "
            "yourself, and leave the kernel out"
        )


def _check_matrices(shard: Shard, others: Mapping[str, Features]) -> None:
    for name, points in others.items():
        if not isinstance(points, DenseFeatures):
            raise IncompatibleError(f"over a group {name} must be a matrix of features, it is {type(points).__name__}")
        if points.device != shard.device:
            raise BmdalError(f"{name} is on {points.device} and the pool on {shard.device}: move one of them")


def _asked(request: Request, device: torch.device) -> dict[str, Hashable]:
    """What must be the same in all processes."""
    return _machine(device) | {
        "method": request.method.name,
        "batch_size": str(request.batch_size),
        "the state of the generator": _digest(request.generator.get_state()),
        "sigma": request.method.sigma,
        "costs": "given" if request.rules.limits.costs is not None else "not given",
        "distinct": request.distinct,
    }


def _machine(device: torch.device) -> dict[str, Hashable]:
    """What may change the rounding of a product."""
    cuda = device.type == "cuda"
    return {
        "the version of torch": torch.__version__,
        "the device": torch.cuda.get_device_name(device) if cuda else torch.backends.cpu.get_cpu_capability(),
        "torch.get_num_threads()": torch.get_num_threads(),
    }


def _summary(points: Any, sharded: bool) -> str:
    """What must be the same in all processes."""
    if points is None:
        return "not given"
    t = points.matrix() if isinstance(points, Features) else as_tensor("y_train", points)
    kind = f"{t.dtype} of shape (n, {', '.join(map(str, t.shape[1:]))})"
    return f"in shards, {kind}" if sharded else f"{len(t)} rows, {kind}, with digest {_digest(t)}"


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for t in tensors:
        digest.update(t.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _probe(shard: Shard) -> Features:
    """Points that are the same in every process."""
    like = shard[:0].matrix()
    numbers = torch.arange(N_PROBE * like.shape[1]).reshape(N_PROBE, -1)
    return DenseFeatures(numbers.to(like).sin())


def _with_copies_last(processes: Processes, request: Request, of_train: Tensor, own: Tensor) -> Request:
    """The request in which copies of training points and of points with a lower index come last.

    of_train, own: fingerprints of the training points, and of this process's points.
    """
    is_copy = torch.isin(own, of_train) | repeats(own)
    for rank, theirs in enumerate(processes.of_each(own)):
        if rank < processes.rank:
            is_copy |= torch.isin(own, theirs)
    n_copies, n_pool = processes.span(int(is_copy.sum()))[1], sum(processes.sizes)
    if not n_copies:
        return request
    return replace(request, rules=request.rules.copies_last(request.method, is_copy, n_copies, n_pool))
