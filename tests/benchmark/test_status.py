"""What the status says of a folder of runs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import SMALL, run

from benchmark import status
from benchmark.lock import locked
from benchmark.states import State, count_states, in_words, run_states
from results.record import failed_path, partial_path

ARGUMENTS = [*SMALL, "method=random,lcmd-tp_ll", "task.n_rounds=1", "splits=[0,1,2,3,4]"]


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    monkeypatch.setenv("BMDAL_RUNS", str(tmp_path / "runs"))

    def show(*arguments: str) -> str:
        exit_status = status.main(arguments)
        printed = capsys.readouterr()
        return printed.out if exit_status == 0 else f"{exit_status}: {printed.err}"

    return show


def test_states(tmp_path: Path, show: Callable[..., str]) -> None:
    """One complete run from the command line, and one in each other state."""
    assert run(tmp_path, *SMALL, "method=random", "task.n_rounds=1").returncode == 0
    folder = tmp_path / "runs/default/small/32x1/random"
    done = folder / "split-0.json"
    assert done.exists()
    failed_path(folder / "split-1.json").write_text("{}")
    partial_path(folder / "split-2.json").write_text("{}")
    with locked(folder / "split-3.json"):
        items = status._grid(ARGUMENTS)
        assert list(run_states(items[0].job).values()) == [
            State.DONE, State.FAILED, State.INTERRUPTED, State.RUNNING, State.MISSING
        ]  # fmt: skip
        assert in_words(count_states(item.job for item in items)) == (
            "1 done, 1 running, 1 failed, 1 interrupted, 6 missing"
        )
        shown = show(*ARGUMENTS)
        assert "10 runs in 2 jobs: 1 done, 1 running, 1 failed, 1 interrupted, 6 missing" in shown
        assert "runs per hour" in shown
        assert str(folder.parents[2]) in shown
    assert "Nothing is running." in show(*ARGUMENTS)
    assert "random on small, 32x1, split 1: " in show(*ARGUMENTS, "--failed")
    assert "split-1.failed.json: experiment is missing; move the file away" in show(*ARGUMENTS, "--failed")
    assert "Everything is done." in show(*ARGUMENTS, "method=random", "splits=[0]")
    shutil.copytree(tmp_path / "runs/default", tmp_path / "runs/old/default")
    assert re.match("2: error: .*split-0.json .* are records of the same run", show(*ARGUMENTS))
    shutil.rmtree(tmp_path / "runs/old")
    done.write_text(done.read_text()[:-9])
    assert f"1 damaged record(s), not counted as results: {done}: Invalid JSON" in show(*ARGUMENTS)


def test_arguments(show: Callable[..., str]) -> None:
    assert "python -m benchmark.status +experiment=relu" in show("--help")
    assert show("+experiment=mni").startswith("2: error: unknown experiment 'mni'. Did you mean 'mini'?")
    assert show("no.such.key=1").startswith("2: error: ")
    assert "6 runs in 3 jobs: 6 missing" in show("+experiment=quick")
    assert "0 runs failed, 6 more are interrupted or missing." in show("+experiment=quick", "--failed")
