"""What every raw table offers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from data_prep.progress import Unit

_CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows, and how far into the table they reach.

    frame: (n, len(columns)), its columns labelled by their position in the table.
    done: amount of the table read so far, in the table's unit.
    """

    frame: pd.DataFrame
    done: float


class Table(Protocol):
    """Named columns and rows that can be read again and again, in order.

    columns: the names. nominal: positions of the columns that the file itself declares categorical; ignored: of those
    that are said to be no inputs (row numbers).
    size, unit: how much there is to read, for progress.
    """

    columns: tuple[str, ...]
    nominal: frozenset[int]
    ignored: frozenset[int]
    size: float
    unit: Unit

    def chunks(self, columns: Sequence[int], text: Collection[int] | None) -> Iterator[Chunk]:
        """The rows of the given columns, chunk by chunk.

        text: the columns to be read as text, all others become float64; None leaves the choice to what each chunk
        holds. Missing values are NaN either way. Raises DataError if the table is damaged.
        """
        ...


def chunk_rows(n_columns: int) -> int:
    """Rows per chunk, so that a chunk of float64 takes some 16 MiB."""
    return max(1024, _CHUNK_BYTES // (8 * max(1, n_columns)))
