"""Around the batch: points that may not be chosen, copies of others, groups, and what points cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bmdal.errors import BmdalError, IncompatibleError
from bmdal.inputs import Inputs, StreamedInputs, as_tensor
from bmdal.method import Method
from bmdal.points import Items, Points, Tree, named_leaves
from bmdal.selection.base import Limits

PART = 4096
"""Points whose values are copied at a time."""


@dataclass(frozen=True, eq=False)
class Rules:
    """Which points of a pool may be in a batch.

    Attributes:
        rows: the points that are not excluded, which are all that count as the pool, shape (n,).
        limits: what holds for these.
        notes: what is to be said of them.
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
    ) -> Rules:
        """The rules that a user gives: see `select`.

        Args:
            pool: the pool, whose index, if it is a frame, ids are labels of.

        Raises BmdalError for values that cannot be used or leave too few points, and IncompatibleError for what the
        method's selection does not take.
        """
        selection = method.selection
        if groups is not None and not selection.takes_limits:
            raise IncompatibleError(f"method {method.name!r}: {selection.name!r} heeds no groups")
        if costs is not None and not selection.takes_costs:
            raise IncompatibleError(
                f"method {method.name!r}: the score of {selection.name!r} is no gain that could be divided by a cost; "
                "'bait-f', 'epig', 'maxdet' and 'maxdiag' have one"
            )
        if isinstance(per_group, bool) or not isinstance(per_group, int | np.integer) or per_group < 1:
            raise BmdalError(f"per_group must be an integer of at least 1, got {per_group!r}")
        excluded = _excluded(pool, n_pool, exclude)
        rows = (~excluded).nonzero()[:, 0]
        if len(rows) < batch_size:
            raise BmdalError(f"exclude leaves {len(rows)} points of the pool, fewer than batch_size={batch_size}")
        of_groups = None if groups is None else _groups(pool, n_pool, groups)[rows]
        of_costs = None if costs is None else _costs(pool, n_pool, costs)[rows]
        if of_groups is not None:
            n_most = int(torch.bincount(of_groups).clamp(max=int(per_group)).sum())
            if n_most < batch_size:
                raise BmdalError(
                    f"with per_group={per_group} the groups allow a batch of at most {n_most}, not {batch_size}"
                )
        return cls(rows, Limits(None, of_groups, int(per_group), of_costs))

    def without_copies(self, method: Method, train: list[int] | None, pool: list[int] | None) -> Rules:
        """Copies of training points and of earlier pool points come last, if the method's selection can do that.

        train, pool: fingerprints of the points, of the whole pool; None: they are not to be had.
        """
        if train is None or pool is None:
            return replace(self, notes=(*self.notes, "copies of points were not looked for: there is no table of them"))
        seen, is_copy = set(train), torch.zeros(len(self.rows), dtype=torch.bool)
        for i, row in enumerate(self.rows.tolist()):
            is_copy[i] = pool[row] in seen
            seen.add(pool[row])
        n_copies = int(is_copy.sum())
        if n_copies in (0, len(is_copy)):
            return self
        last = "come last" if method.selection.takes_limits else f"count like others: {method.selection.name!r} decides"
        note = f"{n_copies} of the pool's {len(is_copy)} points are copies of a labelled or an earlier one, and {last}"
        candidates = ~is_copy if method.selection.takes_limits else None
        return replace(self, limits=replace(self.limits, candidates=candidates), notes=(*self.notes, note))


class Fingerprints:
    """Inputs that keep a fingerprint of each point that is read from them in a slice.

    Equal points, and up to chance (2^-64 for a pair) no others, have equal fingerprints.
    """

    def __init__(self, X: Inputs) -> None:
        self.X = X
        self.of_rows: list[int | None] = [None] * len(X)

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, rows: slice | list[int]) -> Points:
        part = self.X[rows]
        if isinstance(rows, slice) and isinstance(self.X, StreamedInputs) and not isinstance(part, Items):
            self.of_rows[rows] = fingerprints(part)
        return part

    def to(self, dtype: torch.dtype) -> Inputs:
        return self.X.to(dtype)

    def of_all(self) -> list[int] | None:
        """The fingerprints of all points; None if they cannot be had without reading a data set."""
        if isinstance(self.X, Tensor | Tree):
            return fingerprints(self.X)
        known = [f for f in self.of_rows if f is not None]
        return known if len(known) == len(self.of_rows) else None


