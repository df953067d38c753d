"""Files appear whole or not at all, and what killed processes leave behind goes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.files import OLD_SECONDS, aside_name, write_text_atomically, written_aside

ROOT = Path(__file__).resolve().parents[2]
KILLED = """
import os, sys
from pathlib import Path
from cli.files import written_aside
with written_aside(Path(sys.argv[1])) as aside:
    aside.write_text("half")
    os._exit(9)
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_text_atomically(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    with pytest.raises(UnicodeEncodeError), written_aside(path) as aside:
        aside.write_text("half" * 100_000 + "\ud800", encoding="utf-8")
    assert path.read_bytes() == "ä\n".encode()
    assert names(path.parent) == {"file"}


def test_leftovers_of_killed_processes_go(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "other")], cwd=ROOT, check=False)
    (left,) = names(tmp_path)
    assert left.startswith(".other.")
    write_text_atomically(tmp_path / "file", "")
    assert names(tmp_path) == {"file"}


def test_what_others_write_stays(tmp_path: Path) -> None:
    """Files of a process that lives, of another machine unless they are old, and of other programs."""
    kept = {
        aside_name("a", os.getppid()),
        ".a.00000000-1.tmp",
        ".a.tmp",
        "a.00000000-1.tmp",
        ".a.00000000-x.tmp",
    }
    for name in {*kept, ".old.00000000-1.tmp"}:
        (tmp_path / name).touch()
    old = time.time() - OLD_SECONDS - 60
    for name in (".old.00000000-1.tmp", ".a.tmp", ".a.00000000-x.tmp"):
        os.utime(tmp_path / name, (old, old))
    write_text_atomically(tmp_path / "file", "")
    assert names(tmp_path) == {*kept, "file"}
