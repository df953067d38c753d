"""Zip archives of folders with run records, read in place."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from results.errors import ResultsError

MOST_BYTES = 500_000_000
"""Maximum size of the files of an archive."""


@contextmanager
def opened_archive(path: Path) -> Iterator[list[zipfile.Path]]:
    """Open an archive and check all of it; gives its files, which can be read until it is closed.

    Raises ResultsError if the file is no zip archive, is damaged, encrypted or too large, and for names that occur
    twice or lead out of the archive.
    """
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, FileNotFoundError) as error:
        raise ResultsError(f"{path} is neither a folder nor a zip archive of run records: {error}") from error
    with archive:
        n_bytes = sum(member.file_size for member in archive.infolist())
        if n_bytes > MOST_BYTES:
            raise ResultsError(f"{path}: unpacked, it has {n_bytes:,} bytes; at most {MOST_BYTES:,} are read")
        names = archive.namelist()
        for name in names:
            parts = PurePosixPath(name).parts
            if name.startswith("/") or "\\" in name or ".." in parts:
                raise ResultsError(f"{path}: the name {name!r} leads out of the archive")
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ResultsError(f"{path}: {twice!r} is in the archive twice")
        if fault := _fault(archive):
            raise ResultsError(f"{path}: damaged or unreadable archive: {fault}")
        root = zipfile.Path(archive)
        yield [root / name for name in sorted(names) if not name.endswith("/")]


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """Yield the folder with the files of an archive: a temporary one, or `source` itself if it is a folder.

    Raises ResultsError as `opened_archive` does.
    """
    if source.is_dir():
        yield source
        return
    with opened_archive(source) as files, tempfile.TemporaryDirectory() as folder:
        for file in files:
            place = Path(folder, file.at)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())
        yield Path(folder)


def _fault(archive: zipfile.ZipFile) -> str:
    """Return the first fault in reading the whole archive; empty if there is none."""
    try:
        bad = archive.testzip()
    except (RuntimeError, EOFError, zlib.error, OSError) as error:  # RuntimeError: encrypted, or packed in another way
        return str(error) or type(error).__name__
    return f"wrong checksum of {bad}" if bad else ""
