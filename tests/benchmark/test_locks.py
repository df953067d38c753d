"""One run, one process: whoever dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from command_line import ROOT

from benchmark import lock
from benchmark.lock import DEAD_AFTER_SECONDS, Owner, is_locked, locked

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


def claims(path: Path) -> list[str]:
    return sorted(claim.name for claim in path.parent.glob("*.lock-*"))


def test_second_one_skips(path: Path) -> None:
    with locked(path) as first, locked(path) as second, locked(path.with_name("split-1.json")) as other:
        assert (first, second, other) == (True, False, True)
        assert is_locked(path)
    assert not is_locked(path)
    assert claims(path) == []


def test_released_when_the_owner_fails(path: Path) -> None:
    with pytest.raises(RuntimeError), locked(path):
        raise RuntimeError
    assert claims(path) == []


def test_another_process_skips_until_the_owner_is_killed(path: Path) -> None:
    owner = hold(path)
    second = hold(path)
    assert (owner.answer, second.answer) == ("True", "False")
    end(second)
    assert is_locked(path)
    end(owner, kill=True)
    assert claims(path) == ["split-0.json.lock-1"]
    assert not is_locked(path)
    with locked(path) as mine:
        assert mine
        assert claims(path) == ["split-0.json.lock-2"]


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


def write_claim(path: Path, owner: Owner | None, age: float) -> None:
    path.parent.mkdir(parents=True)
    claim = path.with_name("split-0.json.lock-1")
    claim.write_text(json.dumps(asdict(owner)) if owner else "")
    now = claim.stat().st_mtime
    os.utime(claim, (now - age, now - age))


@pytest.mark.parametrize(("age", "free"), [(0, False), (DEAD_AFTER_SECONDS - 5, False), (DEAD_AFTER_SECONDS + 5, True)])
def test_owner_on_another_machine_is_dead_when_its_heart_stands_still(path: Path, age: float, free: bool) -> None:
    write_claim(path, replace(Owner.me(), machine="elsewhere"), age)
    with locked(path) as mine:
        assert mine == free


@pytest.mark.parametrize(("age", "free"), [(DEAD_AFTER_SECONDS - 5, False), (DEAD_AFTER_SECONDS + 5, True)])
def test_claim_without_content_counts_by_age(path: Path, age: float, free: bool) -> None:
    """Its owner died before it could say who it was, or is about to."""
    write_claim(path, None, age)
    with locked(path) as mine:
        assert mine == free


def test_process_number_that_was_given_again(path: Path) -> None:
    write_claim(path, replace(Owner.me(), started="1"), 0)
    with locked(path) as mine:
        assert mine


def test_requeued_cluster_job_takes_its_own_claim_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_claim(path, replace(Owner.me(), machine="elsewhere", job="7", restarts=0), 0)
    for job, restarts, free in [("8", "1", False), ("7", "0", False), ("7", "1", True)]:
        monkeypatch.setenv("SLURM_JOB_ID", job)
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)
        with locked(path) as mine:
            assert mine == free


def test_heart_beats(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[Path] = []
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.001)
    monkeypatch.setattr(os, "utime", lambda claim: beats.append(claim))
    with locked(path):
        while len(beats) < 3:
            pass
    assert {beat.name for beat in beats} == {"split-0.json.lock-1"}


ALONE = """
import sys, torch
from benchmark.device import on_device
with on_device(torch.device("cpu"), alone=sys.argv[1] == "alone"):
    print("in", flush=True)
    sys.stdin.read()
"""


def test_alone_on_a_device(tmp_path: Path) -> None:
    """Runs compute beside each other; one that is to be timed begins when they have ended, and lets none in."""

    def enter(kind: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", ALONE, kind],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(tmp_path)},
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
