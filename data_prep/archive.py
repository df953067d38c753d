"""Zip archives: find one member, and refuse harmful archives."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from data_prep.blob import Blob
from data_prep.errors import DataError

MAX_UNPACKED_BYTES = 8 << 30  # the largest published archive unpacks to less than 1 GiB
MAX_RATIO = 200  # unpacked size / packed size; tables of numbers stay below 20


def zip_member(path: Path, member: str) -> Blob:
    """Return the member with the given path or, failing that, the only member with its file name in any folder.

    Raises DataError if the archive is damaged or lacks the member, or if any member points outside the archive, is a
    link or a device, is encrypted, or unpacks to too many bytes.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise DataError(f"{path}: damaged zip archive ({error})") from error
    for entry in entries:
        _refuse_harm(path, entry)
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
        raise DataError(f"{path}: refused, the archive unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
    entry = _find(path, entries, member)
    return Blob(path, entry.file_size, entry.filename)


def _find(path: Path, entries: list[zipfile.ZipInfo], member: str) -> zipfile.ZipInfo:
    exact = [entry for entry in entries if entry.filename == member]
    wanted = PurePosixPath(member).name.lower()
    named = [entry for entry in entries if PurePosixPath(entry.filename).name.lower() == wanted and not entry.is_dir()]
    found = exact or named
    if len(found) == 1:
        return found[0]
    names = ", ".join(entry.filename for entry in entries[:20]) or "nothing"
    what = f"no member {member!r}" if not found else f"{len(found)} members called {member!r}"
    raise DataError(f"{path}: {what} in the archive; it holds {names}")


def _refuse_harm(path: Path, entry: zipfile.ZipInfo) -> None:
    name = PurePosixPath(entry.orig_filename.replace("\\", "/"))
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or any(":" in part for part in name.parts[:1]):
        raise DataError(f"{path}: refused, the member {entry.orig_filename!r} leads outside the archive")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise DataError(f"{path}: refused, the member {entry.filename!r} is a link or a device")
    if entry.flag_bits & 0x1:
        raise DataError(f"{path}: refused, the member {entry.filename!r} is encrypted")
    if entry.file_size > 1 << 20 and entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        raise DataError(
            f"{path}: refused, the member {entry.filename!r} unpacks from {entry.compress_size:,} to "
            f"{entry.file_size:,} bytes, as an archive bomb does"
        )
