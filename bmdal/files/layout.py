"""How features lie in a file: a NumPy header, the features in blocks, and a line of text for each block."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

DTYPES = {"float16": "<f2", "bfloat16": "|V2", "float32": "<f4", "float64": "<f8"}
"""Precisions of a file and what they are in NumPy, which has no bfloat16."""
HEADER_BYTES = 128


@dataclass(frozen=True)
class Kind:
    """The first line behind the features; those that follow are checksums of the blocks."""

    dtype: str
    n_features: int
    made_from: str
    block_rows: int
    checksum: str = "crc32"

    @property
    def row_bytes(self) -> int:
        return self.n_features * np.dtype(DTYPES[self.dtype]).itemsize


def checksum_of(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"
