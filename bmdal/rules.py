"""Restrictions on the batch: excluded points, copies, groups and costs."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bmdal.errors import BmdalError, IncompatibleError
from bmdal.features import DenseFeatures, StoredFeatures
from bmdal.inputs import Inputs, StreamedInputs
from bmdal.method import Method
from bmdal.points import Items, Points, Tree, named_leaves
from bmdal.selection.base import Limits
from bmdal.tables import as_tensor

PART = 4096
"""Number of points whose values are copied at a time."""
FEW = 256
"""Number of points of a data set that are read at a time."""

Fingerprinted = Sequence[Hashable] | Tensor
"""Something for each point that is equal for equal points; for points that are numbers a digest, int64, shape (n,)."""


@dataclass(frozen=True, eq=False)
class Rules:
    """Which points of a pool may be selected.

    Attributes:
        rows: the points that are not excluded, shape (n,); only these count as the pool.
        limits: further restrictions on these points.
        notes: messages for the user.
    """

    rows: Tensor
    limits: Limits
    notes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        method: Method,
        pool: Any,
        n_pool: int,
        batch_size: int,
        exclude: Any = None,
        groups: Any = None,
        per_group: int = 1,
        costs: Any = None,
        notes: tuple[str, ...] = (),
    ) -> Rules:
        """The rules from a user's options: see `select`.

        Args:
            pool: the pool's frame, whose index holds the ids; None if the pool is not a frame.

        Raises BmdalError for values that cannot be used or leave too few points, and IncompatibleError for options that
        the selection method does not support.
        """
        selection = method.selection
        if groups is not None and not selection.takes_limits:
            raise IncompatibleError(f"method {method.name!r}: {selection.name!r} does not support groups")
        if costs is not None and not selection.takes_costs:
            raise IncompatibleError(
                f"method {method.name!r}: the score of {selection.name!r} is not a gain that can be divided by a cost; "
                "costs work with 'bait-f', 'epig', 'maxdet' and 'maxdiag'"
            )
        if isinstance(per_group, bool) or not isinstance(per_group, int | np.integer) or per_group < 1:
            raise BmdalError(f"per_group must be an integer of at least 1, got {per_group!r}")
        per_group = min(int(per_group), n_pool)
        excluded = _excluded(pool, n_pool, exclude)
        rows = (~excluded).nonzero()[:, 0]
        if len(rows) < batch_size:
            raise BmdalError(f"exclude leaves {len(rows)} points of the pool, fewer than batch_size={batch_size}")
        of_groups = None if groups is None else _groups(pool, n_pool, groups)[rows]
        of_costs = None if costs is None else _costs(pool, n_pool, costs)[rows]
        if of_groups is not None:
            n_most = int(torch.bincount(of_groups).clamp(max=per_group).sum())
            if n_most < batch_size:
                raise BmdalError(
                    f"with per_group={per_group} the groups allow a batch of at most {n_most}, not {batch_size}"
                )
        return cls(rows, Limits(None, of_groups, per_group, of_costs), notes)

    def without_copies(self, method: Method, train: Fingerprinted | None, pool: Fingerprinted | None) -> Rules:
        """Rules under which copies of training points and earlier pool points come last, if the method supports that.

        train, pool: fingerprints of the training points and of the whole pool; None if they are not available.
        """
        if train is None or pool is None:
            return replace(
                self,
                notes=(
                    *self.notes,
                    "copies of points were not searched for, because the points are not a table in memory",
                ),
            )
        is_copy = _copies(train, pool, self.rows)
        n_copies = int(is_copy.sum())
        if not n_copies:
            return self
        return self.copies_last(method, is_copy, n_copies, len(is_copy))

    def copies_last(self, method: Method, is_copy: Tensor, n_copies: int, n_pool: int) -> Rules:
        """Rules under which some points, n_copies of all points of the pool, come last if the method supports that."""
        takes_limits, all_are = method.selection.takes_limits, n_copies == n_pool
        last = "come last" if takes_limits and not all_are else "count like others"
        last += "" if takes_limits else f", because {method.selection.name!r} does not support distinct=True"
        note = f"{n_copies} of the pool's {n_pool} points are copies of labelled or earlier points and {last}"
        candidates = ~is_copy if takes_limits and not all_are else None
        return replace(self, limits=replace(self.limits, candidates=candidates), notes=(*self.notes, note))


class Fingerprints:
    """Inputs that record a fingerprint of each point that is read in a slice.

    Equal points have equal fingerprints; different points have different ones, except with probability 2^-64 per pair.
    """

    def __init__(self, X: Inputs) -> None:
        self.X = X
        self.of_rows = torch.zeros(len(X), dtype=torch.int64)
        self.known = torch.zeros(len(X), dtype=torch.bool)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: slice | list[int]) -> Points:
        part = self.X[rows]
        if isinstance(rows, slice) and isinstance(self.X, StreamedInputs) and not isinstance(part, Items):
            self.of_rows[rows], self.known[rows] = fingerprints(part), True
        return part

    def read_rest(self) -> None:
        """Read the points of a data set whose fingerprints are not known, unless reading does not tell them."""
        for start in range(0, len(self) if isinstance(self.X, StreamedInputs) else 0, FEW):
            rows = slice(start, start + FEW)
            if not bool(self.known[rows].all()):
                self[rows]  # records them
                if not bool(self.known[start]):
                    return

    def of_all(self) -> Tensor | None:
        """The fingerprints of all points; None if they would require reading a data set again."""
        if isinstance(self.X, Tensor | Tree):
            return fingerprints(self.X)
        return self.of_rows if bool(self.known.all()) else None


def _copies(train: Fingerprinted, pool: Fingerprinted, rows: Tensor) -> Tensor:
    """Whether each of some pool points is a copy of a training point or of an earlier one of them, shape (n_rows,)."""
    if isinstance(pool, Tensor):
        assert isinstance(train, Tensor)
        found = pool[rows]
        return torch.isin(found, train) | repeats(found)
    seen, copies = set(train), torch.zeros(len(rows), dtype=torch.bool)
    for i, row in enumerate(rows.tolist()):
        copies[i] = pool[row] in seen
        seen.add(pool[row])
    return copies


def repeats(found: Tensor) -> Tensor:
    """Whether each of some fingerprints is that of an earlier one, shape (n,)."""
    order = found.argsort(stable=True)
    again = torch.zeros(len(found), dtype=torch.bool)
    again[order[1:]] = found[order[1:]] == found[order[:-1]]
    return again


def fingerprints_of_stored(train: DenseFeatures, pool: StoredFeatures) -> tuple[Tensor, Tensor]:
    """Fingerprints of training points in memory and of stored pool points, in a common precision."""
    dtype = torch.promote_types(train.dtype, pool.dtype)
    of_pool = torch.empty(len(pool), dtype=torch.int64)
    for rows, block in pool.blocks():
        of_pool[rows] = fingerprints(block.matrix(), [dtype])
    return fingerprints(train.matrix(), [dtype]), of_pool


def fingerprints(X: Points, dtypes: Sequence[torch.dtype | None] = ()) -> Tensor:
    """A digest of the values of each point, after casting its tensors to `dtypes`: the same in every process."""
    parts = [t.detach().reshape(len(t), math.prod(t.shape[1:])) for _, t in named_leaves("", X)]
    wanted = dtypes or [None] * len(parts)
    found = [torch.empty(0, dtype=torch.int64)]
    for start in range(0, len(X), PART):
        columns = [_bytes(t[start : start + PART].cpu(), dtype) for t, dtype in zip(parts, wanted, strict=True)]
        table = np.concatenate(columns, axis=1)
        data, width = table.tobytes(), table.shape[1]
        rows = (data[i * width : (i + 1) * width] for i in range(len(table)))
        digests = bytearray().join(hashlib.blake2b(row, digest_size=8).digest() for row in rows)
        found.append(torch.frombuffer(digests, dtype=torch.int64))
    return torch.cat(found)


def _bytes(t: Tensor, dtype: torch.dtype | None) -> NDArray[np.uint8]:
    """The bytes of each row of a matrix, with -0.0 replaced by 0.0."""
    t = t if dtype is None else t.to(dtype)
    t = t + 0.0 if t.is_floating_point() else t
    array = (t.view(torch.int16) if t.dtype == torch.bfloat16 else t).numpy()
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(t), -1)


def fingerprints_of_tables(tables: Mapping[str, Any]) -> dict[str, Fingerprinted] | None:
    """Fingerprints of the points in tables, which may also hold text and dates; None if cells cannot be hashed."""
    try:
        tensors = {name: as_tensor(name, table) for name, table in tables.items()}
        common = reduce(torch.promote_types, [t.dtype for t in tensors.values()])
        return {name: fingerprints(t, [common]) for name, t in tensors.items()}
    except BmdalError:
        rows = {name: [tuple(map(_cell, row)) for row in np.asarray(t, dtype=object)] for name, t in tables.items()}
    try:
        hash(tuple(row for some in rows.values() for row in some))
    except TypeError:
        return None
    return dict(rows)


_MISSING = object()


def _cell(value: Any) -> Any:
    return _MISSING if _is_missing(value) else value


def _is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, or one of pandas' missing values."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _values(name: str, given: Any) -> list[Any]:
    """The values of an array, a Series or another iterable as a list. Raises BmdalError for anything else."""
    if isinstance(given, Mapping | str) or hasattr(given, "columns") or not isinstance(given, Iterable):
        raise BmdalError(f"{name} must be an array, a Series or a list, it is a {type(given).__name__}")
    if isinstance(given, Tensor):
        given = given.cpu().tolist()
    values = given.tolist() if hasattr(given, "tolist") else list(given)
    values = [v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in values]
    if nested := [v for v in values if isinstance(v, list | Tensor | np.ndarray)]:
        raise BmdalError(f"{name} must be one list of values, it holds {nested[0]!r}")
    return values


def _excluded(frame: Any, n_pool: int, exclude: Any) -> Tensor:
    """Whether a point is excluded, shape (n_pool,)."""
    if exclude is None:
        return torch.zeros(n_pool, dtype=torch.bool)
    values = _values("exclude", exclude)
    if values and all(isinstance(v, bool | np.bool_) for v in values):
        _check_index("exclude", frame, exclude)
        if len(values) != n_pool:
            raise BmdalError(f"exclude is a mask with {len(values)} values, but the pool has {n_pool} points")
        return torch.tensor(values, dtype=torch.bool)
    numbers = all(isinstance(v, int | float | np.number) for v in values)
    if numbers and n_pool > 2 and len(values) == n_pool and set(values) <= {0, 1}:
        raise BmdalError("exclude has a 0 or 1 for each pool point: if it is a mask, convert it to bool")
    if frame is not None:
        if missing := [v for v in values if v not in frame.index]:
            raise BmdalError(f"exclude holds {missing[0]!r}, which is not a label in the index of the pool")
        return torch.from_numpy(np.array(frame.index.isin(values)))
    for v in values:
        if not isinstance(v, int | np.integer) or isinstance(v, bool) or not 0 <= v < n_pool:
            raise BmdalError(f"exclude holds {v!r}, which is not a row number of the pool, 0 to {n_pool - 1}")
    excluded = torch.zeros(n_pool, dtype=torch.bool)
    excluded[[int(v) for v in values]] = True
    return excluded


def _groups(frame: Any, n_pool: int, groups: Any) -> Tensor:
    """The number of each point's group, shape (n_pool,)."""
    _check_index("groups", frame, groups)
    if isinstance(groups, Set):
        raise BmdalError("groups must name a group for each pool point in order, and a set has no order")
    labels = _values("groups", groups)
    if len(labels) != n_pool:
        raise BmdalError(f"groups must name the group of each of the {n_pool} pool points, it has {len(labels)} values")
    numbers: dict[Hashable, int] = {}
    for i, label in enumerate(labels):
        if _is_missing(label):
            raise BmdalError(f"groups has no value for row {i}: give every point a group, if necessary its own")
        if not isinstance(label, Hashable):
            raise BmdalError(f"groups must hold names or numbers, row {i} has {label!r}")
    return torch.tensor([numbers.setdefault(label, len(numbers)) for label in labels])


def _costs(pool: Any, n_pool: int, costs: Any) -> Tensor:
    """The cost of each point, shape (n_pool,), in float64."""
    _check_index("costs", pool, costs)
    values = as_tensor("costs", np.asarray(_values("costs", costs))).double()
    if values.shape != (n_pool,):
        raise BmdalError(
            f"costs must have shape ({n_pool},), one cost for each pool point, it has {tuple(values.shape)}"
        )
    bad = ~(torch.isfinite(values) & (values > 0))
    if bool(bad.any()):
        i = int(bad.nonzero()[0])
        raise BmdalError(f"costs must be finite numbers greater than 0, row {i} has {float(values[i])}")
    return values


def _check_index(name: str, pool: Any, values: Any) -> None:
    """Raise BmdalError for a Series with another index than the pool: its values would belong to other points."""
    are_series = pool is not None and hasattr(values, "iloc") and len(values) == len(pool)
    if are_series and not values.index.equals(pool.index):
        raise BmdalError(f"{name} has another index than the pool: use {name}.loc[x_pool.index], or a plain array")
