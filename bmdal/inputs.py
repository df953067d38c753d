"""What users may pass as points: tables, alone or in tuples and dictionaries, and data sets that are streamed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    default_collate,
    default_convert,
)

from bmdal.errors import BmdalError
from bmdal.network.random_state import own_random_state
from bmdal.points import Items, Points, Tree, collated, inputs_of, joined, leaves, named_leaves, with_dtypes
from bmdal.tables import Frame, as_tensor, check_exact, check_finite, kind_of, parts_of


class Inputs(Protocol):
    """Inputs of n points, accessed in chunks: points in memory, or a `StreamedInputs`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | list[int], /) -> Points: ...


def as_inputs(
    name: str, points: Any, collate_fn: Callable[[list[Any]], Any] | None = None, whole: bool = False
) -> tuple[Inputs, list[str]]:
    """Points that are in memory or read when they are needed, and notes about what is left out of them.

    Args:
        name: what the points are called in messages.
        points: a table; a tuple of tables or a dictionary with tables; a map-style data set or a loader of one. With
            `collate_fn` also a list of items, or anything else with `__len__` and `__getitem__`.
        collate_fn: turns a list of items into a batch; None: a loader's own, if it has one, otherwise items are
            stacked.
        whole: whether the network gets all parts of an item, rather than those that `bmdal.points.inputs_of` picks.

    Raises BmdalError for points that cannot be used.
    """
    notes: list[str] = []
    from_loader = isinstance(points, DataLoader)
    if isinstance(points, DataLoader):
        collate_fn = collate_fn or _collate_fn(points)
        notes += _ignored_options(name, points)
        points = points.dataset
    is_table = isinstance(points, Tensor | np.ndarray | Frame | Mapping)
    has_items = collate_fn is not None and not is_table and hasattr(points, "__getitem__")
    if isinstance(points, Dataset) or has_items or from_loader:
        if isinstance(points, IterableDataset) or not hasattr(points, "__len__"):
            kind = type(points).__name__
            raise BmdalError(f"{name} must be a map-style data set with __len__ and __getitem__, which {kind} is not")
        stream = StreamedInputs(name, points, collate_fn, whole)
        return stream, notes + stream.notes
    if collate_fn is not None:
        raise BmdalError(f"collate_fn is for the items of data sets, loaders and lists; {name} has no items")
    if not isinstance(points, Mapping | tuple):
        return as_tensor(name, points), notes
    tree, note = inputs_of(name, points, whole)
    return as_tree(name, tree), notes + ([note] if note else [])


def as_tree(name: str, tree: Any) -> Tensor | Tree:
    """Convert tables in tuples and dictionaries to tensors. Raises BmdalError if they differ in length."""

    def tensors(name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: tensors(f"{name}[{key!r}]", value[key]) for key in sorted(value, key=str)}
        if isinstance(value, tuple):
            return _like(value, [tensors(f"{name}[{i}]", part) for i, part in enumerate(value)])
        return as_tensor(name, value)

    tree = tensors(name, tree)
    if isinstance(tree, Tensor):
        return tree
    lengths = {place: t.shape[:1] for place, t in named_leaves(name, tree)}
    if not lengths:
        raise BmdalError(f"{name} holds no inputs")
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        text = ", ".join(f"{place} {tuple(shape)}" for place, shape in lengths.items())
        raise BmdalError(f"the parts of {name} must have the same length, they have {text}")
    return Tree(tree)


def _like(container: Any, parts: Sequence[Any]) -> Any:
    """Parts as a tuple, of the same class if it is a named tuple."""
    return type(container)(*parts) if hasattr(container, "_fields") else tuple(parts)


def _collate_fn(loader: DataLoader[Any]) -> Callable[[list[Any]], Any] | None:
    """A loader's own collate function; None for PyTorch's default, which stacks items."""
    return None if loader.collate_fn in (default_collate, default_convert) else loader.collate_fn


def _ignored_options(name: str, loader: DataLoader[Any]) -> list[str]:
    """Notes on ignored options of a loader. Raises BmdalError if it does not yield its data set in order."""
    if isinstance(loader.dataset, IterableDataset):
        raise BmdalError(
            f"{name} is a loader of an iterable data set, whose points have no row numbers: use a map-style one"
        )
    batches = loader.batch_sampler
    if batches is None:
        raise BmdalError(
            f"{name} is a loader without batches of points: pass its data set, with collate_fn if necessary"
        )
    in_order = type(batches) is BatchSampler and type(batches.sampler) is SequentialSampler
    of_its_own = type(loader).__iter__ is not DataLoader.__iter__
    if not in_order or of_its_own or len(loader.sampler) != len(loader.dataset):  # type: ignore[arg-type]
        raise BmdalError(
            f"{name} is a loader that shuffles, leaves points out or changes them, so its rows are not those of its "
            "data set: use shuffle=False, or pass its data set"
        )
    workers = f"{name}: num_workers={loader.num_workers} is not used, items are read in this process"
    last = f"{name}: drop_last=True is ignored, the last points count too"
    return [workers] * (loader.num_workers > 0) + [last] * bool(loader.drop_last)


