"""Tables as points: tensors, NumPy arrays and pandas frames, and checks of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bmdal.errors import BmdalError


@runtime_checkable
class Frame(Protocol):
    """A pandas DataFrame or Series: a table of numbers that can be converted to an array."""

    dtypes: Any
    iloc: Any

    def to_numpy(self, dtype: Any, *, na_value: Any) -> NDArray[Any]: ...


Table = Tensor | NDArray[Any] | Frame
"""Points that are in memory."""


def as_tensor(name: str, table: Table) -> Tensor:
    """A table as a tensor, shape (n, ...), on the CPU unless it is a tensor already.

    Tensors and arrays keep their type; a frame becomes float64, with NaN for missing values.

    Raises BmdalError, naming the column, for values that are not numbers, and for numbers that tensors cannot hold.
    """
    match table:
        case Tensor():
            return _checked(name, table)
        case np.ma.MaskedArray():
            raise BmdalError(f"{name} is a masked array: fill in its gaps, or leave such points out")
        case np.ndarray():
            array = table
        case Frame():
            array = _array(name, table)
        case _:
            raise BmdalError(
                f"{name} must be a tensor, a NumPy array or a pandas frame of numbers, it is {kind_of(table)}"
            )
    if array.dtype.kind not in "biuf":
        raise BmdalError(f"{name} must hold numbers, it is an array of {array.dtype}; encode or drop other values")
    try:
        # PyTorch accepts no read-only arrays, foreign byte orders or negative strides.
        return torch.as_tensor(np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"]))
    except TypeError:
        raise BmdalError(
            f"{name} is an array of {array.dtype}, which tensors cannot hold; use {name}.astype(np.float64)"
        ) from None


def parts_of(tree: Any) -> list[Any]:
    """The values in nested tuples and dictionaries."""
    if isinstance(tree, Mapping | tuple | list):
        return [part for value in (tree.values() if isinstance(tree, Mapping) else tree) for part in parts_of(value)]
    return [tree]


def check_exact(name: str, X: Tensor) -> None:
    """Raise BmdalError for integers beyond 2^53, which float64 cannot tell apart."""
    if len(X) and bool((X.to(torch.int64).abs() > 2**53).any()):
        raise BmdalError(f"{name} holds integers beyond 2^53, which float64 cannot represent exactly; leave them out")


def frame_of(points: Any) -> Any:
    """The frame that points are, or the first one in tuples and dictionaries; None if there is none.

    Raises BmdalError if several frames have different indexes.
    """
    frames = [part for part in parts_of(points) if isinstance(part, Frame) and hasattr(part, "index")]
    if any(not frame.index.equals(frames[0].index) for frame in frames):
        raise BmdalError("the frames in x_pool have different indexes: their rows must belong to the same points")
    return frames[0] if frames else None


def check_columns(tables: Mapping[str, Any]) -> None:
    """Raise BmdalError, naming the column, if two frames differ in their columns or in the order of the columns."""
    places = [_frames(name, table) for name, table in tables.items()]
    for first, second in pairwise(frames for frames in places if frames):
        for (one_name, one), (other_name, other) in zip(first, second, strict=False):
            if one != other:
                pairs = zip(one, other, strict=False)
                i = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
                a, b = (repr(columns[i]) if i < len(columns) else "none" for columns in (one, other))
                raise BmdalError(
                    f"{one_name} and {other_name} must have the same columns in the same order: "
                    f"column {i} is {a} and {b}"
                )


def _frames(name: str, table: Any) -> list[tuple[str, list[Any]]]:
    """The place and the columns of each frame in points."""
    if isinstance(table, Mapping):
        return [f for key in sorted(table, key=str) for f in _frames(f"{name}[{key!r}]", table[key])]
    if isinstance(table, tuple):
        return [f for i, part in enumerate(table) for f in _frames(f"{name}[{i}]", part)]
    return [(name, list(table.columns))] if isinstance(table, Frame) and hasattr(table, "columns") else []


def check_finite(name: str, X: Tensor, rows: Sequence[int] | None = None) -> None:
    """Raise BmdalError, naming the row, if a tensor has a NaN or infinite value.

    rows: the row numbers to use in the message; None: counted from 0.
    """
    if not (X.is_floating_point() or X.is_complex()):
        return
    for start in range(0, len(X), 2**16):
        bad = ~torch.isfinite(X[start : start + 2**16].reshape(len(X[start : start + 2**16]), -1))
        if bool(bad.any()):
            row = start + int(bad.any(dim=1).nonzero()[0])
            row = row if rows is None else rows[row]
            raise BmdalError(f"{name} has a NaN or infinite value in row {row}; drop such rows or fill in the values")


def _checked(name: str, X: Tensor) -> Tensor:
    """The tensor itself. Raises BmdalError unless it is dense and holds plain numbers."""
    if X.layout != torch.strided or X.is_nested:
        kind = "nested" if X.is_nested else str(X.layout).removeprefix("torch.")
        raise BmdalError(f"{name} is a {kind} tensor; points must be dense, e.g. {name}.to_dense()")
    if X.is_quantized or X.is_meta:
        kind = "quantized: use dequantize()" if X.is_quantized else "on the meta device and has no values"
        raise BmdalError(f"{name} is {kind}")
    if X.is_floating_point() and X.itemsize == 1:
        raise BmdalError(f"{name} holds {X.dtype}, which does not support computations; use {name}.float()")
    if type(X).__name__ == "MaskedTensor":
        raise BmdalError(f"{name} is a masked tensor: fill in its gaps, or leave such points out")
    return X


def kind_of(value: object) -> str:
    """The kind of a value for messages, with a remedy if one is known."""
    remedies = {
        "scipy": "use its toarray()",
        "polars": "use its to_pandas() or to_numpy()",
        "list": "use np.array, or pass a collate_fn",
    }
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
                f"{name}: column {column!r} holds integers beyond 2^53, which float64 cannot represent exactly; drop it"
            )
    return frame.to_numpy(dtype=np.float64, na_value=np.nan)
