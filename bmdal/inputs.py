"""What may be given as points: tensors, numpy arrays, pandas frames, and data sets that are read in a stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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

    def to_numpy(self, dtype: Any, *, na_value: Any) -> NDArray[Any]: ...


Table = Tensor | NDArray[Any] | Frame
"""Points that are in memory."""


class Inputs(Protocol):
    """Inputs of n points, taken piece by piece: a tensor, or a `StreamedInputs`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Tensor: ...


def as_tensor(name: str, table: Table, dtype: torch.dtype | None) -> Tensor:
    """A table as a tensor, shape (n, ...), on the CPU unless it is a tensor already.

    Tensors stay as they are. Arrays of floating-point numbers get the given dtype (None: keep theirs), arrays of
    integers keep theirs; a frame gets the given dtype (None: float64), its missing values become NaN.

    Raises BmdalError, naming the column, for what are not numbers.
    """
    match table:
        case Tensor():
            return table
        case np.ndarray():
            array = table
        case Frame():
            array = _array(name, table)
        case _:
            raise BmdalError(
                f"{name} must be a tensor, a numpy array or a pandas frame of numbers, it is a {type(table).__name__}"
            )
    if array.dtype.kind not in "biuf":
        raise BmdalError(f"{name} must hold numbers, it is an array of {array.dtype}; encode or drop what are none")
    # PyTorch takes neither read-only arrays nor foreign byte orders nor negative strides.
    tensor = torch.as_tensor(np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"]))
    return tensor.to(dtype) if tensor.is_floating_point() else tensor


def as_inputs(name: str, points: Table | Dataset[Any], dtype: torch.dtype) -> Inputs:
    """Points as inputs of networks of a dtype. Raises BmdalError for what cannot be used."""
    if not isinstance(points, Dataset):
        return as_tensor(name, points, dtype)
    if isinstance(points, IterableDataset) or not hasattr(points, "__len__"):
        kind = type(points).__name__
        raise BmdalError(f"{name} must be a map-style data set, with __len__ and __getitem__, which {kind} is not")
    return StreamedInputs(name, points, dtype)


@dataclass(frozen=True)
class StreamedInputs:
    """The inputs in a map-style `torch.utils.data.Dataset`, read when they are needed and not kept.

    Items are x or (x, ...); x is a tensor, an array or a number and becomes a tensor as in `as_tensor`.
    `__getitems__` (a list of indices) is used where the data set has it.
    """

    name: str
    dataset: Dataset[Any]
    dtype: torch.dtype

    def __len__(self) -> int:
        return len(self.dataset)  # type: ignore[arg-type]  # checked by as_inputs

    def __getitem__(self, rows: slice) -> Tensor:
        """The inputs of some rows, shape (n, ...). Raises BmdalError for items that cannot be used."""
        indices = range(len(self))[rows]
        get_many = getattr(self.dataset, "__getitems__", None)
        items: Iterable[Any] = get_many(list(indices)) if get_many else (self.dataset[i] for i in indices)
        tensors = [self._tensor(i, item) for i, item in zip(indices, items, strict=True)]
        shapes = {t.shape: i for i, t in reversed(list(zip(indices, tensors, strict=True)))}  # the first of each shape
        if len(shapes) > 1:
            (one, i), (other, j) = sorted(shapes.items(), key=lambda item: item[1])[:2]
            raise BmdalError(
                f"the items of {self.name} must have one shape: item {i} has {tuple(one)}, item {j} has {tuple(other)}"
            )
        X = torch.stack(tensors)
        check_finite(self.name, X, first_row=indices.start)
        return X

    def _tensor(self, i: int, item: Any) -> Tensor:
        x = item[0] if isinstance(item, tuple | list) else item
        if isinstance(x, int | float | np.generic):
            x = np.asarray(x)
        if not isinstance(x, Tensor | np.ndarray):
            raise BmdalError(
                f"item {i} of {self.name} is a {type(x).__name__}; items must be x or (x, ...), x a tensor"
            )
        return as_tensor(f"item {i} of {self.name}", x, self.dtype)


def check_columns(x_train: object, x_pool: object) -> None:
    """Raise BmdalError if two frames differ in their columns or the order of these."""
    train, pool = (list(getattr(x, "columns", [])) for x in (x_train, x_pool))
    if train and pool and train != pool:
        i = next((i for i, (a, b) in enumerate(zip(train, pool, strict=False)) if a != b), min(len(train), len(pool)))
        a, b = (repr(columns[i]) if i < len(columns) else "none" for columns in (train, pool))
        raise BmdalError(f"x_train and x_pool must have the same columns in the same order: column {i} is {a} and {b}")


def check_finite(name: str, X: Tensor, first_row: int = 0) -> None:
    """Raise BmdalError, naming the row, if a floating-point tensor has a NaN or infinite value."""
    if not X.is_floating_point():
        return
    for start in range(0, len(X), 2**16):
        bad = ~torch.isfinite(X[start : start + 2**16].reshape(len(X[start : start + 2**16]), -1))
        if bool(bad.any()):
            row = first_row + start + int(bad.any(dim=1).nonzero()[0])
            raise BmdalError(f"{name} has a NaN or infinite value in row {row}; drop such rows or fill the values in")


def _array(name: str, frame: Frame) -> NDArray[Any]:
    columns = frame.dtypes.items() if hasattr(frame, "columns") else [(name, frame.dtypes)]
    for column, dtype in columns:
        if getattr(dtype, "kind", "O") not in "biuf":
            raise BmdalError(f"{name}: column {column!r} holds {dtype}, not numbers; encode it or drop it")
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)
