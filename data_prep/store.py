"""Prepared data sets on disk: X.npy, y.npy and meta.json in one folder that is written as a whole or not at all."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray

from data_prep.account import Column
from data_prep.dataset import Expected
from data_prep.errors import DataError
from data_prep.features import Feature, Target
from data_prep.files import room_for
from data_prep.hashing import sha256_of_files
from data_prep.rawfile import RawFile
from data_prep.typed import check_fields

PREPARATION_VERSION = 1  # increase it whenever the same raw table would give different arrays

N_INITIAL_AND_VALIDATION = 256 + 1024  # on the task 256x16, for which the expected counts are given
MAX_TRAIN_AND_POOL = 200_000

_ROWS_AT_ONCE = 4096
_SWAP_PAUSES = (0.01, 0.05, 0.2, 0.5)  # seconds; a swap is two renames


@dataclass(frozen=True)
class Meta:
    """The content of a prepared set's meta.json.

    recipe: the part of the description that affects the arrays. raw: None for a generated set.
    n_raw_rows: rows of the raw table; n, n_test, d: rows, test rows and features of the prepared set.
    target_mean, target_std: mean and standard deviation of the target before standardization (after the logarithm).
    data_hash: sha256 of the bytes of X.npy followed by those of y.npy. peak_bytes: memory of the preparation.
    columns: how each column of the raw table was used; empty if the set was prepared before this was recorded.
    """

    preparation_version: int
    name: str
    recipe: dict[str, Any]
    raw: RawFile | None
    n_raw_rows: int
    n: int
    n_test: int
    d: int
    feature_names: tuple[str, ...]
    target_mean: float
    target_std: float
    data_hash: str
    peak_bytes: int
    seconds: float
    prepared_at: str
    software: dict[str, str]
    licence: str = ""
    citation: str = ""
    columns: tuple[Column, ...] = ()

    @property
    def counts(self) -> Expected:
        """Pool, test and feature counts on the task 256x16, for comparison with the expected ones."""
        return Expected(max(0, self.n - self.n_test - N_INITIAL_AND_VALIDATION), self.n_test, self.d)


@dataclass(frozen=True)
class PreparedData:
    """A prepared set with read-only, memory-mapped arrays, which many processes can share.

    X: (n, d) float32. y: (n,) float32, standardized. The last `n_test` rows are test rows only after the permutation of
    a split (arXiv 2203.09410, Section 5), not as stored.
    """

    name: str
    X: NDArray[np.float32]
    y: NDArray[np.float32]
    meta: Meta
    folder: Path

    @property
    def data_hash(self) -> str:
        """The sha256 of both arrays, in hex."""
        return self.meta.data_hash

    @property
    def n_test(self) -> int:
        """Number of test points of a split."""
        return self.meta.n_test

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the columns of X."""
        return self.meta.feature_names


def n_test_of(n: int) -> int:
    """Return the number of test points among n: max(int(0.2 n), n - 200,000)."""
    return max(int(0.2 * n), n - MAX_TRAIN_AND_POOL)


def prepared_folder(data: Path, name: str) -> Path:
    """Return the folder of a prepared set."""
    return data / "prepared" / name


def write_arrays(folder: Path, features: Sequence[Feature], target: Target) -> str:
    """Write X.npy, a few rows at a time, and y.npy. Return their joint hash.

    Raises DataError if a value is infinite or too large for float32, NoRoomError if the disk is full.
    """
    n = len(target.y)
    for feature in features:
        with np.errstate(over="ignore"):
            column = feature.values.astype(np.float32)
        if (n_bad := int(np.count_nonzero(~np.isfinite(column)))) > 0:
            first = feature.values[np.argmin(np.isfinite(column))] + (feature.centre or 0.0)
            raise DataError(
                f"column {feature.name!r} holds values that are infinite or beyond float32: {n_bad:,} of {n:,}, the "
                f"first is {first}; change them in the file, or write `drop: [{feature.name!r}]`"
            )
    with room_for(4 * n * (len(features) + 1), folder.parent):
        parts = (
            np.stack([feature.values[first : first + _ROWS_AT_ONCE].astype("<f4") for feature in features], axis=1)
            for first in range(0, n, _ROWS_AT_ONCE)
        )
        _write_array(folder / "X.npy", (n, len(features)), parts)
        _write_array(folder / "y.npy", (n,), [target.y.astype("<f4")])
    return sha256_of_files(folder / "X.npy", folder / "y.npy")


def _write_array(path: Path, shape: tuple[int, ...], parts: Iterable[NDArray[np.float32]]) -> None:
    """Write an array in parts. Writing to a memory map would kill the process if the disk is full."""
    with path.open("wb") as file:
        write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        for part in parts:
            file.write(part.tobytes())


