"""The interface of raw tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from data_prep.progress import Unit

_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows, and how much of the table has been read.

    frame: (n, len(columns)), with columns labelled by their position in the table.
    done: amount of the table read so far, in the table's unit.
    """

    frame: pd.DataFrame
    done: float


class Table(Protocol):
    """Named columns, and rows that can be read repeatedly, in order.

    columns: the names. nominal: positions of columns that the file itself declares categorical. ignored: positions of
    columns that are declared not to be inputs (row numbers). size, unit: how much there is to read, for progress.
    """

    columns: tuple[str, ...]
    nominal: frozenset[int]
    ignored: frozenset[int]
    size: float
    unit: Unit

    def chunks(self, columns: Sequence[int], text: Collection[int] | None) -> Iterator[Chunk]:
        """Yield the rows of the given columns, chunk by chunk.

        text: the columns to read as text, all others are read as float64; None: decide by the content of each chunk.
        Missing values are NaN in either case. Raises DataError if the table is damaged.
        """
        ...


def chunk_rows(n_columns: int) -> int:
    """Return the number of rows per chunk for which a chunk of float64 takes about 16 MiB."""
    return max(1024, _CHUNK_BYTES // (8 * max(1, n_columns)))
