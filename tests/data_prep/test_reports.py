"""What a user sees while it works."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from data_helpers import Silent
from workers import context, hold_lock

from cli import progress as reports
from data_prep import DataError, DataSet, Friedman, prepare
from data_prep.progress import ConsoleProgress

ROOT = Path(__file__).resolve().parents[2]
SMALL = DataSet(name="small", target=("Y",), source=Friedman(n_rows=200, seed=1))


def test_plain_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Amount, total and remaining time; a line at most every so often."""
    monkeypatch.setattr(reports, "SECONDS_BETWEEN_LINES", 0.0)
    with ConsoleProgress().task("small: downloading", 2_000_000, "bytes") as advance:
        advance(500_000)
        advance(2_000_000)
    with ConsoleProgress().task("small: reading", None, "rows") as advance:
        advance(1234)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("small: downloading: 500.0 kB of 2.0 MB, ")
    assert lines[0].endswith(" s left")
    assert lines[1:] == ["small: downloading: 2.0 MB of 2.0 MB, 0 s left", "small: reading: 1,234 rows"]
    monkeypatch.setattr(reports, "SECONDS_BETWEEN_LINES", 1e9)
    with ConsoleProgress().task("small: reading", 10, "rows") as advance:
        advance(5)
    assert capsys.readouterr().err == ""


def test_bars_on_a_terminal(tmp_path: Path) -> None:
    """In a real pseudo-terminal, through the command."""
    (tmp_path / "raw/road").mkdir(parents=True)
    lines = "".join(f"{i},{i / 7},{i % 13},{i % 5}\n" for i in range(2000))
    (tmp_path / "raw/road/3D_spatial_network.txt").write_text(lines)
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "data_prep", "dataset=road", f"paths.data={tmp_path}"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    done = subprocess.run(command, cwd=ROOT, env=environment, stderr=child, stdout=subprocess.DEVNULL, check=False)
    os.close(child)
    shown = b""
    while b"features in" not in shown:
        shown += os.read(parent, 65536)
    os.close(parent)
    assert done.returncode == 1  # 2,000 rows are not the published count
    assert b"road: reading 2,000 rows" in shown
    assert "━".encode() in shown


def test_waiting_for_another_process_is_said(tmp_path: Path) -> None:
    """And once that one is done, or dead, the work goes on."""
    (tmp_path / "prepared").mkdir()
    processes = context()
    held, release = processes.Event(), processes.Event()
    other = processes.Process(target=hold_lock, args=(tmp_path / "prepared/.small.lock", held, release))
    other.start()
    held.wait()

    class Releasing(Silent):
        def note(self, text: str) -> None:
            if "waiting for another process" in text:
                release.set()

    assert prepare(SMALL, tmp_path, progress=Releasing()).meta.n == 200
    assert release.is_set()
    other.join()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match=r"data set small: .*data.*(Not a directory|File exists)"):
        prepare(SMALL, tmp_path / "data", progress=Silent())
