"""Features in a file: written in a stream, resumed after a kill, checked, and read without loading them."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bmdal.errors import BmdalError
from bmdal.features import StoredFeatures
from bmdal.features.stored import BLOCK_ROWS
from bmdal.inputs import as_inputs
from bmdal.points import given_to_networks
from bmdal.progress import Progress
from bmdal.tables import Frame, as_tensor

DTYPES = {"float16": "<f2", "bfloat16": "|V2", "float32": "<f4", "float64": "<f8"}
"""Precisions of a file and what they are in NumPy, which has no bfloat16."""
HEADER_BYTES = 128
AT_ONCE = 1024
"""Points that are computed at a time, unless a loader says how many."""
FLOATS = ("float16", "float32", "float64")
"""Types of memory maps that stay on disk; in another byte order they are copied."""
MOST_LOST = 0.01
"""The largest part of a point's norm that rounding may change: 8 times what bfloat16 does to an ordinary point."""


@dataclass(frozen=True)
class _Kind:
    """The first line behind the features; those that follow are checksums of the blocks."""

    dtype: str
    n_features: int
    made_from: str
    block_rows: int
    checksum: str = "crc32"

    @property
    def row_bytes(self) -> int:
        return self.n_features * np.dtype(DTYPES[self.dtype]).itemsize


def write_features(
    path: Path | str,
    points: Any,
    features: Callable[[Any], Tensor] | None = None,
    dtype: torch.dtype = torch.float16,
    made_from: str = "",
) -> StoredFeatures:
    """Write the features of points to a file, a block at a time, and return them as they are stored.

        pool = write_features("pool.npy", DataLoader(images, batch_size=256), network.body)
        select("lcmd-p", pool, batch_size=256, generator=0)

    The file appears whole or not at all. If writing is interrupted, call the function again: it goes on with the first
    block that is not written yet, and compares the last one. NumPy can read the file (`numpy.load`); for bfloat16, it
    has the bits. Behind the features are checksums.

    Args:
        path: the file, which must not exist yet.
        points: a matrix of features, or anything that `features` turns into one in parts: a table, a data set or a
            loader of one; or an iterable of chunks, which after an interruption is read again from its beginning.
        features: maps a chunk of points, or a batch of the loader, to their features, shape (n, p); called without
            gradients. None: the points are features.
        dtype: float16, bfloat16, float32 or float64.
        made_from: what the features depend on, such as a hash of a network's parameters; an interrupted file is only
            continued if this is the same.

    Raises BmdalError, naming the row, for features that are not finite or that `dtype` cannot represent to 1 % of their
    norm, and if the file exists or an interrupted one has other features.
    """
    return write_blocks(Path(path), partial(_chunks, points, features), _length(points), dtype, made_from)


