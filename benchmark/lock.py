"""A lock for one run, by which a second job that is given the same run skips it.

Locks save work and nothing else: records are deterministic and renamed into place, so that two processes at one run
would end with the same record. A lock of the operating system on `split-<s>.json.lock` beside the record is therefore
enough. It ends with its process, whether that is killed, requeued or loses its machine: there are no dead owners to be
found out by clocks and heartbeats. Network file systems pass it on to other machines (NFS once the lease of a lost
machine has run out, in one or two minutes). Where one is mounted with locks within a machine only, or without any, two
machines may do the same run.
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
    """The file whose lock is that of a run, given the path of the run's record."""
    return path.with_name(f"{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a run, if it is free, while the context lasts. Gives False if another process works on it.

    What killed processes have left of the run's files is removed. Raises OSError if the folder cannot be written.

    path: the run's record, beside which the lock lies.
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
    """Whether a process works on a run."""
    with suppress(FileNotFoundError, PermissionError), lock_path(path).open() as opened:
        return _lock(opened, fcntl.LOCK_SH) is False
    return False


def _lock(opened: IO[Any], kind: int) -> bool | None:
    """Whether a file could be locked; None if its file system knows no locks."""
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
