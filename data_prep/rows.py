"""Which rows of a raw table are kept: the complete ones, and of more than 500,000 a random part.

The table is read twice, chunk by chunk: once to see which rows are complete and which columns hold text, once to
gather the rows that are kept. So memory grows with the kept rows, not with the table (methane has 31 million).
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
    categorical: positions of the columns of text. n_raw: rows of the raw table.
    words: by position, of all rows of the raw table, the values that are no numbers; not of columns that are known to
    be categorical. numbers: of the kept rows in the raw table, ascending.
    """

    frame: pd.DataFrame
    categorical: frozenset[int]
    n_raw: int
    words: Mapping[int, WordCount]
    numbers: NDArray[np.intp]

    def read_again(self, table: Table, columns: Sequence[int]) -> Iterator[pd.DataFrame]:
        """The given columns of the kept rows as text, part by part, in the order of the file."""
        for frame, _ in _parts(table, columns, columns, self.numbers):
            yield frame


@dataclass(frozen=True)
class _Survey:
    """complete: (n_raw,) bool. text: positions of the columns in which a value is no number. words: see `Rows`."""

    complete: NDArray[np.bool_]
    text: frozenset[int]
    words: dict[int, WordCount]


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
    categorical = (columns.categorical | survey.text) - columns.numeric
    return Rows(frame, categorical, len(survey.complete), survey.words, numbers)


def _survey(name: str, table: Table, columns: Columns, progress: Progress) -> _Survey:
    complete: list[NDArray[np.bool_]] = []
    text: set[int] = set(columns.categorical)
    words = {i: WordCount() for i in columns.used if i not in columns.categorical}
    n_missing = np.zeros(len(columns.used), dtype=np.int64)
    with progress.task(f"{name}: looking through the table", table.size, table.unit) as advance:
        for chunk in table.chunks(columns.used, None):
            if chunk.frame.empty:  # no value says of which type it is
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
                f"`numeric: [{target!r}]` leaves out the rows in which it is none"
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
        progress.note(f"warning: {name}: {n_dropped:,} of {n:,} rows are left out, they lack a value: {where}")
    return survey


def _where_missing(table: Table, columns: Columns, n_missing: dict[int, int], words: dict[int, WordCount]) -> str:
    """The columns that lack most values, those of the target before all others."""

    def number(i: int) -> str:
        if i not in columns.numeric or not words[i].n:
            return f"{n_missing[i]:,}"
        return f"{n_missing[i]:,}, of which {words[i].n:,} are no numbers: {shown(words[i].most_common())}"

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
    """The rows with the given numbers, which ascend."""
    parts: list[pd.DataFrame] = []
    with progress.task(f"{name}: reading {len(numbers):,} rows", table.size, table.unit) as advance:
        for frame, done in _parts(table, columns.used, text, numbers):
            parts.append(_coerced(frame, columns.numeric))
            advance(done)
    return pd.concat(parts, ignore_index=True)


def _parts(
    table: Table, columns: Sequence[int], text: Collection[int], numbers: NDArray[np.intp]
) -> Iterator[tuple[pd.DataFrame, float]]:
    """The rows with the given numbers, which ascend, chunk by chunk, and how far the table has been read."""
    first = 0
    for chunk in table.chunks(columns, text):
        last = first + len(chunk.frame)
        here = numbers[np.searchsorted(numbers, first) : np.searchsorted(numbers, last)] - first
        yield chunk.frame.take(here), chunk.done
        first = last


def _coerced(frame: pd.DataFrame, numeric: frozenset[int]) -> pd.DataFrame:
    """The frame with the given columns as numbers, NaN where a value is none."""
    words = [i for i in numeric if i in frame.columns and not holds_numbers(frame[i])]
    if not words:
        return frame
    coerced = frame.copy()
    for i in words:
        coerced[i] = as_numbers(frame[i])
    return coerced
