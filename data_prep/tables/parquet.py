"""Parquet, the binary format of OpenML and of many users' own tables."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.errors import DataError
from data_prep.progress import Unit
from data_prep.tables.base import Chunk, chunk_rows


class ParquetTable:
    """A parquet file, streamed: even one with a single huge row group is never read whole."""

    unit: Unit = "rows"

    def __init__(self, path: Path, *, ignored: Collection[str] = ()) -> None:
        self._path = path
        try:
            with self._open() as file:
                self._schema = file.schema_arrow
                self.size: float = file.metadata.num_rows
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{path}: not a readable parquet file ({error})") from error
        index = (self._schema.pandas_metadata or {}).get("index_columns", [])
        self.columns = tuple(name for name in self._schema.names if name not in index)
        names = [level["name"] if isinstance(level, dict) else level for level in index]  # a dictionary for a range
        self.index = tuple(n for n in names if n and not n.startswith("__index_level_") and n not in self.columns)
        self.ignored = frozenset(i for i, name in enumerate(self.columns) if name in ignored)
        twice = sorted({name for name in self.columns if self._schema.names.count(name) > 1})
        if twice:
            raise DataError(f"{path}: two columns have the name {twice[0]!r}; rename one in the file")
        kinds = {i: self._schema.field(name).type for i, name in enumerate(self.columns)}
        self._words = frozenset(i for i, kind in kinds.items() if not _is_number(kind))
        # Text columns are not nominal, because they may be numbers stored as text.
        self.nominal = frozenset(i for i in self._words if not _is_text(kinds[i]))

    def chunks(self, columns: Sequence[int], text: Collection[int] | None) -> Iterator[Chunk]:
        """See `Table.chunks`. Raises DataError for a column that is neither numbers nor text, for example dates."""
        self._refuse_other_kinds(columns)
        as_words = self._words | frozenset(text or ())
        done = 0
        try:
            with self._open() as file:
                names = [self.columns[i] for i in columns]
                for batch in file.iter_batches(batch_size=chunk_rows(len(columns)), columns=names):
                    done += batch.num_rows
                    series = {
                        i: _words(batch.column(name)) if i in as_words else _numbers(batch.column(name))
                        for i, name in zip(columns, names, strict=True)
                    }
                    yield Chunk(pd.DataFrame(series), done)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"{self._path}: damaged ({error}); replace the file") from error

    def _open(self) -> pq.ParquetFile:
        return pq.ParquetFile(self._path, buffer_size=1 << 20, pre_buffer=False)

    def _refuse_other_kinds(self, columns: Sequence[int]) -> None:
        for i in columns:
            kind = self._schema.field(self.columns[i]).type
            if not (_is_number(kind) or _is_words(kind)):
                raise DataError(
                    f"{self._path}: column {self.columns[i]!r} holds {kind}, neither numbers nor text; "
                    "add it to `drop` or store it as numbers"
                )


def _is_number(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _is_words(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_words(kind.value_type) or _is_number(kind.value_type)
    return _is_text(kind) or pa.types.is_boolean(kind)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _numbers(column: pa.Array) -> pd.Series:
    return pd.Series(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))


def _words(column: pa.Array) -> pd.Series:
    """Cast to text with pyarrow, so that a whole number reads the same whether or not its chunk has missing values."""
    values = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return pd.Series(values.cast(pa.string()).to_pandas())
