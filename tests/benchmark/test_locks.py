"""One run, one process: whoever dies."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command_line import ROOT
from warm_python import warm_python

from benchmark.lock import is_locked, lock_path, locked
from cli.files import aside_name

HOLD = """
import sys
from pathlib import Path
from benchmark.lock import locked
with locked(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """A process that has tried to lock a run, and holds on until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.answer = process.stdout.readline().strip()  # type: ignore[attr-defined]
    return process


def end(process: subprocess.Popen[str], *, kill: bool = False) -> None:
    if kill:
        process.kill()
    process.communicate()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "split-0.json"


def test_second_one_skips(path: Path) -> None:
    with locked(path) as first, locked(path) as second, locked(path.with_name("split-1.json")) as other:
        assert (first, second, other) == (True, False, True)
        assert is_locked(path)
    assert not is_locked(path)
    assert list(path.parent.iterdir()) == []


def test_released_when_the_owner_fails(path: Path) -> None:
    with pytest.raises(RuntimeError), locked(path):
        raise RuntimeError
    assert list(path.parent.iterdir()) == []


def test_another_process_skips_until_the_owner_is_killed(path: Path) -> None:
    owner = hold(path)
    second = hold(path)
    assert (owner.answer, second.answer) == ("True", "False")
    end(second)
    assert is_locked(path)
    end(owner, kill=True)
    assert lock_path(path).exists()
    assert not is_locked(path)
    with locked(path) as mine:
        assert mine
    assert list(path.parent.iterdir()) == []


def test_only_one_of_many_takes_over(path: Path) -> None:
    end(hold(path), kill=True)
    held: list[bool] = []

    def attempt(_: int) -> bool:
        with locked(path) as mine:
            if mine:
                held.append(True)
                time.sleep(0.005)
                assert len(held) == 1
                held.pop()
            return mine

    with ThreadPoolExecutor(8) as pool:
        assert any(list(pool.map(attempt, range(160))))


@pytest.mark.parametrize("content", ["", '{"machine": "elsewhere", "pid": 1, "started": "1"}'])
@pytest.mark.parametrize("age", [-1e6, 0, 1e6])
def test_a_file_that_nobody_locks_is_no_obstacle(path: Path, content: str, age: float) -> None:
    """Whatever it holds, and whenever it was written: a full disk and wrong clocks leave such files."""
    path.parent.mkdir()
    lock_path(path).write_text(content)
    os.utime(lock_path(path), (time.time() - age, time.time() - age))
    with locked(path) as mine:
        assert mine


def test_who_holds_the_lock_removes_what_killed_processes_left(path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    path.parent.mkdir()
    left = path.with_name(aside_name(path.name, ended.pid))
    written = path.with_name(aside_name("split-1.json", os.getppid()))
    for file in (left, written):
        file.touch()
    with locked(path):
        assert not left.exists()
        assert written.exists()


def test_a_lock_that_was_removed_while_it_was_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, its owner has ended and another one has come: the file is no longer that of all."""
    lock = fcntl.flock

    def too_late(file: object, kind: int) -> None:
        lock_path(path).unlink()
        lock_path(path).touch()
        lock(file, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", too_late)
    with locked(path) as mine:
        assert not mine
    assert lock_path(path).exists()


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_runs_go_on(path: Path, error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that knows no locks costs double work; what another process writes aside is left to it."""

    def refuse(file: object, kind: int) -> None:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refuse)
    path.parent.mkdir()
    aside = path.with_name(aside_name(path.name, os.getpid()))
    aside.touch()
    with locked(path) as first, locked(path) as second:
        assert (first, second, is_locked(path)) == (True, True, False)
    assert list(path.parent.iterdir()) == [aside]


ALONE = """
import sys, torch
from benchmark.device import on_device
with on_device(torch.device("cpu"), alone=sys.argv[1] == "alone"):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_alone_on_a_device(tmp_path: Path) -> None:
    """Runs compute beside each other; one that is to be timed begins when they have ended, and lets none in."""

    script = tmp_path / "alone.py"
    script.write_text(ALONE)

    def enter(kind: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [warm_python(), str(script), kind],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    order: list[str] = []

    def leave(name: str, process: subprocess.Popen[str]) -> None:
        order.append(name)
        process.communicate()

    first, second = enter("beside"), enter("beside")
    assert first.stdout.readline() == second.stdout.readline() == "in\n"
    timed = enter("alone")
    leave("first", first)
    leave("second", second)
    assert timed.stdout.readline() == "in\n"
    third = enter("beside")
    leave("timed", timed)
    assert third.stdout.readline() == "in\n"
    leave("third", third)
    assert order == ["first", "second", "timed", "third"]
