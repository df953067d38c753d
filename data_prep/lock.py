"""Lock a set while it is fetched and prepared, and clean up after killed processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from data_prep.errors import DataError
from data_prep.files import is_leftover, remove, room_for
from data_prep.progress import Progress
from data_prep.raw import raw_folder
from data_prep.store import prepared_folder, set_aside


@contextmanager
def locked(name: str, data: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock for fetching and preparing a set; the system releases it if the process dies.

    Raises DataError if the disk is full, or the file system does not support locks.
    """
    lock = FileLock(_lock_file(name, data))
    folder = Path(lock.lock_file).parent
    try:
        with room_for(None, folder):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=1)
            except Timeout:
                progress.note(f"{name}: waiting for another process that prepares it (lock {lock.lock_file})")
                lock.acquire()
    except NotImplementedError as error:
        raise DataError(
            f"{folder}: its file system has no locks ({error}); prepare the sets on another file system and copy them"
        ) from error
    try:
        _put_right(name, data)
        yield
    finally:
        lock.release()


def clear_up(data: Path) -> None:
    """Clean up after killed processes, except for sets that another process is working on.

    Read-only folders stay as they are.
    """
    aside = (*(data / "prepared").glob(".*.tmp"), *(data / "raw").glob("*/.*.tmp"))
    names = {path.name.split(".")[1] if path.parent.name == "prepared" else path.parent.name for path in aside}
    for name in sorted(names):
        with suppress(OSError, NotImplementedError, Timeout), FileLock(_lock_file(name, data), timeout=0):
            _put_right(name, data)


def _put_right(name: str, data: Path) -> None:
    """Restore a set whose replacement was interrupted, and remove abandoned files. The caller holds the lock."""
    folder = prepared_folder(data, name)
    old = set_aside(folder)
    if old.exists():
        if folder.exists():
            remove(old)
        else:
            old.rename(folder)
    for path in (*folder.parent.glob(f".{name}.*.tmp"), *raw_folder(data, name).glob(".*.tmp")):
        if is_leftover(path):
            remove(path)


def _lock_file(name: str, data: Path) -> Path:
    return prepared_folder(data, name).parent / f".{name}.lock"
