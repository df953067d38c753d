"""The description of one data set, as in conf/dataset/<name>.yaml.

A description is plain data: the source of the raw table, the target column, what to leave out, and what is expected of
the prepared set. `rows.py` and `features.py` turn the raw table into arrays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from data_prep.errors import DataError
from data_prep.typed import check_fields

ColumnRef = int | str  # a position counted from 0, or a name in the file's header

MAX_BYTES = 1 << 30
MAX_GENERATED_ROWS = 10_000_000


@dataclass(frozen=True)
class Download:
    """A file on a web server: a table, or a zip archive that contains it.

    addresses: tried in order, the preferred one first.
    member: the table's path in the archive or, for a `.mat` file, the name of its variable.
    content_hash: hash of the table itself ("sha256:<hex>" or "git-blob:<hex>"). If no hash has been published (None),
        the hash of the first download is recorded next to the file and enforced from then on.
    max_bytes: larger files are refused.
    """

    addresses: tuple[str, ...]
    member: str
    content_hash: str | None = None
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        object.__setattr__(self, "addresses", _as_tuple(self.addresses))
        check_fields(self)
        if not self.addresses:
            raise DataError("addresses=(): must name at least one")
        algorithm = (self.content_hash or "sha256:").partition(":")[0]
        if algorithm not in ("sha256", "git-blob"):
            raise DataError(f"content_hash={self.content_hash!r}: must begin with 'sha256:' or 'git-blob:'")


@dataclass(frozen=True)
class OpenML:
    """A data set of openml.org, identified by its number.

    servers: base addresses of the XML interface, which returns the addresses of the files.
    mirrors: addresses of a parquet copy, used if the interface does not answer.
    bundled: name of a parquet copy in `data_prep/bundled`; if given, nothing is fetched.
    max_bytes: larger files are refused.
    """

    id: int
    servers: tuple[str, ...] = ("https://www.openml.org/api/v1/xml", "https://api.openml.org/api/v1/xml")
    mirrors: tuple[str, ...] = ()
    bundled: str | None = None
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        object.__setattr__(self, "mirrors", _as_tuple(self.mirrors))
        object.__setattr__(self, "servers", _as_tuple(self.servers))
        check_fields(self)


@dataclass(frozen=True)
class Friedman:
    """A generated set: n_rows draws from the formula of Friedman (1991). See `friedman.py`.

    Raises DataError unless 1 <= n_rows <= 10,000,000 and seed >= 0.
    """

    n_rows: int
    seed: int

    def __post_init__(self) -> None:
        check_fields(self)
        if not 1 <= self.n_rows <= MAX_GENERATED_ROWS:
            raise DataError(f"n_rows={self.n_rows}: must be between 1 and {MAX_GENERATED_ROWS:,}")
        if self.seed < 0:
            raise DataError(f"seed={self.seed}: must be at least 0")


@dataclass(frozen=True)
class OwnFile:
    """A user's own CSV or parquet file; a relative path is relative to the working directory."""

    path: str

    def __post_init__(self) -> None:
        check_fields(self)


Source = Download | OpenML | Friedman | OwnFile


@dataclass(frozen=True)
class Expected:
    """Expected counts of the prepared set on the task 256x16 (arXiv 2203.09410, table of data sets)."""

    pool: int
    test: int
    features: int

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class DataSet:
    """One data set: a source, or the path of your own file, and how to use its columns.

    name: the name in folders, in records and on the command line.
    target: the target column; if several are given, the target is their median in each row.
    source: where the raw table comes from; or
    path: your own CSV (`.csv`, `.tsv`, `.txt`, `.data`) or parquet (`.parquet`, `.pq`) file, short for
        `source=OwnFile(path)`.
    drop: columns to leave out; their missing values do not matter.
    log_target: take the natural logarithm of the target.
    categorical: columns to one-hot encode although they contain numbers. Text columns always are.
    numeric: columns in which values that are not numbers count as missing.
    header, separator: layout of a text table.
    expected: counts to compare the prepared set with.
    data_hash: expected hash of the prepared arrays (see `Meta`); None if the published file was not available.
    published_name: the name in the original's result folders, if different.
    licence, citation: for information.

    Columns are given by position, counted from 0, or by their name in the file's header.

    Raises DataError if a value has the wrong type, if the name is not a plain folder name, or unless exactly one of
    `source` and `path` is given.
    """

    name: str
    target: tuple[ColumnRef, ...]
    source: Source | None = None
    path: str | None = None
    drop: tuple[ColumnRef, ...] = ()
    log_target: bool = False
    categorical: tuple[ColumnRef, ...] = ()
    numeric: tuple[ColumnRef, ...] = ()
    header: bool = True
    separator: str = ","
    expected: Expected | None = None
    data_hash: str | None = None
    published_name: str | None = None
    licence: str = ""
    citation: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", str(self.name)):
            raise DataError(f"data set name {self.name!r}: use letters, digits, '_' and '-' only")
        if (self.source is None) == (self.path is None):
            raise DataError(f"data set {self.name}: give either `path` (your own file) or `source`, not both or none")
        if self.path is not None:
            object.__setattr__(self, "source", OwnFile(self.path))
        for field in ("target", "drop", "categorical", "numeric"):
            object.__setattr__(self, field, _as_tuple(getattr(self, field)))
        if not self.target:
            raise DataError(f"data set {self.name}: `target` names no column")
        if isinstance(self.expected, Mapping):
            if set(self.expected) != {"pool", "test", "features"}:
                raise DataError(f"data set {self.name}: expected={dict(self.expected)}: needs pool, test and features")
            object.__setattr__(self, "expected", Expected(**self.expected))
        try:
            check_fields(self)
        except DataError as error:
            raise DataError(f"data set {self.name}: {error}") from error

    @property
    def recipe(self) -> dict[str, Any]:
        """The part of the description that affects the arrays, as plain data for meta.json."""
        recipe = asdict(self)
        for field in ("path", "expected", "data_hash", "published_name", "licence", "citation"):
            del recipe[field]
        for field in (
            "addresses",
            "servers",
            "mirrors",
            "bundled",
            "max_bytes",
        ):  # these do not affect the arrays
            recipe["source"].pop(field, None)
        recipe["source"]["kind"] = type(self.source).__name__
        return {key: _as_plain(value) for key, value in recipe.items()}


def _as_tuple(value: Any) -> tuple[Any, ...]:
    """Convert a YAML scalar or list to a tuple (Hydra passes its own list type)."""
    return (value,) if isinstance(value, str | int) or not isinstance(value, Iterable) else tuple(value)


def _as_plain(value: Any) -> Any:
    """Convert tuples to lists, as JSON returns them."""
    if isinstance(value, dict):
        return {key: _as_plain(item) for key, item in value.items()}
    return [_as_plain(item) for item in value] if isinstance(value, list | tuple) else value
