"""ARFF, the text format of OpenML: a header that declares the columns, then separated values."""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO

import arff

from data_prep.blob import Blob
from data_prep.errors import DataError
from data_prep.progress import Unit
from data_prep.tables.base import Chunk
from data_prep.tables.text import Layout, read_separated

_LINES_PER_READ = 1000
_DATA = re.compile(r"\s*@data(?!\S)", re.IGNORECASE)


class ArffTable:
    """A dense ARFF file. liac-arff reads the header; pandas reads the rows, which is a hundred times as fast."""

    unit: Unit = "bytes"

    def __init__(self, blob: Blob, *, ignored: Collection[str] = ()) -> None:
        self._blob = blob
        self.size: float = blob.size
        try:
            with blob.open() as stream, _decoded(stream) as lines:
                attributes = arff.load(_header(lines), return_type=arff.DENSE_GEN)["attributes"]
            with blob.open() as stream, _data_lines(stream) as rows:
                sample = rows.read()
        except UnicodeDecodeError as error:
            raise DataError(f"{blob}: not a readable ARFF file, as it is not in UTF-8 ({error}); convert it") from error
        except (arff.ArffException, ValueError) as error:  # liac-arff also raises ValueErrors
            raise DataError(f"{blob}: not a readable ARFF file ({error})") from error
        if sample.lstrip().startswith("{"):
            raise DataError(f"{blob}: sparse ARFF is not supported; use a dense copy, CSV or parquet")
        # ARFF files quote with ' or with "; the first thousand rows show which.
        self._quote = '"' if sample.count('"') > sample.count("'") else "'"
        self.columns = tuple(name for name, _ in attributes)
        # A list is a declared set of values; free text is treated as categorical too.
        self.nominal = frozenset(i for i, (_, kind) in enumerate(attributes) if not _is_number(kind))
        self.ignored = frozenset(i for i, name in enumerate(self.columns) if name in ignored)

    def chunks(self, columns: Sequence[int], text: Collection[int] | None) -> Iterator[Chunk]:
        """See `Table.chunks`; the header already says which columns are text."""
        layout = Layout(quote=self._quote, escape="\\", blanks_after_separator=True, missing=("?",))
        words = self.nominal | frozenset(text or ())
        return read_separated(self._blob, _data_lines, layout, len(self.columns), columns, words)


def _header(lines: Iterator[str]) -> Iterator[str]:
    """Yield the lines up to @DATA, with tabs replaced by blanks, because liac-arff only understands those."""
    for line in lines:
        if _DATA.match(line):
            yield "@DATA"
            return
        yield line.strip().replace("\t", " ")


def _is_number(kind: object) -> bool:
    return isinstance(kind, str) and kind.upper() in ("NUMERIC", "REAL", "INTEGER")


class _Lines:
    """A readable stream of the lines in a data section, without comments and blank lines."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def __iter__(self) -> Iterator[str]:
        return (line for line in self._lines if line.strip() and not line.lstrip().startswith("%"))

    def read(self, _size: int = -1) -> str:
        """Return the next thousand lines, regardless of the size; empty at the end."""
        return "".join(islice(self, _LINES_PER_READ))


@contextmanager
def _decoded(stream: BinaryIO) -> Iterator[io.TextIOWrapper]:
    lines = io.TextIOWrapper(stream, encoding="utf-8-sig")
    try:
        yield lines
    finally:
        lines.detach()  # leave closing the stream to the caller


@contextmanager
def _data_lines(stream: BinaryIO) -> Iterator[_Lines]:
    with _decoded(stream) as lines:
        for line in lines:
            if _DATA.match(line):
                break
        yield _Lines(lines)
