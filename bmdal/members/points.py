"""Points in the form in which members get them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bmdal.errors import BmdalError
from bmdal.tables import Frame

Array = NDArray[Any]


def form_of(X: Any) -> tuple[str, tuple[Any, ...]]:
    """The kind of points, and the columns of a frame or else the shape of one point."""
    match X:
        case Tensor():
            return "tensor", tuple(X.shape[1:])
        case np.ma.MaskedArray():
            raise BmdalError("the points are a masked array: fill in its gaps, or leave such points out")
        case np.ndarray():
            return "array", X.shape[1:]
        case Frame() if hasattr(X, "columns"):
            return "frame", tuple(X.columns)
    raise BmdalError(f"points must be a tensor, a NumPy array or a pandas frame, they are a {type(X).__name__}")


def form_text(form: tuple[str, tuple[Any, ...]]) -> str:
    kind, rest = form
    return f"a frame with columns {list(rest)}" if kind == "frame" else f"{kind} rows of shape {rest}"


def length(X: Any) -> int:
    return int(X.shape[0])  # len() does not work for sparse matrices


def rows_of(X: Any, rows: list[int]) -> Any:
    return X.iloc[rows] if isinstance(X, Frame) else X[rows]


def for_estimators(X: Any) -> Any:
    return as_array(X) if isinstance(X, Tensor) else X


def as_array(X: Tensor) -> Array:
    X = X.detach().cpu()
    array: Array = (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    return array
