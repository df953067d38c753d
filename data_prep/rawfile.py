"""Raw files and the hashes held beside them: what a file was when it was first used, it has to stay."""

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
Use = Callable[[Table, bool], T]  # makes something of a table; True: refuse one that differs from what is expected


@dataclass(frozen=True)
class RawFile:
    """The file that a set was made from.

    name: of the file; an own file with its full path. sha256: of all its bytes. address: where it was fetched from,
    None if it was there already.
    """

    name: str
    sha256: str
    n_bytes: int
    address: str | None


def hash_file(path: Path) -> Path:
    """Where the hash of a raw file is recorded, in the format of sha256sum."""
    return path.with_name(f"{path.name}.sha256")


def checked_sha256(path: Path, record: Path) -> str:
    """The sha256 of the file at `path`. Raises DataError if `record` says that it was another one."""
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
    """The raw file at `path`, of the same content as ever. Raises DataError if another hash is recorded."""
    try:
        return RawFile(path.name, checked_sha256(path, hash_file(path)), path.stat().st_size, address)
    except DataError as error:
        raise DataError(f"{error}, else remove the file to have it fetched again") from error


def used_as_it_lies(path: Path, use: Callable[[], T]) -> tuple[RawFile, T]:
    """The raw file that lies at `path`, and what `use` makes of it.

    Raises DataError, which says that the file may have to go, if another hash is recorded or `use` refuses it.
    """
    raw = held_raw_file(path, None)
    try:
        return raw, use()
    except NoRoomError:
        raise
    except DataError as error:
        raise DataError(
            f"{error}. Remove the file to have it fetched again if it is not the right one: {path}"
        ) from error


def record_hash(path: Path, sha256: str) -> None:
    """Record the hash of a raw file that has proved readable, unless one is recorded already.

    In a folder that cannot be written to the file is simply used.
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
