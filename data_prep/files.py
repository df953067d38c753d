"""Files that appear whole: written aside and renamed; what dead processes left aside; disks that are full."""

from __future__ import annotations

import errno
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from data_prep.errors import DataError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DAY = 86_400.0  # seconds


class NoRoomError(DataError):
    """The disk is full. The message names the folder and the bytes that were to be written there (None: unknown)."""

    def __init__(self, folder: Path, n_bytes: int | None) -> None:
        needed = "one more file" if n_bytes is None else f"{n_bytes:,} bytes"
        super().__init__(
            f"{folder}: the disk is full, there is no room for {needed}; free some, or choose another folder "
            "(paths.data=..., or $BMDAL_DATA)"
        )


def is_full(error: BaseException) -> bool:
    """Whether an error says that a disk, a quota or the largest possible file is full."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def room_for(n_bytes: int | None, folder: Path) -> Iterator[None]:
    """Write `n_bytes` (None: unknown, few) into the folder. Raises NoRoomError if they do not fit."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise NoRoomError(folder, n_bytes) from error
        raise


def aside_of(path: Path) -> Path:
    """Where this process writes what is to appear at `path`; the name says which machine and process."""
    return path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.tmp")


def place(path: Path, write: Callable[[Path], object], n_bytes: int) -> None:
    """Put a file of `n_bytes` in its place whole, or leave nothing. Raises NoRoomError if the disk is full."""
    aside = aside_of(path)
    try:
        with room_for(n_bytes, path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(aside)
            sync(aside)
            aside.replace(path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Have the content of a file on the disk before anything that comes after."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether nobody writes there any more, given that the caller holds the lock of the set.

    So it is if a process of this machine has begun it, for on one machine the lock holds; of another one, which may
    not see the lock on a shared file system, if nothing has been written for a day.
    """
    if f".{platform.node()}-" in path.name:
        return True
    times = [p.stat().st_mtime for p in (path, *path.glob("*"))]
    return time.time() - max(times) > _DAY
