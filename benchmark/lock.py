"""A lock for one run, on any file system that several machines share, which survives the death of its owner.

The owner of `<path>` has a claim: a file `<path>.lock-<n>`, created with O_EXCL, which a thread touches every 20 s.
A claim is dead if its process has gone (same machine), if its cluster job has been requeued, or if it has not been
touched for three minutes. The next owner claims n + 1 before it removes the dead claim; of several that try only one
can create that file. Locks of the operating system would be simpler, but network file systems do not keep them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile

HEARTBEAT_SECONDS = 20.0
DEAD_AFTER_SECONDS = 180.0
_CLAIM = re.compile(r"(?P<run>.+)\.lock-(?P<number>\d+)")


@dataclass(frozen=True)
class Owner:
    """Who holds a claim. `started` tells processes with the same number apart, `restarts` those of a cluster job."""

    machine: str
    pid: int
    started: str
    job: str = ""
    restarts: int = 0

    @classmethod
    def me(cls) -> Owner:
        """This process."""
        job, restarts = os.environ.get("SLURM_JOB_ID", ""), os.environ.get("SLURM_RESTART_COUNT", "0")
        return cls(_machine(), os.getpid(), _process_start(os.getpid()) or "", job, int(restarts))


@contextmanager
def locked(path: Path) -> Iterator[bool]:
    """Hold the lock of a run, if it is free, while the context lasts. Gives False if another process works on it.

    path: the run's record, in whose folder the claims lie.
    """
    claim = _acquire(path)
    if claim is None:
        yield False
        return
    stop = threading.Event()
    heart = threading.Thread(target=_beat, args=(claim, stop), daemon=True)
    heart.start()
    try:
        yield True
    finally:
        stop.set()
        heart.join()
        claim.unlink(missing_ok=True)


def is_locked(path: Path) -> bool:
    """Whether a living process works on a run."""
    return any(not _is_dead(claim) for claim in _claims(path))


def locked_run(claim: Path) -> Path | None:
    """The run's record to which a file is a claim; None if it is none."""
    match = _CLAIM.fullmatch(claim.name)
    return claim.with_name(match["run"]) if match else None


def _acquire(path: Path) -> Path | None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dead = _claims(path)
    if not all(_is_dead(claim) for claim in dead):
        return None
    mine = path.with_name(f"{path.name}.lock-{max(map(_number, dead), default=0) + 1}")
    try:
        with mine.open("x") as file:
            json.dump(asdict(Owner.me()), file)
    except FileExistsError:
        return None
    if set(_claims(path)) - {mine, *dead}:  # an owner that had been taken for dead has come and gone in between
        mine.unlink(missing_ok=True)
        return None
    for claim in dead:
        claim.unlink(missing_ok=True)
    return mine


def _claims(path: Path) -> list[Path]:
    found = (claim for claim in path.parent.glob(f"{path.name}.lock-*") if locked_run(claim) == path)
    return sorted(found, key=_number)


def _number(claim: Path) -> int:
    match = _CLAIM.fullmatch(claim.name)
    assert match is not None
    return int(match["number"])


def _beat(claim: Path, stop: threading.Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):
            os.utime(claim)


def _is_dead(claim: Path) -> bool:
    try:
        owner, me = Owner(**json.loads(claim.read_text())), Owner.me()
    except FileNotFoundError:
        return True
    except (ValueError, TypeError):  # its owner is just writing it, or died in doing so
        return _seconds_untouched(claim) > DEAD_AFTER_SECONDS
    if owner.job and owner.job == me.job and owner.restarts < me.restarts:
        return True
    if owner.machine == me.machine:
        return _process_start(owner.pid) != owner.started
    return _seconds_untouched(claim) > DEAD_AFTER_SECONDS


def _seconds_untouched(claim: Path) -> float:
    """By the clock of the file server, which need not be ours."""
    try:
        touched = claim.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
    try:
        with TemporaryFile(dir=claim.parent) as fresh:
            return os.fstat(fresh.fileno()).st_mtime - touched
    except OSError:  # a folder that we may only read
        return time.time() - touched


def _machine() -> str:
    """A name for what shares process numbers: the host since its start, or one container on it."""
    parts = [platform.node()]
    with suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(parts)


def _process_start(pid: int) -> str | None:
    """When a process started, in the clock ticks of Linux ("" elsewhere); None if there is none or only a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state == "Z" else fields[18]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
