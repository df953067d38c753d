"""Sweeps on this machine whose parent is ended, in every way: no process is left, the records so far are whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import ROOT, SMALL, command, environment

from data_prep import DataSet, Friedman, prepare

pytestmark = [
    pytest.mark.attacks,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
LONG = ["task.n_rounds=60", "training.n_epochs=30", "splits=[0,1]", "hydra/launcher=local", "hydra.launcher.n_jobs=2"]
SWEEP = ["-m", *SMALL, "method=random,maxdist-tp_ll,lcmd-tp_ll", *LONG]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the data set prepared; each test has runs of its own."""
    folder = tmp_path_factory.mktemp("orphans")
    prepare(DataSet(name="small", source=Friedman(n_rows=3000, seed=0), target=("Y",)), folder / "data")
    return folder


def start(folder: Path, runs: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*SWEEP, f"paths.runs={runs}"), env=environment(folder), cwd=ROOT, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in background jobs of a shell
    )  # fmt: skip


def session(process: subprocess.Popen[str]) -> dict[int, str]:
    """The processes that a command and its children have started and that live, by their number."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, of = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(of) == process.pid and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has just ended
    return found


def workers(process: subprocess.Popen[str]) -> list[int]:
    return [pid for pid, name in session(process).items() if "popen_loky_posix" in name]


def wait_for(what: object, process: subprocess.Popen[str], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():  # type: ignore[operator]
        assert process.poll() is None, "the sweep ended before it could be stopped"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_none_is_left(process: subprocess.Popen[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    try:
        while left := session(process):
            assert time.monotonic() < deadline, left
            time.sleep(0.05)
    finally:
        for pid in session(process):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda how: how.name)
def test_parent_is_ended(folder: Path, tmp_path: Path, how: signal.Signals) -> None:
    process = start(folder, tmp_path)
    wait_for(lambda: len(list(tmp_path.rglob("split-?.partial.json"))) == 2, process)
    assert len(workers(process)) == 2
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as Ctrl-C in a terminal
    else:
        process.send_signal(how)
    assert_none_is_left(process, 8.0)
    _, errors = process.communicate()
    for record in tmp_path.rglob("split-?.partial.json"):
        assert json.loads(record.read_text())["rounds"]
    if how != signal.SIGKILL:
        assert process.returncode == 128 + how
        assert "interrupted" in errors
        assert "6 runs are left: run the same command again to continue" in errors
        assert "Traceback" not in errors


def test_parent_is_killed_before_its_processes_have_begun(folder: Path, tmp_path: Path) -> None:
    process = start(folder, tmp_path)
    wait_for(lambda: len(workers(process)) == 2, process)
    process.kill()
    assert_none_is_left(process, 8.0)
    process.communicate()
