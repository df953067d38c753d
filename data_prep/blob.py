"""A source of bytes that can be read repeatedly: a file, or one member of a zip archive."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast


@dataclass(frozen=True)
class Blob:
    """The file at `path`, or its archive member `member`; `size` in bytes, uncompressed."""

    path: Path
    size: int
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path} ({self.member})"

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open for reading; a member is decompressed on the fly, without unpacking it to disk."""
        if self.member is None:
            with self.path.open("rb") as stream:
                yield stream
        else:
            with zipfile.ZipFile(self.path) as archive, archive.open(self.member) as member:
                yield cast(BinaryIO, member)


def file_blob(path: Path) -> Blob:
    """Return a whole file as a blob."""
    return Blob(path, path.stat().st_size)
