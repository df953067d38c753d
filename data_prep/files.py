"""Write files atomically, find leftovers of killed processes, and handle full disks."""

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
    """The disk is full. The message names the folder and the number of bytes that did not fit (None: unknown)."""

    def __init__(self, folder: Path, n_bytes: int | None) -> None:
        needed = "one more file" if n_bytes is None else f"{n_bytes:,} bytes"
        super().__init__(
            f"{folder}: the disk is full, there is no room for {needed}; free some space, or choose another folder "
            "(paths.data=..., or $BMDAL_DATA)"
        )


def is_full(error: BaseException) -> bool:
    """Return whether an error means that the disk or quota is full, or the file too large for the file system."""
    return isinstance(error, OSError) and error.errno in _FULL


@contextmanager
def room_for(n_bytes: int | None, folder: Path) -> Iterator[None]:
    """Raise NoRoomError if the disk fills up while the block writes `n_bytes` (None: unknown, few) into the folder."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise NoRoomError(folder, n_bytes) from error
        raise


def aside_of(path: Path) -> Path:
    """Return the temporary path at which this process writes `path`; its name contains the machine and process."""
    return path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.tmp")


def place(path: Path, write: Callable[[Path], object], n_bytes: int) -> None:
    """Write a file of `n_bytes` atomically. Raises NoRoomError if the disk is full."""
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
    """Flush the content of a file to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def remove(path: Path) -> None:
    """Remove a file, or a folder with everything in it."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Return whether a temporary file or folder is abandoned, given that the caller holds the lock of the set.

    If a process on this machine created it, it is abandoned, because the lock is exclusive on one machine. Another
    machine may not see the lock on a shared file system, so its files count as abandoned after a day without a change.
    """
    if f".{platform.node()}-" in path.name:
        return True
    times = [p.stat().st_mtime for p in (path, *path.glob("*"))]
    return time.time() - max(times) > _DAY
