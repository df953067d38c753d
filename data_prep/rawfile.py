"""Raw files and the hashes held beside them: what a file was when it was first used, it has to stay."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from pathlib import Path

from data_prep.errors import DataError
from data_prep.hashing import sha256_of_files


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
        recorded = record.read_text("utf-8").split()[:1]
        if recorded != [sha256]:
            raise DataError(f"{path}: its sha256 is {sha256}, but {record} says {' '.join(recorded) or 'nothing'}")
    return sha256


def held_raw_file(path: Path, address: str | None) -> RawFile:
    """The raw file at `path`, of the same content as ever.

    The first time its hash is recorded beside it; in a folder that cannot be written to it is simply used.
    Raises DataError if another hash is recorded.
    """
    record = hash_file(path)
    try:
        sha256 = checked_sha256(path, record)
    except DataError as error:
        raise DataError(
            f"{error}. Remove the file to have it fetched anew, or, if you replaced it on purpose, remove {record.name}"
        ) from error
    if not record.exists():
        _record(record, f"{sha256}  {path.name}\n")
    return RawFile(path.name, sha256, path.stat().st_size, address)


def _record(record: Path, text: str) -> None:
    try:
        aside = record.with_name(f".{record.name}.tmp")
        aside.write_text(text, "utf-8")
        aside.replace(record)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
