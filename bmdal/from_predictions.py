"""From models that are no single network, such as forests, by what their members predict."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bmdal.batch import Batch, check_batch_size
from bmdal.errors import BmdalError
from bmdal.from_features import select
from bmdal.inputs import Table
from bmdal.members import Members, members
from bmdal.method import Method
from bmdal.network.network import Output

PART = 2**14
"""Points that are predicted at a time."""
N_FEW = 8
"""Points on which the members are checked."""


def select_by_predictions(
    method: Method,
    model: Any,
    tables: Mapping[str, Any],
    y_train: Table | None,
    batch_size: int,
    generator: torch.Generator | int,
    output: Output = None,
) -> Batch:
    """The batch of a method with the kernel `pred`.

    Args:
        model: what has members, see `bmdal.members.members`.
        tables: points as the model takes them, arrays, frames or tensors: "x_pool" and perhaps "x_train", "x_target".
        y_train, batch_size, generator, output: as in `select_batch`; an output is a column of predictions.

    Raises BmdalError as `members` and `select` do.
    """
    for name, table in tables.items():
        if not (hasattr(table, "iloc") or isinstance(table, np.ndarray | torch.Tensor)) or not len(table):
            raise BmdalError(
                f"{name} must be an array, a frame or a tensor with at least one point for the kernel 'pred'"
            )
    check_batch_size(batch_size, len(tables["x_pool"]))
    start = time.perf_counter()
    pool = tables["x_pool"]
    few = _rows(pool, sorted({i * (len(pool) - 1) // (N_FEW - 1) for i in range(N_FEW)}))
    found = members(model, few if len(few) > 1 else _rows(pool, [0, 0]))
    columns = _columns(output, found.n_outputs)
    predictions = {name: _predictions(found, table)[:, :, columns] for name, table in tables.items()}
    seconds = time.perf_counter() - start
    batch = select(
        method,
        predictions["x_pool"],
        batch_size,
        generator,
        train=predictions.get("x_train"),
        y_train=y_train,
        target=predictions.get("x_target"),
    )
    return replace(batch, kernel_seconds=seconds + batch.kernel_seconds)


def _predictions(found: Members, table: Any) -> NDArray[np.float64]:
    """Shape (n, K, n_outputs)."""
    parts = [found(_rows(table, slice(start, start + PART))) for start in range(0, len(table), PART)]
    return np.concatenate(parts)


def _columns(output: Output, n_outputs: int) -> list[int]:
    if output is None:
        return list(range(n_outputs))
    columns = [output] if isinstance(output, int) else output
    if isinstance(columns, str) or not columns or not all(0 <= c < n_outputs for c in columns):
        raise BmdalError(f"output={output!r}: the members have {n_outputs} output(s), counted from 0")
    return list(columns)


def _rows(table: Any, rows: Any) -> Any:
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]
