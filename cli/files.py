"""Atomic writing: a file appears whole or not at all."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OLD_SECONDS = 86_400.0
_ASIDE = re.compile(r"\..+\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)\.tmp")


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a temporary path, and rename it to `path` if the block ends without an error.

    Creates the folder and removes the temporary files that killed processes left there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(aside_name(path.name, os.getpid()))
    try:
        yield aside
        with aside.open("rb+") as file:
            os.fsync(file.fileno())
        remove_leftovers(path.parent)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text to a temporary file and rename it to `path`."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def aside_name(name: str, pid: int) -> str:
    """Return the name of the temporary file that process `pid` on this machine writes in place of `name`."""
    return f".{name}.{_machine()}-{pid}.tmp"


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files from a folder if they are older than a day or their process has ended."""
    for file in folder.glob(".*.tmp"):
        match = _ASIDE.fullmatch(file.name)
        with suppress(OSError):  # another process has already removed it, or we lack permission
            old = time.time() - file.stat().st_mtime > OLD_SECONDS
            if match and file.is_file() and (old or _has_ended(**match.groupdict())):
                file.unlink()


def _has_ended(machine: str, pid: str) -> bool:
    if machine != _machine():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def _machine() -> str:
    """Return an identifier of everything that shares process ids: a host since its last boot, or a container on it."""
    parts = [platform.node()]
    with suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]
