"""What may be given as points: tensors, numpy arrays, pandas frames, and data sets that are read in a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from bmdal.errors import BmdalError


@runtime_checkable
class Frame(Protocol):
    """A pandas DataFrame or Series: a table of numbers that knows how to become an array."""

    dtypes: Any
    iloc: Any

    def to_numpy(self, dtype: Any, *, na_value: Any) -> NDArray[Any]: ...


Table = Tensor | NDArray[Any] | Frame
"""Points that are in memory."""


class Inputs(Protocol):
    """Inputs of n points, taken piece by piece: a tensor, or a `StreamedInputs`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | list[int], /) -> Tensor: ...

    def to(self, dtype: torch.dtype) -> Inputs: ...


def as_tensor(name: str, table: Table) -> Tensor:
    """A table as a tensor, shape (n, ...), on the CPU unless it is a tensor already.

    Tensors and arrays stay as they are; a frame becomes float64, its missing values NaN.

    Raises BmdalError, naming the column, for what are not numbers, or numbers that tensors cannot hold.
    """
    match table:
        case Tensor():
            return _checked(name, table)
        case np.ma.MaskedArray():
            raise BmdalError(f"{name} is a masked array: fill its gaps in, or leave such points out")
        case np.ndarray():
            array = table
        case Frame():
            array = _array(name, table)
        case _:
            raise BmdalError(
                f"{name} must be a tensor, a numpy array or a pandas frame of numbers, it is {_kind(table)}"
            )
    if array.dtype.kind not in "biuf":
        raise BmdalError(f"{name} must hold numbers, it is an array of {array.dtype}; encode or drop what are none")
    try:
        # PyTorch takes neither read-only arrays nor foreign byte orders nor negative strides.
        return torch.as_tensor(np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"]))
    except TypeError:
        raise BmdalError(
            f"{name} is an array of {array.dtype}, which tensors cannot hold; use {name}.astype(np.float64)"
        ) from None


def as_inputs(name: str, points: Table | Dataset[Any]) -> Inputs:
    """Points that are in memory, or read when they are needed. Raises BmdalError for what cannot be used."""
    if not isinstance(points, Dataset):
        return as_tensor(name, points)
    if isinstance(points, IterableDataset) or not hasattr(points, "__len__"):
        kind = type(points).__name__
        raise BmdalError(f"{name} must be a map-style data set, with __len__ and __getitem__, which {kind} is not")
    return StreamedInputs(name, points)


@dataclass(frozen=True)
class StreamedInputs:
    """The inputs in a map-style `torch.utils.data.Dataset`, read when they are needed and not kept.

    Items are x or (x, ...); x is a tensor, an array or a number and becomes a tensor as in `as_tensor`.
    `__getitems__` (a list of indices) is used where the data set has it.

    Attributes:
        dtype: what they are cast to; None: they stay as they are.
    """

    name: str
    dataset: Dataset[Any]
    dtype: torch.dtype | None = None

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # checked by as_inputs

    def to(self, dtype: torch.dtype) -> StreamedInputs:
        """The same inputs in another precision."""
        return replace(self, dtype=dtype)

    def __getitem__(self, rows: slice | list[int]) -> Tensor:
        """The inputs of some rows, shape (n, ...). Raises BmdalError for items that cannot be used."""
        indices = range(len(self))[rows] if isinstance(rows, slice) else rows
        tensors = [self._tensor(i, item) for i, item in zip(indices, self._items(indices), strict=True)]
        shapes = {t.shape: i for i, t in reversed(list(zip(indices, tensors, strict=True)))}  # the first of each shape
        if len(shapes) > 1:
            (one, i), (other, j) = sorted(shapes.items(), key=lambda item: item[1])[:2]
            raise BmdalError(
                f"the items of {self.name} must have one shape: item {i} has {tuple(one)}, item {j} has {tuple(other)}"
            )
        X = torch.stack(tensors)
        check_finite(self.name, X, indices)
        if self.dtype is None:
            return X
        if not X.is_floating_point():
            check_exact(self.name, X)
        return X.to(self.dtype)

    @cached_property
    def first(self) -> Tensor:
        """The first point, shape (1, ...)."""
        return self[:1]

    @cached_property
    def holds_tensors(self) -> bool:
        """Whether the inputs are tensors already."""
        return all(isinstance(_input(item), Tensor) for item in self._items(range(len(self))[:1]))

    def _items(self, indices: Sequence[int]) -> Iterable[Any]:
        get_many = getattr(self.dataset, "__getitems__", None)
        if get_many is None:
            return _Lazily(self.dataset, indices)
        items = get_many(list(indices))
        if not isinstance(items, Sequence) or len(items) != len(indices):
            got = f"{len(items)} items" if isinstance(items, Sequence) else f"a {type(items).__name__}"
            raise BmdalError(f"__getitems__ of {self.name} gave {got} for {len(indices)} indices")
        return items

    def _tensor(self, i: int, item: Any) -> Tensor:
        x = _input(item)
        if isinstance(x, int | float | np.generic):
            x = np.asarray(x)
        if not isinstance(x, Tensor | np.ndarray):
            raise BmdalError(f"item {i} of {self.name} is {_kind(x)}; items must be x or (x, ...), x a tensor")
        # A copy: a data set may hand out the same memory again and again.
        return as_tensor(f"item {i} of {self.name}", x).clone()


@dataclass(frozen=True)
class _Lazily:
    """Items of a data set that are made one by one."""

    dataset: Any
    indices: Sequence[int]

    def __iter__(self) -> Iterator[Any]:
        return (self.dataset[i] for i in self.indices)


def _input(item: Any) -> Any:
    return item[0] if isinstance(item, tuple | list) and item else item


def first_point(X: Inputs) -> Tensor:
    """The first of some points, shape (1, ...); empty if there is none."""
    return X.first if isinstance(X, StreamedInputs) else X[:1]


def may_cast(table: object, points: Inputs) -> bool:
    """Whether points may be cast to another precision: all but tensors, which are used as they are."""
    return not (points.holds_tensors if isinstance(points, StreamedInputs) else isinstance(table, Tensor))


def few_points(x_train: Inputs, x_pool: Inputs) -> Tensor:
    """Up to eight training and eight pool points, from all over them and differing if they can, shape (k, ...)."""
    few = _few(x_train)
    return torch.cat([few, _few(x_pool).to(few.device)])


def _few(X: Inputs, n: int = 8) -> Tensor:
    if not isinstance(X, Tensor):  # reading costs time
        return X[_spread(len(X), n)]
    some = X[_spread(len(X), 8 * n)]
    values = (torch.view_as_real(some) if some.is_complex() else some).reshape(len(some), -1).to(torch.float64)
    keys = (values @ torch.arange(1.0, 1 + values.shape[1]).to(values).sin()).tolist()  # equal for equal points
    chosen = sorted({key: i for i, key in reversed(list(enumerate(keys)))}.values())
    chosen = [chosen[k] for k in _spread(len(chosen), n)]
    rest = [i for i in _spread(len(some), n) if i not in chosen]
    return some[sorted([*chosen, *rest[: n - len(chosen)]])]


def _spread(n: int, k: int) -> list[int]:
    k = min(n, k)
    return [i * (n - 1) // max(1, k - 1) for i in range(k)]


def in_one_precision(tables: Mapping[str, Inputs], castable: bool) -> list[Inputs]:
    """Points in one precision, float64 if some are integers, by what they are called.

    Raises BmdalError if they differ and must stay as they are, or if integers are not exact in float64.
    """
    types = {name: first_point(X).dtype for name, X in tables.items()}
    if len(set(types.values())) == 1:
        return list(tables.values())
    if not castable:
        kinds = ", ".join(f"{name} {dtype}" for name, dtype in types.items())
        raise BmdalError(f"points must be of one type, they are {kinds}")
    finest = max((dtype for dtype in types.values() if dtype.is_floating_point), key=lambda d: d.itemsize, default=None)
    common = torch.float64 if finest is None or not all(d.is_floating_point for d in types.values()) else finest
    for name, X in tables.items():
        if isinstance(X, Tensor) and not X.is_floating_point():
            check_exact(name, X)
    return [X.to(common) for X in tables.values()]


def check_exact(name: str, X: Tensor) -> None:
    """Raise BmdalError for integers beyond 2^53, which float64 cannot tell apart."""
    if len(X) and bool((X.to(torch.int64).abs() > 2**53).any()):
        raise BmdalError(f"{name} holds integers beyond 2^53, which are not exact as real numbers; leave them out")


def check_columns(tables: Mapping[str, object]) -> None:
    """Raise BmdalError if two frames, by what they are called, differ in their columns or the order of these."""
    frames = {name: list(getattr(table, "columns", [])) for name, table in tables.items()}
    for (first, one), (second, other) in pairwise((name, columns) for name, columns in frames.items() if columns):
        if one != other:
            i = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
            a, b = (repr(columns[i]) if i < len(columns) else "none" for columns in (one, other))
            raise BmdalError(
                f"{first} and {second} must have the same columns in the same order: column {i} is {a} and {b}"
            )


def check_finite(name: str, X: Tensor, rows: Sequence[int] | None = None) -> None:
    """Raise BmdalError, naming the row, if a tensor has a NaN or infinite value.

    rows: the numbers of its rows; None: from 0 on.
    """
    if not (X.is_floating_point() or X.is_complex()):
        return
    for start in range(0, len(X), 2**16):
        bad = ~torch.isfinite(X[start : start + 2**16].reshape(len(X[start : start + 2**16]), -1))
        if bool(bad.any()):
            row = start + int(bad.any(dim=1).nonzero()[0])
            row = row if rows is None else rows[row]
            raise BmdalError(f"{name} has a NaN or infinite value in row {row}; drop such rows or fill the values in")


def _checked(name: str, X: Tensor) -> Tensor:
    """The tensor, if it holds plain numbers."""
    if X.layout != torch.strided or X.is_nested:
        kind = "nested" if X.is_nested else str(X.layout).removeprefix("torch.")
        raise BmdalError(f"{name} is a {kind} tensor; points must be dense, e.g. {name}.to_dense()")
    if X.is_quantized or X.is_meta:
        kind = "quantized: use dequantize()" if X.is_quantized else "on the meta device and has no values"
        raise BmdalError(f"{name} is {kind}")
    if X.is_floating_point() and X.itemsize == 1:
        raise BmdalError(f"{name} holds {X.dtype}, with which nothing can be computed; use {name}.float()")
    if type(X).__name__ == "MaskedTensor":
        raise BmdalError(f"{name} is a masked tensor: fill its gaps in, or leave such points out")
    return X


def _kind(value: object) -> str:
    """What a value is, for messages, and what to do with it if that is known."""
    remedies = {"scipy": "use its toarray()", "polars": "use its to_pandas() or to_numpy()", "list": "use np.array"}
    kind = type(value).__name__
    source = kind if kind in remedies else type(value).__module__.split(".")[0]
    return ("None" if value is None else f"a {kind}") + (f" ({remedies[source]})" if source in remedies else "")


def _array(name: str, frame: Frame) -> NDArray[Any]:
    columns = frame.dtypes.items() if hasattr(frame, "columns") else [(name, frame.dtypes)]
    for column, dtype in columns:
        if getattr(dtype, "kind", "O") not in "biuf":
            raise BmdalError(f"{name}: column {column!r} holds {dtype}, not numbers; encode it or drop it")
        values = frame[column] if hasattr(frame, "columns") else frame  # type: ignore[index]
        if getattr(dtype, "kind", "O") in "iu" and (np.abs(values.to_numpy(np.float64, na_value=0.0)) > 2**53).any():
            raise BmdalError(
                f"{name}: column {column!r} holds integers beyond 2^53, which are not exact as numbers; drop it"
            )
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)
