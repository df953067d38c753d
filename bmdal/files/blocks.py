"""Features of points, computed in chunks and gathered in blocks of one size."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bmdal.errors import BmdalError
from bmdal.features.stored import BLOCK_ROWS
from bmdal.inputs import as_inputs
from bmdal.points import given_to_networks
from bmdal.tables import Frame, as_tensor

AT_ONCE = 1024
"""Points that are computed at a time, unless a loader says how many."""


def _are_chunks(points: Any) -> bool:
    """Whether points are an iterable of chunks of points, not points themselves."""
    return not isinstance(points, Tensor | np.ndarray | Frame | tuple | Mapping | DataLoader | Dataset)


def chunks_of(points: Any, features: Callable[[Any], Tensor] | None, n_known: int) -> tuple[Iterator[Tensor], int]:
    """Features in chunks, and the number of the block that the first one begins."""
    if _are_chunks(points):
        if not isinstance(points, Iterable):
            raise BmdalError(f"points must be a table, a data set, a loader or an iterable of chunks, got {points!r}")
        return (_features_of(chunk, features) for chunk in points), 0
    batch_size = (points.batch_size or AT_ONCE) if isinstance(points, DataLoader) else AT_ONCE
    inputs = points if isinstance(points, np.memmap) else as_inputs("points", points)[0]

    def compute(rows: slice) -> Tensor:
        part = inputs[rows]
        part = as_tensor("points", np.array(part)) if isinstance(part, np.ndarray) else given_to_networks(part)
        return _features_of(part, features)

    return in_chunks(compute, len(inputs), batch_size, n_known if features is not None else 0)  # to compare is cheap


def in_chunks(compute: Callable[[slice], Tensor], n: int, size: int, n_known: int) -> tuple[Iterator[Tensor], int]:
    """Features of n points in chunks of `size`, from the last known block on, whose number is the second result.

    Chunks end with blocks, so that those of a continued file are the same.
    """
    first = max(0, n_known - 1)
    starts = range(first * BLOCK_ROWS, n, BLOCK_ROWS)
    chunks = (
        slice(i, min(i + size, start + BLOCK_ROWS, n))
        for start in starts
        for i in range(start, min(start + BLOCK_ROWS, n), size)
    )
    return map(compute, chunks), first


def _features_of(chunk: Any, features: Callable[[Any], Tensor] | None) -> Tensor:
    with torch.no_grad():
        matrix: Any = chunk if features is None else features(chunk)
    matrix = as_tensor("features", matrix) if isinstance(matrix, np.ndarray) else matrix
    if not isinstance(matrix, Tensor) or matrix.ndim != 2 or not matrix.is_floating_point() or not matrix.shape[1]:
        what = f"{tuple(matrix.shape)} of {matrix.dtype}" if isinstance(matrix, Tensor) else type(matrix).__name__
        raise BmdalError(f"features must be matrices of floating-point numbers, shape (n, p), they are {what}")
    return matrix


def in_blocks(chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """The rows of chunks in blocks of BLOCK_ROWS; the last one may have fewer."""
    waiting: list[Tensor] = []
    n_waiting = 0
    for chunk in chunks:
        if waiting and chunk.shape[1] != waiting[0].shape[1]:
            raise BmdalError(
                f"features must have the same columns, they have {waiting[0].shape[1]} and {chunk.shape[1]}"
            )
        waiting.append(chunk.to("cpu", copy=True))  # its memory may be used again for the next one
        n_waiting += len(chunk)
        while n_waiting >= BLOCK_ROWS:
            rows = torch.cat(waiting) if len(waiting) > 1 else waiting[0]
            yield rows[:BLOCK_ROWS]
            waiting, n_waiting = [rows[BLOCK_ROWS:]], n_waiting - BLOCK_ROWS
    if n_waiting:
        yield torch.cat(waiting)


def length_of(points: Any) -> int | None:
    if _are_chunks(points) or isinstance(points, tuple | Mapping):
        return None
    sized: Any = points.dataset if isinstance(points, DataLoader) else points
    return len(sized)
