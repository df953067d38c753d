"""Tables of separated values, one row per line."""

from __future__ import annotations

import io
import warnings
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import pandas as pd

from data_prep.blob import Blob
from data_prep.errors import DataError
from data_prep.progress import Unit
from data_prep.tables.base import Chunk, chunk_rows

_LONGEST_LINE = 1 << 24  # a file with an endless line is not a table


@dataclass(frozen=True)
class Layout:
    """The layout of rows of separated values. missing: marks of missing values; None: the defaults of pandas."""

    separator: str = ","
    header: bool = False
    quote: str = '"'
    escape: str | None = None
    blanks_after_separator: bool = False
    missing: tuple[str, ...] | None = None


class TextTable:
    """A CSV-like file. Without a header, columns are named by their positions."""

    nominal: frozenset[int] = frozenset()
    ignored: frozenset[int] = frozenset()
    unit: Unit = "bytes"

    def __init__(self, blob: Blob, *, header: bool, separator: str) -> None:
        self._blob = blob
        self._layout = Layout(separator, header)
        self.size: float = blob.size
        first = self._first_line()
        self.columns = tuple(name if header else str(i) for i, name in enumerate(first))

    def chunks(self, columns: Sequence[int], text: Collection[int] | None) -> Iterator[Chunk]:
        """See `Table.chunks`."""
        return read_separated(self._blob, _decoded, self._layout, len(self.columns), columns, text)

    def _first_line(self) -> list[str]:
        try:
            with self._blob.open() as stream, _decoded(stream) as lines:
                if len(lines.readline(_LONGEST_LINE)) == _LONGEST_LINE:
                    raise DataError(f"{self._blob}: its first line is longer than {_LONGEST_LINE:,} characters")
            with self._blob.open() as stream, _decoded(stream) as lines:
                sep = self._layout.separator
                first = pd.read_csv(lines, sep=sep, header=None, nrows=1, dtype=str, keep_default_na=False)
                return [str(name) for name in first.iloc[0]]
        except UnicodeDecodeError as error:
            raise DataError(f"{self._blob}: not in UTF-8 ({error}); convert it") from error
        except DataError:
            raise
        except (ValueError, IndexError) as error:
            raise DataError(f"{self._blob}: not a table of separated values ({error})") from error


@contextmanager
def _decoded(stream: BinaryIO) -> Iterator[io.TextIOWrapper]:
    yield io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")


def read_separated(
    blob: Blob,
    decode: Callable[[BinaryIO], AbstractContextManager[Any]],
    layout: Layout,
    n_columns: int,
    columns: Sequence[int],
    text: Collection[int] | None,
) -> Iterator[Chunk]:
    """Read the rows of a blob as in `Table.chunks`; `decode` turns its bytes into lines of text.

    Raises DataError if a line has too many fields, a number or the encoding is wrong, or the archive is damaged.
    """
    try:
        with blob.open() as stream, decode(stream) as lines:
            # All columns are read, because pandas overlooks lines with too many fields if `usecols` is given.
            reader = pd.read_csv(
                lines,
                sep=layout.separator,
                header=0 if layout.header else None,
                names=list(range(n_columns)),
                dtype=None if text is None else {i: str if i in text else "float64" for i in columns},
                quotechar=layout.quote,
                escapechar=layout.escape,
                skipinitialspace=layout.blanks_after_separator,
                na_values=layout.missing,
                keep_default_na=layout.missing is None,
                chunksize=chunk_rows(n_columns),
                index_col=False,
                low_memory=False,
            )
            while (frame := _next_frame(reader)) is not None:
                yield Chunk(frame[list(columns)], float(stream.tell()))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{blob}: damaged ({error}); replace the file") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{blob}: not in UTF-8 ({error}); convert it") from error
    except (ValueError, pd.errors.ParserWarning) as error:  # pandas' own errors are ValueErrors
        problem = f"{blob}: not a table of the expected layout ({str(error).strip()})"
        raise DataError(f"{problem}; check the layout in the description, or replace the file") from error


def _next_frame(reader: Iterator[pd.DataFrame]) -> pd.DataFrame | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header would lose data
        return next(reader, None)
