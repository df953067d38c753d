"""Choose the rows of a raw table: the complete rows or, if there are more than 500,000, a random subset of them.

The table is read twice in chunks: first to find out which rows are complete and which columns contain text, then to
collect the kept rows. So memory grows with the kept rows, not with the table (methane has 31 million rows).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_prep.columns import Columns
from data_prep.errors import DataError
from data_prep.progress import Progress
from data_prep.tables import Table
from data_prep.words import WordCount, as_numbers, holds_numbers, shown

MAX_ROWS = 500_000
_SUBSAMPLE_SEED = 12345


@dataclass(frozen=True)
class Rows:
    """The kept rows in final order.

    frame: (n, columns in use), labelled by position; text columns as text, all others float64, nothing missing.
    categorical: positions of the text columns. n_raw: number of rows of the raw table.
    words: by position, the values in all rows of the raw table that are not numbers, except in declared categorical
    columns. numbers: row numbers of the kept rows in the raw table, ascending.
    """

    frame: pd.DataFrame
    categorical: frozenset[int]
    n_raw: int
    words: Mapping[int, WordCount]
    numbers: NDArray[np.intp]

    def read_again(self, table: Table, columns: Sequence[int]) -> Iterator[pd.DataFrame]:
        """Read the given columns of the kept rows again as text, in parts, in the order of the file."""
        for frame, _ in _parts(table, columns, columns, self.numbers):
            yield frame


@dataclass(frozen=True)
class _Survey:
    """complete: (n_raw,) bool. text: positions of columns with a value that is not a number. words: see `Rows`."""

    complete: NDArray[np.bool_]
    text: frozenset[int]
    words: dict[int, WordCount]


def kept_rows(name: str, table: Table, columns: Columns, progress: Progress) -> Rows:
    """Return the complete rows; if n > 500,000, the first 500,000 of default_rng(12345).permutation(n), in that order.

    Source: arXiv 2203.09410, appendix on data sets. Raises DataError if a target contains text or no row is complete.
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
    categorical = (columns.categorical | survey.text) - columns.numeric
    return Rows(frame, categorical, len(survey.complete), survey.words, numbers)


def _survey(name: str, table: Table, columns: Columns, progress: Progress) -> _Survey:
    complete: list[NDArray[np.bool_]] = []
    text: set[int] = set(columns.categorical)
    words = {i: WordCount() for i in columns.used if i not in columns.categorical}
    n_missing = np.zeros(len(columns.used), dtype=np.int64)
    with progress.task(f"{name}: looking through the table", table.size, table.unit) as advance:
        for chunk in table.chunks(columns.used, None):
            if chunk.frame.empty:  # no values to determine the types from
                continue
            here = {i for i in columns.used if not holds_numbers(chunk.frame[i])}
            text |= here
            for i in here & words.keys():
                column = chunk.frame[i]
                words[i].add(column[column.notna() & as_numbers(column).isna()])
            present = _coerced(chunk.frame, columns.numeric).notna().to_numpy(dtype=bool)
            n_missing += (~present).sum(axis=0)
            complete.append(np.logical_and.reduce(present, axis=1))
            advance(chunk.done)
    for i in columns.targets:
        if i in text - columns.numeric:
            target = table.columns[i]
            found = f": {shown(words[i].most_common())}" if i in words and words[i].n else ""
            raise DataError(
                f"data set {name}: the target {target!r} holds text{found}; the target must be a number. "
                f"`numeric: [{target!r}]` leaves out the rows in which it is not"
            )
    where = _where_missing(table, columns, dict(zip(columns.used, n_missing.tolist(), strict=True)), words)
    if not any(part.any() for part in complete):
        raise DataError(
            f"data set {name}: no row without a missing value; most are missing in {where or 'an empty table'}. "
            "Add such columns to `drop`, or check `separator` and `header`"
        )
    survey = _Survey(np.concatenate(complete), frozenset(text), words)
    if n_dropped := int((~survey.complete).sum()):
        n = len(survey.complete)
        progress.note(f"warning: {name}: {n_dropped:,} of {n:,} rows are left out because values are missing: {where}")
    return survey


def _where_missing(table: Table, columns: Columns, n_missing: dict[int, int], words: dict[int, WordCount]) -> str:
    """List the columns with the most missing values, the targets first."""

    def number(i: int) -> str:
        if i not in columns.numeric or not words[i].n:
            return f"{n_missing[i]:,}"
        return f"{n_missing[i]:,}, of which {words[i].n:,} are not numbers: {shown(words[i].most_common())}"

    order = sorted(n_missing, key=lambda i: (i not in columns.targets, -n_missing[i]))
    kinds = dict.fromkeys(columns.targets, "target ")
    return ", ".join(f"{kinds.get(i, '')}{table.columns[i]!r} ({number(i)})" for i in order[:5] if n_missing[i])


def _gather(
    name: str,
    table: Table,
    columns: Columns,
    text: frozenset[int],
    numbers: NDArray[np.intp],
    progress: Progress,
) -> pd.DataFrame:
    """Return the rows with the given numbers, which are ascending."""
    parts: list[pd.DataFrame] = []
    with progress.task(f"{name}: reading {len(numbers):,} rows", table.size, table.unit) as advance:
        for frame, done in _parts(table, columns.used, text, numbers):
            parts.append(_coerced(frame, columns.numeric))
            advance(done)
    return pd.concat(parts, ignore_index=True)


def _parts(
    table: Table, columns: Sequence[int], text: Collection[int], numbers: NDArray[np.intp]
) -> Iterator[tuple[pd.DataFrame, float]]:
    """Yield the rows with the given ascending numbers, chunk by chunk, and how far the table has been read."""
    first = 0
    for chunk in table.chunks(columns, text):
        last = first + len(chunk.frame)
        here = numbers[np.searchsorted(numbers, first) : np.searchsorted(numbers, last)] - first
        yield chunk.frame.take(here), chunk.done
        first = last


def _coerced(frame: pd.DataFrame, numeric: frozenset[int]) -> pd.DataFrame:
    """Convert the given columns of a frame to numbers, with NaN for values that are not numbers."""
    words = [i for i in numeric if i in frame.columns and not holds_numbers(frame[i])]
    if not words:
        return frame
    coerced = frame.copy()
    for i in words:
        coerced[i] = as_numbers(frame[i])
    return coerced
