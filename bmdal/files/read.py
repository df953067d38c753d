"""Features in a file: checked, and read without loading them."""

from __future__ import annotations

import json
import mmap
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bmdal.errors import BmdalError
from bmdal.features import StoredFeatures
from bmdal.files.layout import DTYPES, Kind, checksum_of
from bmdal.progress import Progress

FLOATS = ("float16", "float32", "float64")
"""Types of memory maps that stay on disk; in another byte order they are copied."""


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
                if checksum != checksum_of(file.read(n * kind.row_bytes)):
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


def _opened(path: Path) -> tuple[np.memmap[Any, Any], Kind | None, list[str]]:
    """The matrix in a file, what is known about it, and the checksums of its blocks."""
    try:
        array: Any = np.load(path, mmap_mode="r")
        if not isinstance(array, np.memmap):
            raise TypeError(f"it is not a .npy file but one for {type(array).__name__}")
        with path.open("rb") as file:
            file.seek(array.offset + array.nbytes)
            first, *checksums = file.read().decode("ascii").splitlines() or [""]
        kind = Kind(**json.loads(first)) if first else None
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
