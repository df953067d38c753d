"""Each command from a cold start, with warnings as errors; all other tests of commands start warm (warm_python.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from warm_python import warm_python

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    "bmdal",
    "data_prep",
    "benchmark",
    "benchmark.status",
    "benchmark.speed",
    "benchmark.gain",
    "benchmark.suggest",
    "benchmark.gpu_check",
    "results",
    "plots",
)


@pytest.mark.thorough
@pytest.mark.parametrize("module", COMMANDS)
def test_help(module: str) -> None:
    """The same help, cold and warm."""
    cold, warm = (
        subprocess.run([python, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
        for python in (sys.executable, warm_python())
    )
    assert module in cold.stdout
    assert (warm.stdout, warm.stderr) == (cold.stdout, cold.stderr)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("print('done')", 0, ""),
        ("import sys; sys.exit(3)", 3, ""),
        ("import sys; sys.exit('reason')", 1, "reason\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 247, ""),
    ],
)
def test_a_warm_start_ends_like_a_cold_one(tmp_path: Path, code: str, status: int, error: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import atexit\natexit.register(print, 'left')\n{code}\n")
    done = subprocess.run([warm_python(), str(script)], capture_output=True, text=True)
    assert done.returncode == status
    assert done.stderr.endswith(error)
    assert ("left" in done.stdout) == (status != 247)