def write_meta(folder: Path, meta: Meta) -> None:
    """Write meta.json. Raises NoRoomError if the disk is full."""
    plain = {**asdict(replace(meta, columns=())), "columns": [column.as_plain() for column in meta.columns]}
    content = (json.dumps(plain, indent=1, ensure_ascii=False) + "\n").encode()
    with room_for(len(content), folder.parent):
        (folder / "meta.json").write_bytes(content)


def set_aside(folder: Path) -> Path:
    """Return the path of the old set while a new one is put in its place."""
    return folder.with_name(f".{folder.name}.old.tmp")


def load_prepared(data: Path, name: str, *, verify: bool = True) -> PreparedData:
    """Open the prepared set `name` in the folder `data`: read meta.json, map the arrays, and verify their hash.

    A process verifies a set once, and again if the inode, size or a time stamp of a file has changed since;
    verify=False skips this. If another process is just replacing the set, waits for the new one.

    Raises DataError, naming the file and the command that prepares the set, if it is missing or damaged.
    """
    folder = prepared_folder(data, name)
    for pause in _SWAP_PAUSES:
        before = _inode(folder)
        with suppress(DataError, OSError):
            prepared = _open_prepared(data, name, verify)
            if _inode(folder) == before:
                return prepared
        if _inode(folder) == before and not set_aside(folder).exists():
            break
        time.sleep(pause)
    return _open_prepared(data, name, verify)


def _inode(folder: Path) -> int | None:
    """Return the inode of a folder, to tell it from another one of the same name; None if it does not exist."""
    try:
        return folder.stat().st_ino
    except FileNotFoundError:
        return None


def _open_prepared(data: Path, name: str, verify: bool) -> PreparedData:
    folder = prepared_folder(data, name)
    command = f"python -m data_prep dataset={name} paths.data={data}"
    if not folder.is_dir():
        raise DataError(f"data set {name} is not prepared in {folder.parent}; run `{command}`")
    meta = read_meta(folder, command)
    X = _open_array(folder / "X.npy", (meta.n, meta.d), command)
    y = _open_array(folder / "y.npy", (meta.n,), command)
    if verify and (found := _hash_of(_stamp(folder / "X.npy"), _stamp(folder / "y.npy"))) != meta.data_hash:
        raise DataError(
            f"{folder}: X.npy and y.npy have changed since they were prepared: their hash is {found[:12]}…, meta.json "
            f"says {meta.data_hash[:12]}…; run `{command} overwrite=true` to prepare again"
        )
    return PreparedData(meta.name, X, y, meta, folder)


def _stamp(path: Path) -> tuple[Path, int, int, int, int, int]:
    """Return the path of a file and the metadata that changes with its content."""
    status = path.stat()
    return path, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache
def _hash_of(*stamps: tuple[Path, int, int, int, int, int]) -> str:
    return sha256_of_files(*(path for path, *_ in stamps))


def read_meta(folder: Path, command: str) -> Meta:
    """Read meta.json. Raises DataError if it is damaged; the message suggests running `command`."""
    path = folder / "meta.json"
    made_by = version_of(folder)
    if made_by not in (None, PREPARATION_VERSION):
        raise DataError(
            f"{path}: prepared by version {made_by} of the rules, this is version {PREPARATION_VERSION}; "
            f"run `{command}`"
        )
    try:
        raw = json.loads(path.read_text("utf-8"))
        raw["raw"] = raw["raw"] and RawFile(**raw["raw"])
        raw["feature_names"] = tuple(raw["feature_names"])
        raw["columns"] = tuple(Column.from_plain(column) for column in raw.get("columns", ()))
        meta = Meta(**raw)
        for part in (meta, *meta.columns, *([meta.raw] if meta.raw else [])):
            check_fields(part)
        if min(meta.n, meta.d) < 1 or meta.n_test != n_test_of(meta.n):
            raise DataError(f"n={meta.n}, n_test={meta.n_test}, d={meta.d}: inconsistent numbers")
        return meta
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path}: damaged ({type(error).__name__}: {error}); run `{command} overwrite=true` to prepare again"
        ) from error


def version_of(folder: Path) -> int | None:
    """Return the version of the rules that a set was prepared with; None if meta.json does not contain it."""
    try:
        found = json.loads((folder / "meta.json").read_text("utf-8"))["preparation_version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, int) else None


def _open_array(path: Path, shape: tuple[int, ...], command: str) -> NDArray[np.float32]:
    remedy = f"run `{command} overwrite=true` to prepare again"
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # damaged headers cause many kinds of errors in numpy
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path}: damaged ({reason}); {remedy}") from error
    if not isinstance(array, np.memmap):
        raise DataError(f"{path}: damaged: an archive instead of an array; {remedy}")
    if array.shape != shape or array.dtype != np.float32 or path.stat().st_size != array.offset + array.nbytes:
        raise DataError(
            f"{path}: damaged: {array.dtype} {array.shape} in {path.stat().st_size:,} bytes, but meta.json says "
            f"float32 {shape}; {remedy}"
        )
    return array