@dataclass(frozen=True)
class StreamedInputs:
    """The points in a map-style `torch.utils.data.Dataset` or a list, read when they are needed and not kept.

    Uses `__getitems__` (with a list of indices) if the data set has it.

    Attributes:
        name: what the points are called in messages.
        dataset: the data set or list.
        collate: turns a list of items into a batch; None: the parts of an item are tensors, arrays or numbers, which
            become tensors as in `as_tensor` and are stacked.
        whole: whether the network gets all parts of an item.
        dtypes: types that the tensors of a point are cast to, in order; None: no cast.
    """

    name: str
    dataset: Any
    collate: Callable[[list[Any]], Any] | None = None
    whole: bool = False
    dtypes: tuple[torch.dtype | None, ...] = ()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, rows: slice | list[int]) -> Points:
        """The points in some rows. Raises BmdalError for items that cannot be used."""
        indices = range(len(self))[rows] if isinstance(rows, slice) else rows
        with own_random_state(torch.device("cpu")):
            if self.collate is not None:
                X: Points = Items(list(self._items(indices)), self.collate, self.whole)
            else:
                tree = self._stacked(self.name, indices, [self._inputs(i, item) for i, item in self._numbered(indices)])
                X = tree if isinstance(tree, Tensor) else Tree(tree)
        for place, t in named_leaves(self.name, X):
            if t.layout == torch.strided and not t.is_nested:
                check_finite(place, t, indices if len(t) == len(indices) else None)
        if torch.float64 in self.dtypes and isinstance(X, Tensor) and not X.is_floating_point():
            check_exact(self.name, X)
        return with_dtypes(X, self.dtypes) if self.dtypes else X

    @cached_property
    def first(self) -> Points:
        """The first point."""
        return self[:1]

    @property
    def notes(self) -> list[str]:
        """Notes about what is left out of the items."""
        return self._look[0]

    @property
    def holds_tensors(self) -> bool:
        """Whether the inputs are tensors already."""
        return self._look[1]

    @cached_property
    def _look(self) -> tuple[list[str], bool]:
        """Notes from the first item, or a batch of it, and whether its inputs are tensors."""
        if not len(self):
            return [], True
        with own_random_state(torch.device("cpu")):
            return self._looked()

    def _looked(self) -> tuple[list[str], bool]:
        item = next(iter(self._items(range(1))))
        again = next(iter(self._items(range(1))))
        if not all(torch.equal(a, b) for a, b in zip(leaves(item), leaves(again), strict=False)):
            raise BmdalError(f"the items of {self.name} change each time they are read: switch augmentation off")
        batch = item if self.collate is None else collated(self.collate, [item])
        inputs, note = inputs_of(self.name, batch, self.whole)
        return [note] if note else [], all(isinstance(part, Tensor) for part in parts_of(inputs))

    def _numbered(self, indices: Sequence[int]) -> Iterable[tuple[int, Any]]:
        return zip(indices, self._items(indices), strict=True)

    def _items(self, indices: Sequence[int]) -> Iterable[Any]:
        get_many = getattr(self.dataset, "__getitems__", None)
        if get_many is None:
            return _Lazily(self.name, self.dataset, indices)
        items = get_many(list(indices))
        if not isinstance(items, Sequence) or len(items) != len(indices):
            got = f"{len(items)} items" if isinstance(items, Sequence) else f"a {type(items).__name__}"
            raise BmdalError(f"__getitems__ of {self.name} gave {got} for {len(indices)} indices")
        return items

    def _inputs(self, i: int, item: Any) -> Any:
        """The network's inputs in an item, as a copy, because a data set may return the same memory again and again."""
        return self._tensors(f"item {i} of {self.name}", inputs_of(f"item {i} of {self.name}", item, self.whole)[0])

    def _tensors(self, name: str, x: Any) -> Any:
        if isinstance(x, Mapping):
            return {key: self._tensors(f"{name}[{key!r}]", x[key]) for key in sorted(x, key=str)}
        if isinstance(x, tuple | list) and self.whole:
            return _like(x, [self._tensors(f"{name}[{i}]", value) for i, value in enumerate(x)])
        if isinstance(x, int | float | np.generic):
            x = np.asarray(x)
        if not isinstance(x, Tensor | np.ndarray):
            raise BmdalError(
                f"{name} is {kind_of(x)}; without a collate_fn, items must consist of tensors, arrays and numbers"
            )
        return as_tensor(name, x).clone()

    def _stacked(self, name: str, indices: Sequence[int], parts: list[Any]) -> Any:
        first = parts[0]
        if isinstance(first, Tensor) and all(isinstance(part, Tensor) for part in parts):
            shapes = {t.shape: i for i, t in reversed(list(zip(indices, parts, strict=True)))}  # the first of each
            if len(shapes) > 1:
                (one, i), (other, j) = sorted(shapes.items(), key=lambda item: item[1])[:2]
                raise BmdalError(
                    f"the items of {name} must have the same shape: item {i} has {tuple(one)}, item {j} has "
                    f"{tuple(other)}; use a collate_fn for items of different shapes"
                )
            return torch.stack(parts)
        keys = [list(part) if isinstance(part, dict) else len(part) for part in parts]
        if len({type(part) for part in parts}) > 1 or any(k != keys[0] for k in keys):
            raise BmdalError(f"the items of {name} must have the same parts")
        if isinstance(first, dict):
            return {key: self._stacked(f"{name}[{key!r}]", indices, [part[key] for part in parts]) for key in first}
        columns = zip(*parts, strict=True)
        return _like(first, [self._stacked(f"{name}[{i}]", indices, list(c)) for i, c in enumerate(columns)])


