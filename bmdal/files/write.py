"""Features in a file: written in a stream, and resumed after a kill."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bmdal.errors import BmdalError
from bmdal.features import StoredFeatures
from bmdal.features.stored import BLOCK_ROWS
from bmdal.files.blocks import chunks_of, in_blocks, length_of
from bmdal.files.layout import DTYPES, HEADER_BYTES, Kind, checksum_of
from bmdal.files.read import read_features
from bmdal.progress import Progress

MOST_LOST = 0.01
"""The largest part of a point's norm that rounding may change: 8 times what bfloat16 does to an ordinary point."""


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
    return write_blocks(Path(path), partial(chunks_of, points, features), length_of(points), dtype, made_from)


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
        unfinished.finish(_write_all(unfinished, in_blocks(parts), first, dtype, made_from, total))
        part.replace(path)
        lines.unlink()
    return read_features(path, check=False)


class _Unfinished:
    """A file that is being written: features after room for the header, and lines of text that will end the file."""

    def __init__(self, path: Path, data: IO[bytes], journal: IO[bytes]) -> None:
        self.path, self.data, self.journal = path, data, journal
        self.kind: Kind | None = None
        self.checksums: list[str] = []

    def recover(self) -> int:
        """Keep the complete blocks of an interrupted file, and return how many they are."""
        self.journal.seek(0)
        lines = self.journal.read().decode("ascii", "replace").split("\n")[:-1]  # the last one may be incomplete
        with contextlib.suppress(ValueError, TypeError):
            self.kind = Kind(**json.loads(lines[0])) if lines else None
        self.data.seek(HEADER_BYTES)
        for checksum in lines[1:] if self.kind is not None else []:
            block = self.data.read(self._block_bytes)
            if len(block) < self._block_bytes or checksum != checksum_of(block):
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

    def expect(self, kind: Kind) -> None:
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
            self.checksums.append(checksum_of(data))
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
            unfinished.expect(Kind(name, block.shape[1], made_from, BLOCK_ROWS))
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


def _bytes(block: Tensor) -> bytes:
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[block.itemsize]
    array: NDArray[Any] = block.contiguous().view(bits).numpy()
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


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
