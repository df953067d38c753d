"""Select points to label from the predictions of a model's members, such as the trees of a forest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bmdal.batch import Batch, Request, as_labels, as_outcomes, n_targets
from bmdal.errors import BmdalError
from bmdal.from_features import choose_by_features, of_predictions
from bmdal.members import MCDropout, Members, members
from bmdal.network.call import CALL, Call, Forward, Output
from bmdal.points import forward as usual_forward
from bmdal.rules import fingerprints_of_tables
from bmdal.tables import Table

PART = 2**16
"""Number of points that are predicted at a time."""
N_FEW = 8
"""Number of points on which the members are checked."""


def select_by_predictions(
    request: Request,
    model: Any,
    tables: Mapping[str, Any],
    y_train: Table | None,
    forward: Forward | None = None,
    output: Output = None,
) -> Batch:
    """The batch of a method with the kernel `pred`.

    Args:
        model: a model with members, see `bmdal.members.members`.
        tables: points as the model takes them, arrays, frames or tensors: "x_pool" and possibly "x_train", "x_target".
        y_train, forward, output: as in `select_batch`; an output is a column of the predictions.

    Raises BmdalError as `members` and `select` do.
    """
    start, method = time.perf_counter(), request.method
    y = as_labels(method, y_train, len(tables.get("x_train", ())))
    pool = tables["x_pool"]
    few = _rows(pool, sorted({i * (len(pool) - 1) // (N_FEW - 1) for i in range(N_FEW)}))
    of_networks = _of_networks(model, forward, output)
    call = Call(forward or usual_forward, output) if of_networks else CALL
    found = members(model, few if len(few) > 1 else _rows(pool, [0, 0]), call)
    targets_differ = output is None and n_targets(y_train) not in (None, found.n_outputs)
    if targets_differ and not method.selection.needs_predictions:  # `as_outcomes` has its own check
        raise BmdalError(
            f"the members predict {found.n_outputs} output(s) and y_train has {n_targets(y_train)} target(s): pass the "
            "labels of what they predict, or choose the outputs that count, for example output=0 for the mean if the "
            "other is a variance"
        )
    columns = _columns(None if of_networks else output, found.n_outputs)
    predictions = {
        name.removeprefix("x_"): torch.from_numpy(_predictions(found, table, columns)) for name, table in tables.items()
    }
    if request.distinct:
        prints = fingerprints_of_tables({name: table for name, table in tables.items() if name != "x_target"})
        of_pool = prints["x_pool"] if prints else None
        of_train = prints.get("x_train", prints["x_pool"][:0]) if prints else None
        request = request.without_copies(of_train, of_pool)
    features = of_predictions(predictions, request.rules.rows)
    outcomes = None
    if method.selection.needs_predictions:
        outcomes = as_outcomes(method, y, *(predictions[name].mean(dim=1) for name in ("train", "pool")))
    seconds = time.perf_counter() - start
    batch = choose_by_features(request, features, y, outcomes)
    return replace(batch, kernel_seconds=seconds + batch.kernel_seconds)


def check_points(tables: Mapping[str, Any]) -> None:
    """Raise BmdalError for points that are not a table, or an empty one."""
    for name, table in tables.items():
        if not (hasattr(table, "iloc") or isinstance(table, np.ndarray | torch.Tensor)) or not len(table):
            raise BmdalError(
                f"for the kernel 'pred', {name} must be an array, a frame or a tensor with at least one point"
            )


def _of_networks(model: Any, forward: Forward | None, output: Output) -> bool:
    """Whether the members are networks. Raises BmdalError if `forward` or `output` do not fit the kinds of members."""
    listed = [model.module] if isinstance(model, MCDropout) else list(model) if isinstance(model, Sequence) else [model]
    networks = [isinstance(member, nn.Module) for member in listed]
    if forward is not None and not all(networks):
        raise BmdalError(
            "forward is for networks, and the model or one of its members is not a network: leave forward out"
        )
    if output is not None and any(networks) and not all(networks):
        raise BmdalError("output needs members that are all networks or all other models, and these are of both kinds")
    return all(networks)


def _columns(output: Output, n_outputs: int) -> list[int]:
    if output is None:
        return list(range(n_outputs))
    columns = [output] if isinstance(output, int) else output
    if isinstance(columns, str) or not columns or not all(0 <= c < n_outputs for c in columns):
        raise BmdalError(f"output={output!r}: the members have {n_outputs} output(s), counted from 0")
    return list(columns)


def _rows(table: Any, rows: Any) -> Any:
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def _predictions(found: Members, table: Any, columns: list[int]) -> NDArray[np.float64]:
    """The members' predictions for some of the outputs, shape (n, K, n_columns)."""
    predictions = np.empty((len(table), found.n_members, len(columns)))
    for start in range(0, len(table), PART):
        rows = slice(start, start + PART)
        predictions[rows] = found(_rows(table, rows))[:, :, columns]
    return predictions
