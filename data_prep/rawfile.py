"""Raw files and the hashes recorded next to them: after its first use, a file must not change."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from data_prep.errors import DataError
from data_prep.files import NoRoomError, place
from data_prep.hashing import sha256_of_files
from data_prep.tables import Table

T = TypeVar("T")
Use = Callable[[Table, bool], T]  # processes a table; True: refuse a table that differs from the expected one


@dataclass(frozen=True)
class RawFile:
    """The raw file of a set.

    name: name of the file, or the full path of a user's own file. sha256: hash of the whole file. address: where it was
    fetched from; None if it was already there. mtime_ns: when a user's own file was last changed.
    """

    name: str
    sha256: str
    n_bytes: int
    address: str | None
    mtime_ns: int | None = None


def hash_file(path: Path) -> Path:
    """Return the path of the recorded hash of a raw file, in the format of sha256sum."""
    return path.with_name(f"{path.name}.sha256")


def checked_sha256(path: Path, record: Path) -> str:
    """Return the sha256 of the file at `path`. Raises DataError if the file `record` has another one."""
    sha256 = sha256_of_files(path)
    if record.is_file():
        recorded = record.read_text("utf-8", "replace").split()[:1]
        if recorded != [sha256]:
            raise DataError(
                f"{path}: its sha256 is {sha256}, but {record} says {' '.join(recorded) or 'nothing'}; remove that "
                "record if the new content is the right one"
            )
    return sha256


def held_raw_file(path: Path, address: str | None) -> RawFile:
    """Return the raw file at `path`. Raises DataError if its hash differs from the recorded one."""
    try:
        return RawFile(path.name, checked_sha256(path, hash_file(path)), path.stat().st_size, address)
    except DataError as error:
        raise DataError(f"{error}, otherwise remove the file to fetch it again") from error


def used_as_it_lies(path: Path, use: Callable[[], T]) -> tuple[RawFile, T]:
    """Return the existing raw file at `path` and the result of `use`.

    Raises DataError, which suggests removing the file, if its hash differs from the recorded one or `use` refuses it.
    """
    raw = held_raw_file(path, None)
    try:
        return raw, use()
    except NoRoomError:
        raise
    except DataError as error:
        raise DataError(f"{error}. Remove the file to fetch it again if it is not the right one: {path}") from error


def record_hash(path: Path, sha256: str) -> None:
    """Record the hash of a raw file that has been read successfully, unless one is already recorded.

    In a read-only folder, nothing is recorded.
    """
    record = hash_file(path)
    if record.exists():
        return
    try:
        line = f"{sha256}  {path.name}\n".encode()
        place(record, lambda aside: aside.write_bytes(line), len(line))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