@dataclass(frozen=True)
class _Lazily:
    """Items of a data set, read one by one. Raises BmdalError for anything that the data set raises."""

    name: str
    dataset: Any
    indices: Sequence[int]

    def __iter__(self) -> Iterator[Any]:
        for i in self.indices:
            try:
                item = self.dataset[i]
            except Exception as error:
                kind = type(error).__name__
                raise BmdalError(f"item {i} of {self.name} cannot be read: {kind}: {error}") from error
            yield item


def first_point(X: Inputs) -> Points:
    """The first point; empty if there are no points."""
    return X.first if isinstance(X, StreamedInputs) else X[:1]


def may_cast(table: object, points: Inputs) -> bool:
    """Whether points may be cast to another precision: all except tensors, which are used as they are."""
    if isinstance(points, StreamedInputs):
        return points.collate is None and not points.holds_tensors
    return not all(isinstance(part, Tensor) for part in parts_of(table))


def few_points(x_train: Inputs, x_pool: Inputs) -> Points:
    """Up to eight training and eight pool points, evenly spread over the rows and distinct if possible."""
    return joined(_few(x_train), _few(x_pool))


def _few(X: Inputs, n: int = 8) -> Points:
    if not isinstance(X, Tensor):  # reading costs time
        return X[_spread(len(X), n)]
    some = X[_spread(len(X), 8 * n)]
    real = torch.view_as_real(some) if some.is_complex() else some
    values = real.reshape(len(some), math.prod(real.shape[1:])).to(torch.float64)
    keys = (values @ torch.arange(1.0, 1 + values.shape[1]).to(values).sin()).tolist()  # equal for equal points
    chosen = sorted({key: i for i, key in reversed(list(enumerate(keys)))}.values())
    chosen = [chosen[k] for k in _spread(len(chosen), n)]
    rest = [i for i in _spread(len(some), n) if i not in chosen]
    return some[sorted([*chosen, *rest[: n - len(chosen)]])]


def _spread(n: int, k: int) -> list[int]:
    k = min(n, k)
    return [i * (n - 1) // max(1, k - 1) for i in range(k)]


def in_one_precision(tables: Mapping[str, Any], castable: bool) -> list[Inputs]:
    """Points, given by name, in a common precision; a mix of real numbers and integers becomes float64.

    Raises BmdalError if the types differ and must not be cast, or if integers are not exact in float64.
    """
    types = {name: [t.dtype for t in leaves(first_point(X))] for name, X in tables.items()}
    several = any(not isinstance(first_point(X), Tensor) for X in tables.values())
    columns = list(zip(*types.values(), strict=True))  # a column for each tensor in a point
    if all(len(set(column)) == 1 for column in columns):
        return list(tables.values())
    common = [_common(column, several) if castable else None for column in columns]
    if None in common:
        kinds = ", ".join(f"{name} {', '.join(map(str, dtypes))}" for name, dtypes in types.items())
        raise BmdalError(f"points must have the same type, they are {kinds}")
    if torch.float64 in common:
        for name, X in tables.items():
            if isinstance(X, Tensor) and not X.is_floating_point():
                check_exact(name, X)
    wanted = tuple(c if len(set(column)) > 1 else None for c, column in zip(common, columns, strict=True))
    return [
        replace(X, dtypes=wanted) if isinstance(X, StreamedInputs) else with_dtypes(X, wanted) for X in tables.values()
    ]


def _common(dtypes: Sequence[torch.dtype], several: bool) -> torch.dtype | None:
    """A common type of some tables; None if there is none. With `several` tensors per point, integers stay integers."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    if all(dtype.is_floating_point for dtype in dtypes):
        return max(dtypes, key=lambda dtype: dtype.itemsize)
    integers = not any(dtype.is_floating_point or dtype == torch.bool or dtype.is_complex for dtype in dtypes)
    return (torch.int64 if integers else None) if several else torch.float64