def fingerprints(X: Points) -> list[int]:
    """A number for each point, by the values of all its parts."""
    rows: list[NDArray[np.uint8]] = []
    for _, t in named_leaves("", X):
        t = t.detach().cpu().reshape(len(t), -1)
        rows.append(t.contiguous().numpy().view(np.uint8).reshape(len(t), -1))
    width, found = sum(part.shape[1] for part in rows), list[int]()
    for start in range(0, len(rows[0]), PART):
        data = np.concatenate([part[start : start + PART] for part in rows], axis=1).tobytes()
        found += [hash(data[i : i + width]) for i in range(0, len(data), width)]
    return found


def _excluded(pool: Any, n_pool: int, exclude: Any) -> Tensor:
    """Whether a point is excluded, shape (n_pool,)."""
    if exclude is None:
        return torch.zeros(n_pool, dtype=torch.bool)
    _check_index("exclude", pool, exclude)
    values = np.asarray(exclude.cpu() if isinstance(exclude, Tensor) else exclude)
    if values.dtype == bool:
        if values.shape != (n_pool,):
            raise BmdalError(f"exclude is a mask of shape {values.shape}, the pool has {n_pool} points")
        return torch.from_numpy(values.copy())
    if values.ndim != 1:
        raise BmdalError(f"exclude must be a mask or a list of ids or rows, it has shape {values.shape}")
    index = np.asarray(pool.index) if hasattr(pool, "iloc") else np.arange(n_pool)
    missing = sorted(set(values.tolist()) - set(index.tolist()), key=str)
    if missing:
        what = "an id in the index" if hasattr(pool, "iloc") else f"a row from 0 to {n_pool - 1}"
        raise BmdalError(f"exclude holds {missing[0]!r}, which is not {what} of the pool")
    chosen = set(values.tolist())
    return torch.tensor([i in chosen for i in index.tolist()])


def _groups(pool: Any, n_pool: int, groups: Any) -> Tensor:
    """The number of each point's group, shape (n_pool,)."""
    _check_index("groups", pool, groups)
    labels: Sequence[Any] = groups.tolist() if hasattr(groups, "tolist") else list(groups)
    if len(labels) != n_pool:
        raise BmdalError(f"groups must name the group of each of the {n_pool} pool points, there are {len(labels)}")
    numbers: dict[Any, int] = {}
    for i, label in enumerate(labels):
        if label is None or label != label:
            raise BmdalError(f"groups has no value for row {i}: give every point a group, its own if need be")
    return torch.tensor([numbers.setdefault(label, len(numbers)) for label in labels])


def _costs(pool: Any, n_pool: int, costs: Any) -> Tensor:
    """What each point costs, shape (n_pool,), in float64."""
    _check_index("costs", pool, costs)
    values = as_tensor("costs", np.asarray(costs) if isinstance(costs, list | tuple) else costs).double().cpu()
    if values.shape != (n_pool,):
        raise BmdalError(f"costs must have shape ({n_pool},), one for each pool point, it has {tuple(values.shape)}")
    bad = ~(torch.isfinite(values) & (values > 0))
    if bool(bad.any()):
        i = int(bad.nonzero()[0])
        raise BmdalError(f"costs must be finite numbers greater than 0, row {i} has {float(values[i])}")
    return values


def _check_index(name: str, pool: Any, values: Any) -> None:
    """Raise BmdalError for a Series whose index is not that of the pool: its values would go to other points."""
    are_series = hasattr(pool, "iloc") and hasattr(values, "iloc") and len(values) == len(pool)
    if are_series and not values.index.equals(pool.index):
        raise BmdalError(f"{name} has another index than the pool: use {name}.loc[x_pool.index], or a plain array")
