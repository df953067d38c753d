"""Which rows of a raw table are kept: the complete ones, and of more than 500,000 a random part.

The table is read twice, chunk by chunk: once to see which rows are complete and which columns hold text, once to
gather the rows that are kept. So memory grows with the kept rows, not with the table (methane has 31 million).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_prep.columns import Columns
from data_prep.errors import DataError
from data_prep.progress import Progress
from data_prep.tables import Table

MAX_ROWS = 500_000
_SUBSAMPLE_SEED = 12345


@dataclass(frozen=True)
class Rows:
    """The kept rows in final order.

    frame: (n, columns in use), labelled by position; text columns as text, all others float64, nothing missing.
    categorical: positions of the columns of text. n_raw: rows of the raw table.
    """

    frame: pd.DataFrame
    categorical: frozenset[int]
    n_raw: int


@dataclass(frozen=True)
class _Survey:
    """complete: (n_raw,) bool. text: positions of the columns in which a value is no number."""

    complete: NDArray[np.bool_]
    text: frozenset[int]


def kept_rows(name: str, table: Table, columns: Columns, progress: Progress) -> Rows:
    """The complete rows; of n > 500,000 the first 500,000 of default_rng(12345).permutation(n), in that order.

    Source: arXiv 2203.09410, Appendix on data sets. Raises DataError if a target holds text or no row is complete.
    """
    survey = _survey(name, table, columns, progress)
    n = int(survey.complete.sum())
    chosen = np.arange(n)
    if n > MAX_ROWS:
        chosen = np.random.default_rng(_SUBSAMPLE_SEED).permutation(n)[:MAX_ROWS]
    ascending = np.sort(chosen)
    numbers = np.flatnonzero(survey.complete)[ascending]
    frame = _gather(name, table, columns, survey.text, numbers, progress)
    if n > MAX_ROWS:
        frame = frame.take(np.searchsorted(ascending, chosen)).reset_index(drop=True)
    return Rows(frame, (columns.categorical | survey.text) - columns.numeric, len(survey.complete))


def _survey(name: str, table: Table, columns: Columns, progress: Progress) -> _Survey:
    complete: list[NDArray[np.bool_]] = []
    text: set[int] = set(columns.categorical)
    n_missing = np.zeros(len(columns.used), dtype=np.int64)
    with progress.task(f"{name}: looking through the table", table.size, table.unit) as advance:
        for chunk in table.chunks(columns.used, None):
            if chunk.frame.empty:  # no value says of which type it is
                continue
            text |= {i for i in columns.used if not _holds_numbers(chunk.frame[i])}
            present = _coerced(chunk.frame, columns.numeric).notna().to_numpy(dtype=bool)
            n_missing += (~present).sum(axis=0)
            complete.append(np.logical_and.reduce(present, axis=1))
            advance(chunk.done)
    for i in columns.targets:
        if i in text - columns.numeric:
            raise DataError(f"data set {name}: the target {table.columns[i]!r} holds text; the target must be a number")
    where = _where_missing(table, columns, dict(zip(columns.used, n_missing.tolist(), strict=True)))
    if not any(part.any() for part in complete):
        raise DataError(
            f"data set {name}: no row without a missing value; most are missing in {where or 'an empty table'}. "
            "Add such columns to `drop`, or check `separator` and `header`"
        )
    survey = _Survey(np.concatenate(complete), frozenset(text))
    if n_dropped := int((~survey.complete).sum()):
        n = len(survey.complete)
        progress.note(f"warning: {name}: {n_dropped:,} of {n:,} rows are left out, they lack a value: {where}")
    return survey


def _where_missing(table: Table, columns: Columns, n_missing: dict[int, int]) -> str:
    """The columns that lack most values, those of the target before all others."""
    order = sorted(n_missing, key=lambda i: (i not in columns.targets, -n_missing[i]))
    kinds = dict.fromkeys(columns.targets, "target ")
    return ", ".join(f"{kinds.get(i, '')}{table.columns[i]!r} ({n_missing[i]:,})" for i in order[:5] if n_missing[i])


def _gather(
    name: str,
    table: Table,
    columns: Columns,
    text: frozenset[int],
    numbers: NDArray[np.intp],
    progress: Progress,
) -> pd.DataFrame:
    """The rows with the given numbers, which ascend."""
    parts: list[pd.DataFrame] = []
    first = 0
    with progress.task(f"{name}: reading {len(numbers):,} rows", table.size, table.unit) as advance:
        for chunk in table.chunks(columns.used, text):
            last = first + len(chunk.frame)
            here = numbers[np.searchsorted(numbers, first) : np.searchsorted(numbers, last)] - first
            parts.append(_coerced(chunk.frame.take(here), columns.numeric))
            first = last
            advance(chunk.done)
    return pd.concat(parts, ignore_index=True)


def _holds_numbers(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)


def _coerced(frame: pd.DataFrame, numeric: frozenset[int]) -> pd.DataFrame:
    """The frame with the given columns as numbers, NaN where a value is none."""
    words = [i for i in numeric if i in frame.columns and not _holds_numbers(frame[i])]
    if not words:
        return frame
    coerced = frame.copy()
    for i in words:
        coerced[i] = pd.to_numeric(frame[i], errors="coerce").astype(np.float64)
    return coerced
