"""A lock for one run: a second job with the same run skips it.

Locks only save work. Records are deterministic and renamed into place, so two processes with the same run would end
with the same record. An operating-system lock on `split-<s>.json.lock` next to the record is therefore enough. It ends
with its process, even if the process is killed or requeued or its machine is lost, so no clocks or heartbeats are
needed to detect dead owners. Network file systems share it between machines (after the loss of a machine, NFS releases
the lock when the lease expires, within a minute or two). On a file system that is mounted with local locks only, or
without locks, two machines may do the same run.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from cli.files import remove_leftovers

_UNKNOWN_TO_FILE_SYSTEM = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


def lock_path(path: Path) -> Path:
    """Return the path of a run's lock file, given the path of its record."""
    return path.with_name(f"{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a run within the context. Yield False if another process holds it.

    Removes temporary files that killed processes left in the folder. Raises OSError if the folder is not writable.

    path: path of the run's record; the lock file is next to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = lock_path(path)
    with file.open("a") as opened:
        got = _lock(opened, fcntl.LOCK_EX)
        if got is False or not _is_at(opened, file):  # held by another process, or just removed by it
            yield False
            return
        try:
            if got:
                remove_leftovers(path.parent)
            yield True
        finally:
            file.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Return whether a process is working on a run."""
    with suppress(FileNotFoundError, PermissionError), lock_path(path).open() as opened:
        return _lock(opened, fcntl.LOCK_SH) is False
    return False


def _lock(opened: IO[Any], kind: int) -> bool | None:
    """Lock a file. Return whether that worked; None if the file system does not support locks."""
    try:
        fcntl.flock(opened, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _UNKNOWN_TO_FILE_SYSTEM:
            return None
        raise
    return True


def _is_at(opened: IO[Any], file: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(opened.fileno()), file.stat())
    return False
