"""Runs that are killed at every operation on files or meet a full disk, after which the same command ends as usual."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.attempt import Outcome
from benchmark.run import Run
from results.record import partial_path
from tests.attacks.records_attacked import SPLITS, attempt, measured, tiny_run

pytestmark = pytest.mark.attacks
OPERATIONS = {"open", "os.mkdir", "os.rename", "os.remove", "fcntl.flock"}


def in_child(work: Callable[[], object]) -> int:
    """The exit status of a process that does something; the negative number of the signal that ended it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12: this process has threads, which sleep
        pid = os.fork()
    if pid == 0:
        status = 1
        with contextlib.suppress(BaseException), contextlib.redirect_stderr(io.StringIO()):
            work()
            status = 0
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_at(run: Run, number: int) -> bool:
    """Attempt a run in a process that SIGKILL ends just before its operation of that number on files of the runs.

    Gives False if it ended before.
    """

    def work() -> None:
        left = number

        def count() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            if event in OPERATIONS and (event == "fcntl.flock" or str(run.runs) in str(arguments[0])):
                count()

        fsync = os.fsync

        def counted_fsync(file: int) -> None:  # which tells no hook; what is written is in the file by now
            count()
            fsync(file)

        os.fsync = counted_fsync
        sys.addaudithook(hook)
        attempt(run)

    status = in_child(work)
    assert status in (0, -signal.SIGKILL)
    return status != 0


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Run]:
    folder = tmp_path_factory.mktemp("data")
    return lambda runs: tiny_run(folder, runs)


@pytest.fixture(scope="module")
def unbroken(tiny: Callable[[Path], Run], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    runs = tmp_path_factory.mktemp("unbroken")
    assert sorted(attempt(tiny(runs)).complete) == list(SPLITS)
    found = measured(runs)
    assert len(found) == len(SPLITS)
    return found


def test_killed_at_every_operation(tiny: Callable[[Path], Run], unbroken: dict[str, Any], tmp_path: Path) -> None:
    number = 1
    while killed_at(run := tiny(tmp_path / str(number)), number):
        outcome = attempt(run)
        assert sorted(outcome.complete) == list(SPLITS), (number, outcome)
        assert measured(run.runs) == unbroken, number
        number += 1
    assert measured(run.runs) == unbroken
    assert number > 50  # opened, flushed, renamed, removed: in each round of each split


@pytest.mark.parametrize("step", [1, 2, 3, 5, 8, 13, 21, 34])
def test_killed_again_and_again(
    tiny: Callable[[Path], Run], unbroken: dict[str, Any], tmp_path: Path, step: int
) -> None:
    """Each attempt survives some operations more than the one before, until one gets through."""
    run, number = tiny(tmp_path), step
    while killed_at(run, number):
        number += step
    assert measured(run.runs) == unbroken


def test_killed_while_another_one_works(tiny: Callable[[Path], Run], unbroken: dict[str, Any], tmp_path: Path) -> None:
    """Two processes at the same runs, of which one is killed at every second operation in turn."""
    for number in range(1, 60, 2):
        run = tiny(tmp_path / str(number))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            other = os.fork()
        if other == 0:
            status = 1
            with contextlib.suppress(BaseException), contextlib.redirect_stderr(io.StringIO()):
                outcome = attempt(run)
                status = bool(outcome.failed)
            os._exit(status)
        killed_at(run, number)
        assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
        assert attempt(run).failed == {}
        assert measured(run.runs) == unbroken


Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a file system of memory with given options, or changes those of the one that is mounted."""
    where = tmp_path / "mounted"
    where.mkdir()

    def mount(options: str) -> Path:
        kind = "remount," if where.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", kind + options, "tmpfs", str(where)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount a file system: {done.stderr.strip()}")
        return where

    yield mount
    if where.is_mount():
        subprocess.run(["umount", str(where)], check=True)


def attempt_or_refusal(run: Run) -> Outcome | None:
    """None if not even a lock could be made."""
    try:
        return attempt(run)
    except OSError as error:
        number, name = error.errno, str(error.filename)
    assert number == errno.ENOSPC
    assert name.startswith(str(run.runs))
    return None


@pytest.mark.parametrize(
    "options", [f"size={4 * pages}k" for pages in range(1, 14)] + [f"nr_inodes={n}" for n in range(2, 14)]
)
def test_full_disk(tiny: Callable[[Path], Run], unbroken: dict[str, Any], mount: Mount, options: str) -> None:
    run = tiny(mount(options))
    outcome = attempt_or_refusal(run)
    for reason in outcome.failed.values() if outcome else ():
        assert "No space left on device" in reason
    mount("size=10m,nr_inodes=1000")
    assert sorted(attempt(run).complete) == list(SPLITS)
    assert measured(run.runs) == unbroken


def test_read_only_folder(tiny: Callable[[Path], Run], unbroken: dict[str, Any], mount: Mount) -> None:
    run = tiny(mount("size=10m"))
    attempt(run)
    partial_path(run.path(0)).write_text("{}")  # left by a process that was killed
    mount("size=10m,ro")
    assert sorted(attempt(run).complete) == list(SPLITS)
    mount("size=10m,rw")
    assert sorted(attempt(run).complete) == list(SPLITS)
    assert measured(run.runs) == unbroken
