"""Select points to label from given features, embeddings, kernels or predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bmdal.batch import Batch, Request, as_generator, as_labels, check_batch_size, check_target, choose, now, with_ids
from bmdal.errors import BmdalError, IncompatibleError
from bmdal.features import DenseFeatures, Features, StoredFeatures
from bmdal.features.shard import Shard
from bmdal.files import FLOATS, mapped, read_features
from bmdal.from_shards import choose_from_shards
from bmdal.inputs import as_inputs
from bmdal.kernels import Linear, Predictions
from bmdal.kernels.predictions import as_predictions, centred
from bmdal.linalg import spread
from bmdal.method import Method
from bmdal.network.modes import plain_arithmetic
from bmdal.pipeline import check_kinds, transform
from bmdal.points import given_to_networks
from bmdal.processes import Processes
from bmdal.randomness import unchanged_after_error
from bmdal.rules import Fingerprinted, Rules, fingerprints, fingerprints_of_stored
from bmdal.selection import Outcomes, Selection
from bmdal.tables import Table, check_columns, check_finite, frame_of

PART = 4096
"""Number of rows of a data set that are read at a time."""
Points = Features | Table | Dataset[Any] | DataLoader[Any] | Path | str
"""Features of points: `Features`, a matrix with one row per point, a data set or loader of such rows, or a file."""


def select(
    method: Method | Selection | str,
    pool: Points,
    batch_size: int,
    generator: torch.Generator | int,
    *,
    train: Points | None = None,
    y_train: Table | None = None,
    target: Points | None = None,
    sigma: float | None = None,
    exclude: Any = None,
    groups: Any = None,
    per_group: int = 1,
    costs: Any = None,
    distinct: bool = True,
    group: Any = None,
    sharded_train: bool = False,
) -> Batch:
    """Select the points to label next, given features of all points: embeddings, a kernel or predictions.

        select("lcmd-tp", pool=embeddings, batch_size=50, generator=0, train=embeddings_of_labelled)
        select("lcmd-p", pool=embeddings, batch_size=50, generator=0)  # a first batch, nothing is labelled yet

    Args:
        method: selection method, mode and transformations by name ("lcmd-tp", "maxdet-p_rp-512_train"), or a `Method`
            with the kernel `linear`; rows are then features. With the kernel `pred` ("bait-f-p_pred"), rows are
            predictions, with one column per member of an ensemble. Or a `Selection`, which runs in its default
            mode, or in mode P if there are no training points.
        pool: features of the points to choose from. Either a matrix (n_pool, p) whose rows are phi, as a tensor, an
            array (possibly memory-mapped or in half precision), a frame, or a data set or loader that yields such rows
            in order; or any `bmdal.features.Features`, for example a `KernelMatrix` or a `KernelFunction`. A memory map
            of floating-point numbers, or the path of a file of `write_features`, stays on disk.
        batch_size: number of points to select, 1 <= batch_size <= n_pool.
        generator: source of all random draws, or a seed.
        train: features of the labelled points, of the same kind. Needed in mode TP and for the transformations `scale`,
            `train` and `acs-...`.
        y_train: labels of these points, shape (n_train,), for `acs-rf-hyper-...`.
        target: features of the points that matter, for `epig`, `bait-f` and `bait-fb`.
        sigma: standard deviation of the observation noise in posteriors, `maxdet`, `bait-f`, `bait-fb`, `epig` and
            `rpcholesky`, greater than 0; None means 1e-3, or 0.1 for predictions.
        exclude: pool points that must not be selected and do not count as part of the pool: a mask, shape (n_pool,), or
            a list of row numbers, or of index labels if the pool is a frame.
        groups: the group of each pool point, such as a supplier or a plate, shape (n_pool,). At most `per_group` points
            of each group are selected.
        per_group: maximal number of points per group, at least 1.
        costs: the cost of each pool point, shape (n_pool,), greater than 0. Points are ranked by gain per cost. Only
            for `bait-f`, `epig`, `maxdet` and `maxdiag`, whose scores are gains.
        distinct: whether to select exact copies of labelled points, and of other pool points, only when nothing else is
            left.
        group: a process group of `torch.distributed`, whose processes all call this function, each with a part of the
            pool, which may be empty. The pool is then all parts in the order of the ranks, and every process gets the
            same batch, whatever the number of processes. `exclude` and `costs` are those of the part.
        sharded_train: with a group, whether each process has a part of the training points and their labels; they are
            put together in the order of the ranks. Otherwise they must be the same in every process.

    Returns: the batch; its indices are rows of the pool.

    Raises BmdalError for input that cannot be used; the message says what is wrong and why.
    """
    tables = {"pool": pool, "train": train, "target": target}
    given = {name: table for name, table in tables.items() if table is not None or name == "pool"}
    if group is not None:
        return _select_from_shards(
            Processes.of(group, pool.device if isinstance(pool, Tensor | Features) else torch.device("cpu")),
            *(method, given, batch_size, generator, y_train, sigma, exclude, groups, costs, distinct, sharded_train),
        )
    if sharded_train:
        raise BmdalError("sharded_train needs group=..., the processes that have the training points")
    method = _method(method, train is not None, sigma)
    check_target(method, target)
    generator = as_generator(generator)
    with plain_arithmetic():
        check_columns(given)
        if not isinstance(method.kernel, Predictions):
            given["pool"] = _stored("pool", pool)
        read, notes = _read(cast(Mapping[str, Points], given))
        n_pool, frame = len(read["pool"]), frame_of(pool)
        check_batch_size(batch_size, n_pool)
        rules = Rules.of(method, frame, n_pool, batch_size, exclude, groups, per_group, costs, notes)
        if isinstance(method.kernel, Predictions):
            features = of_predictions(read, rules.rows)
        else:
            features = {name: _features(name, points) for name, points in read.items()}
        request = Request(method, batch_size, generator, rules, distinct)
        if distinct:
            request = request.without_copies(*_fingerprints(method, features))
        with unchanged_after_error(generator):
            batch = choose_by_features(request, features, y_train)
    return with_ids(batch, frame)


def _select_from_shards(
    processes: Processes,
    method: Method | Selection | str,
    given: Mapping[str, Any],
    batch_size: int,
    generator: torch.Generator | int,
    y_train: Table | None,
    sigma: float | None,
    exclude: Any,
    groups: Any,
    costs: Any,
    distinct: bool,
    sharded_train: bool,
) -> Batch:
    """As `select`, with a group."""
    with plain_arithmetic():
        with processes.together():
            method = _method(method, "train" in given, sigma)
            check_target(method, given.get("target"))
            generator = as_generator(generator)
            if groups is not None:
                raise BmdalError("groups cannot be used with group=...: a process does not know the others' groups")
            check_columns(given)
            read, notes = _read({**given, "pool": _stored("pool", given["pool"])})
            shard = _shard(read["pool"])
            others = {name: _features(name, points) for name, points in read.items() if name != "pool"}
            rules = Rules.of(method, frame_of(given["pool"]), len(shard), 0, exclude, None, 1, costs, notes)
        request = Request(method, batch_size, generator, rules, distinct)
        with unchanged_after_error(generator):
            return choose_from_shards(processes, request, shard, others, y_train, sharded_train)


def _shard(points: Features | Tensor) -> Shard:
    """Points of the pool; numbers of 16 bits stay so in memory."""
    if isinstance(points, Features):
        return Shard.of(points)
    _check_shape("pool", points.shape)
    return Shard(points if points.is_floating_point() and points.itemsize == 2 else _matrix("pool", points))


def choose_by_features(
    request: Request, features: Mapping[str, Features], y_train: Table | None, outcomes: Outcomes | None = None
) -> Batch:
    """The batch for untransformed features of "pool" and possibly "train" and "target" points."""
    method, of_pool = request.method, features["pool"]
    of_train = features.get("train", of_pool[:0])
    others = [of_pool, *([features["target"]] if "target" in features else [])]
    check_kinds(method, of_train, others)
    dtype = reduce(torch.promote_types, [f.dtype for f in (of_train, *others)])
    of_train, *others = [f if f.dtype == dtype else f.to(dtype=dtype) for f in (of_train, *others)]
    start = now(of_pool.device)
    y = as_labels(method, y_train, len(of_train))
    of_train, of_pool, *of_target = transform(method, of_train, others, y, request.generator)
    seconds = now(of_pool.device) - start
    return choose(request, of_train, of_pool, seconds, next(iter(of_target), None), outcomes)


def _method(method: Method | Selection | str, has_train: bool, sigma: float | None) -> Method:
    if isinstance(method, Method) and sigma is not None:
        raise BmdalError(
            f"sigma={sigma!r} cannot be combined with a Method, which has its own, {method.sigma!r}: leave it out"
        )
    if isinstance(method, str):
        method = Method.from_name(method, sigma, kernel=Linear())
    if isinstance(method, Selection):
        usual = method.modes[0] if method.modes else None
        mode = usual if has_train or "P" not in method.modes else "P"
        method = Method(method, Linear() if method.needs_kernel else None, (), mode, cast(float, sigma))
    if not isinstance(method, Method):
        raise BmdalError(f"method must be a name such as 'lcmd-tp', a Method or a Selection, got {method!r}")
    if not isinstance(method.kernel, Linear | Predictions | None):
        raise IncompatibleError(
            f"method {method.name!r}: features are already given, so the kernel {method.kernel.name!r} cannot be "
            "computed; leave it out, or pass the model to select_batch"
        )
    if method.ensemble is not None:
        raise IncompatibleError(f"method {method.name!r}: {method.ensemble.name!r} needs models: use select_batch")
    if method.selection.needs_predictions:
        raise IncompatibleError(
            f"method {method.name!r}: {method.selection.name!r} needs labels and predictions: use select_batch"
        )
    return method


def _stored(name: str, points: Points) -> Points:
    """Points in a file as `StoredFeatures`, and all others as they are."""
    if isinstance(points, str | Path):
        return read_features(points)
    if isinstance(points, np.memmap) and points.dtype in FLOATS and min(points.strides, default=0) >= 0:
        _check_shape(name, points.shape)
        return mapped(points)
    return points


def _read(given: Mapping[str, Points]) -> tuple[dict[str, Features | Tensor], tuple[str, ...]]:
    """The given features in memory, and notes about what is left out."""
    read: dict[str, Features | Tensor] = {}
    notes: list[str] = []
    for name, points in given.items():
        if isinstance(points, Features):
            read[name] = points
        else:
            read[name], more = _rows(name, points)
            notes += more
    if "target" in read and not len(read["target"]):
        raise BmdalError("target is empty: leave it out")
    return read, tuple(notes)


def _fingerprints(
    method: Method, features: Mapping[str, Features]
) -> tuple[Fingerprinted | None, Fingerprinted | None]:
    """Fingerprints of training and pool points, in a common precision; None if rows are not the points themselves."""
    train, pool = features.get("train", features["pool"][:0]), features["pool"]
    if isinstance(pool, StoredFeatures) and isinstance(train, DenseFeatures):
        return fingerprints_of_stored(train, pool)
    if isinstance(method.kernel, Predictions) or not isinstance(train, DenseFeatures) or type(pool) is not type(train):
        return None, None
    dtype = torch.promote_types(train.dtype, pool.dtype)
    return fingerprints(train.matrix(), [dtype]), fingerprints(pool.matrix(), [dtype])


def of_predictions(given: Mapping[str, Features | Tensor], rows: Tensor) -> dict[str, Features]:
    """Features of predictions (n, K) or (n, K, outputs) of the same members, in units of their spread.

    rows: the pool points over which the spread is computed if there are fewer than two training points.
    """
    predictions = {name: as_predictions(name, _tensor(name, P)) for name, P in given.items()}
    shapes = {name: tuple(P.shape[1:]) for name, P in predictions.items()}
    if len(set(shapes.values())) > 1:
        raise BmdalError(f"predictions must have the same members and outputs, their shapes are (n, ...) with {shapes}")
    train, pool = predictions.get("train", predictions["pool"][:0]), predictions["pool"]
    reference = train if len(train) > 1 else pool if len(rows) == len(pool) else pool[rows]
    unit = spread(reference.mean(dim=1))
    return {name: DenseFeatures(centred(P / unit)) for name, P in predictions.items()}


def _tensor(name: str, points: Features | Tensor) -> Tensor:
    if isinstance(points, Features):
        raise BmdalError(f"{name} must be a matrix of predictions for the kernel 'pred', it is {type(points).__name__}")
    return points


def _rows(name: str, points: Any) -> tuple[Tensor, list[str]]:
    """Given rows as a tensor in memory, and notes about what is left out."""
    if isinstance(points, tuple | Mapping):
        raise BmdalError(
            f"{name} must be one matrix with a row of features for each point, not a {type(points).__name__}"
        )
    rows, notes = as_inputs(name, points)
    if isinstance(rows, Tensor):
        check_finite(name, rows)
        return rows, notes
    if not len(rows):
        raise BmdalError(f"{name} is an empty data set, whose points have no columns: pass a matrix of shape (0, p)")
    parts = [given_to_networks(rows[i : i + PART]) for i in range(0, len(rows), PART)]
    if not all(isinstance(part, Tensor) for part in parts):
        raise BmdalError(f"{name} must be one matrix, or each of its items one row, not {type(parts[0]).__name__}")
    return torch.cat(parts), notes


def _features(name: str, points: Features | Tensor) -> Features:
    return points if isinstance(points, Features) else DenseFeatures(_matrix(name, points))


def _matrix(name: str, rows: Tensor) -> Tensor:
    _check_shape(name, rows.shape)
    if rows.is_complex():
        raise BmdalError(f"{name} holds {rows.dtype}; features must be real")
    exact = torch.float64 if rows.dtype in (torch.int32, torch.int64) else torch.float32
    return rows.to(torch.promote_types(rows.dtype, exact))


def _check_shape(name: str, shape: Sequence[int]) -> None:
    if len(shape) != 2 or shape[1] == 0:
        raise BmdalError(f"{name} must be a matrix with a row of features for each point; its shape is {tuple(shape)}")
