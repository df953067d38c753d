"""Hash files and streams, reading them in pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

_PIECE = 1 << 20


def sha256_of_files(*paths: Path) -> str:
    """Return the sha256 of the concatenated files, in hex."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()


def stream_hash(stream: BinaryIO, size: int, algorithm: str) -> str:
    """Return the hash of a stream of `size` bytes in hex; algorithm "sha256", "md5" or "git-blob".

    "git-blob" is git's hash of a file: the sha1 of "blob <size>", a zero byte, and the content.
    """
    if algorithm == "git-blob":
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        digest = hashlib.new(algorithm, usedforsecurity=False)
    while piece := stream.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
