"""Ctrl-C and SIGTERM in the first seconds of every command: one line and the status that says so, never a traceback."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import ROOT, command, environment

pytestmark = [
    pytest.mark.attacks,
    pytest.mark.skipif(sys.platform != "linux", reason="sees in /proc how far a command is"),
]
COMMANDS = {
    "benchmark": ["dataset=friedman", "task.n_rounds=50"],
    "benchmark.status": ["+experiment=relu"],
    "benchmark.speed": ["dataset=friedman", "parts=training"],
    "data_prep": [],
    "results": ["table=published"],
    "plots": ["figure=literature_ranking"],
}
SECONDS = 3.0


@pytest.mark.parametrize("name", COMMANDS)
def test_interrupted_at_once(name: str, tmp_path: Path) -> None:
    moments = random.Random(name)
    n_interrupted = 0
    for seconds in (0.0, moments.uniform(0, SECONDS)):
        figures = [f"paths.figures={tmp_path}"] if name == "plots" else []
        with subprocess.Popen(
            command(*COMMANDS[name], *figures, module=name), env=environment(tmp_path), cwd=ROOT, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in background jobs of a shell
        ) as process:  # fmt: skip
            maps = Path(f"/proc/{process.pid}/maps")
            while process.poll() is None and "/numpy/" not in maps.read_text():  # before that, Python itself starts
                time.sleep(0.005)
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate()
        assert "Traceback" not in errors
        if process.returncode == 0:  # it was faster
            continue
        n_interrupted += 1
        assert process.returncode == 130, errors
        assert errors.splitlines()[-1].startswith("interrupted")
    assert n_interrupted
