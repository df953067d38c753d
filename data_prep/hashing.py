"""Hashes of files and streams, read in pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

_PIECE = 1 << 20


def sha256_of_files(*paths: Path) -> str:
    """The sha256 of the files' bytes, one file after the other, in hex."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()


def stream_hash(stream: BinaryIO, size: int, algorithm: str) -> str:
    """The hash of a stream of `size` bytes in hex; algorithm "sha256", "md5" or "git-blob".

    "git-blob" is how git names a file: the sha1 of "blob <size>", a zero byte, and the content.
    """
    if algorithm == "git-blob":
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    else:
        digest = hashlib.new(algorithm, usedforsecurity=False)
    while piece := stream.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()