def write_blocks(
    path: Path,
    chunks: Callable[[int], tuple[Iterator[Tensor], int]],
    total: int | None,
    dtype: torch.dtype,
    made_from: str,
) -> StoredFeatures:
    """Write a file as `write_features` does.

    Args:
        chunks: given the number of blocks that are written already, features in chunks and the number of the block that
            the first chunk begins.
        total: the number of points, if it is known.
    """
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise BmdalError(f"features cannot be stored as dtype={dtype}; valid: {', '.join(DTYPES)}")
    _check_new(path)
    part, lines = (path.with_name(f".{path.name}.{kind}") for kind in ("part", "lines"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with part.open("ab+") as data, lines.open("ab+") as journal:
        _lock(data, path)
        _check_new(path)  # another process may have finished it in the meantime
        unfinished = _Unfinished(path, data, journal)
        parts, first = chunks(unfinished.recover())
        unfinished.finish(_write_all(unfinished, _in_blocks(parts), first, dtype, made_from, total))
        part.replace(path)
        lines.unlink()
    return read_features(path, check=False)


def read_features(path: Path | str, check: bool = True) -> StoredFeatures:
    """The features in a file of `write_features`, or in another .npy file with a matrix, without loading them.

    Args:
        path: the file.
        check: whether to compare the checksums, which reads the file once. Other .npy files have none.

    Raises BmdalError for a file that is missing or damaged, or that does not hold a matrix of floating-point numbers.
    """
    path = Path(path)
    array, kind, checksums = _opened(path)
    if check and kind is not None:
        with path.open("rb") as file, Progress(f"checking {path.name}", len(array)) as progress:
            file.seek(array.offset)
            for i, checksum in enumerate(checksums):
                n = min(kind.block_rows, len(array) - i * kind.block_rows)
                if checksum != _checksum(file.read(n * kind.row_bytes)):
                    first = i * kind.block_rows
                    raise BmdalError(f"{path} is damaged in rows {first} to {first + n - 1}: write it again")
                progress.advance(n)
    return mapped(array, torch.bfloat16 if kind is not None and kind.dtype == "bfloat16" else None)


def origin_of(path: Path | str) -> str:
    """What `write_features` was told that the features in a file depend on."""
    kind = _opened(Path(path))[1]
    return "" if kind is None else kind.made_from


def mapped(array: np.memmap[Any, Any], dtype: torch.dtype | None = None) -> StoredFeatures:
    """A memory map, shape (n, p), as features that stay on disk. dtype: what its bits mean, if NumPy does not know."""
    plain = np.asarray(array) if dtype is None else np.asarray(array).view(np.int16)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")  # nobody writes
        stored = torch.from_numpy(plain)
    features = StoredFeatures(stored if dtype is None else stored.view(dtype))
    whole: Any = array
    while whole is not None and not isinstance(whole, mmap.mmap):
        whole = getattr(whole, "base", None)
    if whole is None or array.mode not in ("r", "r+") or not hasattr(mmap, "MADV_DONTNEED"):
        return features
    return replace(features, release=lambda: whole.madvise(mmap.MADV_DONTNEED))  # pages count as the process's memory


def _opened(path: Path) -> tuple[np.memmap[Any, Any], _Kind | None, list[str]]:
    """The matrix in a file, what is known about it, and the checksums of its blocks."""
    try:
        array: Any = np.load(path, mmap_mode="r")
        if not isinstance(array, np.memmap):
            raise TypeError(f"it is not a .npy file but one for {type(array).__name__}")
        with path.open("rb") as file:
            file.seek(array.offset + array.nbytes)
            first, *checksums = file.read().decode("ascii").splitlines() or [""]
        kind = _Kind(**json.loads(first)) if first else None
        expected = -(-len(array) // kind.block_rows) if kind is not None else 0
    except Exception as error:  # of many kinds for a damaged header
        raise BmdalError(f"{path} cannot be read as features: {type(error).__name__}: {error}") from error
    if kind is None and array.dtype not in FLOATS:
        raise BmdalError(
            f"{path} holds numbers of type {array.dtype.str!r}; only {', '.join(FLOATS)} can stay in a file: convert "
            "them, or load it with numpy.load"
        )
    if kind is not None and (array.dtype.str, *array.shape[1:]) != (DTYPES.get(kind.dtype), kind.n_features):
        raise BmdalError(f"{path} is damaged: it has {array.dtype.str!r} of shape {array.shape} instead of {kind}")
    if len(checksums) != expected:
        raise BmdalError(f"{path} is damaged: {len(checksums)} checksums of {expected} blocks, write it again")
    return array, kind, checksums


class _Unfinished:
    """A file that is being written: features after room for the header, and lines of text that will end the file."""

    def __init__(self, path: Path, data: IO[bytes], journal: IO[bytes]) -> None:
        self.path, self.data, self.journal = path, data, journal
        self.kind: _Kind | None = None
        self.checksums: list[str] = []

    def recover(self) -> int:
        """Keep the complete blocks of an interrupted file, and return how many they are."""
        self.journal.seek(0)
        lines = self.journal.read().decode("ascii", "replace").split("\n")[:-1]  # the last one may be incomplete
        with contextlib.suppress(ValueError, TypeError):
            self.kind = _Kind(**json.loads(lines[0])) if lines else None
        self.data.seek(HEADER_BYTES)
        for checksum in lines[1:] if self.kind is not None else []:
            block = self.data.read(self._block_bytes)
            if len(block) < self._block_bytes or checksum != _checksum(block):
                break
            self.checksums.append(checksum)
        self.kind = self.kind if self.checksums else None
        kept = "".join(f"{line}\n" for line in lines[: len(self.checksums) + 1]) if self.kind is not None else ""
        self.journal.truncate(len(kept))
        self.data.truncate(HEADER_BYTES + self._block_bytes * len(self.checksums))
        return len(self.checksums)

    @property
    def _block_bytes(self) -> int:
        return 0 if self.kind is None else BLOCK_ROWS * self.kind.row_bytes

    def expect(self, kind: _Kind) -> None:
        """Raise BmdalError if what was written so far is of another kind."""
        if self.kind is None:
            self.kind = kind
            self._note(json.dumps(asdict(kind)))
        elif kind != self.kind:
            name = next(name for name, value in asdict(kind).items() if value != getattr(self.kind, name))
            self.refuse(f"{name} {getattr(self.kind, name)!r}, and the new ones {getattr(kind, name)!r}")

    def add(self, number: int, block: Tensor) -> None:
        """Append a block or, if it is there already, compare it."""
        if number == len(self.checksums):
            data = _bytes(block)
            self.data.write(data)
            self.data.flush()
            self.checksums.append(_checksum(data))
            self._note(self.checksums[-1])
            return
        assert self.kind is not None
        self.data.seek(HEADER_BYTES + number * self._block_bytes)
        raw = np.frombuffer(self.data.read(self._block_bytes), dtype=np.uint8).copy()
        known = torch.from_numpy(raw).view(block.dtype).view(-1, self.kind.n_features)
        atol = 8 * torch.finfo(block.dtype).eps * float(known.abs().max())
        if known.shape != block.shape or not torch.allclose(known.double(), block.double(), rtol=0, atol=atol):
            self.refuse(f"other values in rows {number * BLOCK_ROWS} to {number * BLOCK_ROWS + len(known) - 1}")

    def refuse(self, difference: str) -> NoReturn:
        raise BmdalError(
            f"the interrupted file {self.data.name} has {difference}: delete it to start again, or continue with the "
            "same points and features"
        )

    def _note(self, line: str) -> None:
        self.journal.write(f"{line}\n".encode("ascii"))
        self.journal.flush()

    def finish(self, n_rows: int) -> None:
        assert self.kind is not None
        self.journal.seek(0)
        self.data.seek(0, os.SEEK_END)
        self.data.write(self.journal.read())
        self.data.flush()
        shape = (n_rows, self.kind.n_features)
        entries = repr({"descr": DTYPES[self.kind.dtype], "fortran_order": False, "shape": shape}).encode("ascii")
        text = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little") + entries
        with open(self.data.name, "rb+") as file:
            file.write(text.ljust(HEADER_BYTES - 1) + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _write_all(
    unfinished: _Unfinished, blocks: Iterable[Tensor], first: int, dtype: torch.dtype, made_from: str, total: int | None
) -> int:
    """Write blocks of features, of which the first one has a number. Return the number of rows of the file."""
    n_rows = first * BLOCK_ROWS
    name = str(dtype).removeprefix("torch.")
    with Progress(f"writing {unfinished.path.name}", total) as progress:
        progress.advance(n_rows)
        for number, block in enumerate(blocks, first):
            rounded = _rounded(block, dtype, n_rows)
            unfinished.expect(_Kind(name, block.shape[1], made_from, BLOCK_ROWS))
            unfinished.add(number, rounded)
            n_rows += len(block)
            progress.advance(len(block))
    if not n_rows:
        raise BmdalError("there are no points to write features of")
    if n_rows <= BLOCK_ROWS * (len(unfinished.checksums) - 1):
        unfinished.refuse(f"more than {n_rows} points")
    return n_rows


def _rounded(block: Tensor, dtype: torch.dtype, first_row: int) -> Tensor:
    """A block in another precision. Raises BmdalError, naming the row, for values that do not fit."""
    block = block.detach().cpu()
    rounded = block.to(dtype)
    exact = block.to(torch.promote_types(block.dtype, torch.float32))
    norms = torch.linalg.vector_norm(exact, dim=1, dtype=torch.float64)
    if not bool(torch.isfinite(norms).all()):
        row = first_row + int((~torch.isfinite(norms)).nonzero()[0])
        raise BmdalError(f"features have a NaN or infinite value in row {row}")
    lost = torch.linalg.vector_norm(rounded.to(exact.dtype) - exact, dim=1, dtype=torch.float64)
    bad = ~(lost <= MOST_LOST * norms)
    if bool(bad.any()):
        i = int(bad.nonzero()[0])
        values, limits = exact[i].abs(), torch.finfo(dtype)
        raise BmdalError(
            f"{dtype} cannot hold the features in row {first_row + i} and {int(bad.sum()) - 1} others near it, whose "
            f"absolute values are from {float(values.min()):.3g} to {float(values.max()):.3g}: it has numbers up to "
            f"{limits.max:.3g}, exact to {limits.eps:.1g} from {limits.tiny:.1g} on. Scale the features to about 1, or "
            "use another dtype"
        )
    return rounded


def _are_chunks(points: Any) -> bool:
    """Whether points are an iterable of chunks of points, not points themselves."""
    return not isinstance(points, Tensor | np.ndarray | Frame | tuple | Mapping | DataLoader | Dataset)


def _chunks(points: Any, features: Callable[[Any], Tensor] | None, n_known: int) -> tuple[Iterator[Tensor], int]:
    """Features in chunks, and the number of the block that the first one begins."""
    if _are_chunks(points):
        if not isinstance(points, Iterable):
            raise BmdalError(f"points must be a table, a data set, a loader or an iterable of chunks, got {points!r}")
        return (_features_of(chunk, features) for chunk in points), 0
    batch_size = (points.batch_size or AT_ONCE) if isinstance(points, DataLoader) else AT_ONCE
    inputs = points if isinstance(points, np.memmap) else as_inputs("points", points)[0]

    def compute(rows: slice) -> Tensor:
        part = inputs[rows]
        part = as_tensor("points", np.array(part)) if isinstance(part, np.ndarray) else given_to_networks(part)
        return _features_of(part, features)

    return in_chunks(compute, len(inputs), batch_size, n_known if features is not None else 0)  # to compare is cheap


def in_chunks(compute: Callable[[slice], Tensor], n: int, size: int, n_known: int) -> tuple[Iterator[Tensor], int]:
    """Features of n points in chunks of `size`, from the last known block on, whose number is the second result.

    Chunks end with blocks, so that those of a continued file are the same.
    """
    first = max(0, n_known - 1)
    starts = range(first * BLOCK_ROWS, n, BLOCK_ROWS)
    chunks = (
        slice(i, min(i + size, start + BLOCK_ROWS, n))
        for start in starts
        for i in range(start, min(start + BLOCK_ROWS, n), size)
    )
    return map(compute, chunks), first


def _features_of(chunk: Any, features: Callable[[Any], Tensor] | None) -> Tensor:
    with torch.no_grad():
        matrix: Any = chunk if features is None else features(chunk)
    matrix = as_tensor("features", matrix) if isinstance(matrix, np.ndarray) else matrix
    if not isinstance(matrix, Tensor) or matrix.ndim != 2 or not matrix.is_floating_point() or not matrix.shape[1]:
        what = f"{tuple(matrix.shape)} of {matrix.dtype}" if isinstance(matrix, Tensor) else type(matrix).__name__
        raise BmdalError(f"features must be matrices of floating-point numbers, shape (n, p), they are {what}")
    return matrix


def _in_blocks(chunks: Iterable[Tensor]) -> Iterator[Tensor]:
    """The rows of chunks in blocks of BLOCK_ROWS; the last one may have fewer."""
    waiting: list[Tensor] = []
    n_waiting = 0
    for chunk in chunks:
        if waiting and chunk.shape[1] != waiting[0].shape[1]:
            raise BmdalError(
                f"features must have the same columns, they have {waiting[0].shape[1]} and {chunk.shape[1]}"
            )
        waiting.append(chunk.cpu())
        n_waiting += len(chunk)
        while n_waiting >= BLOCK_ROWS:
            rows = torch.cat(waiting) if len(waiting) > 1 else waiting[0]
            yield rows[:BLOCK_ROWS]
            waiting, n_waiting = [rows[BLOCK_ROWS:]], n_waiting - BLOCK_ROWS
    if n_waiting:
        yield torch.cat(waiting)


def _length(points: Any) -> int | None:
    if _are_chunks(points) or isinstance(points, tuple | Mapping):
        return None
    sized: Any = points.dataset if isinstance(points, DataLoader) else points
    return len(sized)


def _bytes(block: Tensor) -> bytes:
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[block.itemsize]
    array: NDArray[Any] = block.contiguous().view(bits).numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _checksum(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"


def _check_new(path: Path) -> None:
    if path.exists():
        raise BmdalError(f"{path} exists already: use read_features, or delete it")


def _lock(file: IO[bytes], path: Path) -> None:
    """Raise BmdalError if another process is writing the same file; the lock ends with the process.

    Windows has no such locks, so there this is not noticed.
    """
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise BmdalError(f"another process is writing {path}") from None
