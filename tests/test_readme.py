"""Every command and every Python example of the README and of CONTRIBUTING runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from filelock import FileLock
from warm_python import warm_python

ROOT = Path(__file__).resolve().parent.parent
SHORT = {
    "benchmark": ["training.n_epochs=1", "task.n_rounds=1", "task.batch_size=64", "splits=[0]", "n_threads=1"],
    "benchmark.speed": ["repeats=1", "n_epochs=1", "n_pool=1000", "n_train=300", "batch_size=4"],
}


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands() -> list[ParameterSet]:
    """The commands of the README, of which sweeps and measurements take long even in short."""
    lines = [line for block in blocks("README.md", "bash") for line in block.splitlines()]
    found = [" ".join(shlex.split(line, comments=True)) for line in lines if line.strip()]
    long = ("python -m benchmark -m ", "python -m benchmark.speed ")
    return [pytest.param(line, marks=[pytest.mark.thorough] * line.startswith(long), id=line) for line in found]


@pytest.fixture(scope="session")
def data(shared: Path, common: Path) -> Path:
    """A data folder with the raw file that a person without a network would put there, prepared once for all tests."""
    folder = common / "data"
    with FileLock(common / "data.lock"):
        if not folder.exists():
            shutil.copytree(shared / "data" / "raw" / "sgemm", folder / "raw" / "sgemm")
    return folder


def python_command(words: list[str], data: Path, runs: Path, shared: Path) -> None:
    """Run `-m ...` with little training; it must succeed."""
    environment = {
        **os.environ,
        "BMDAL_DATA": str(data),
        "BMDAL_RUNS": str(runs),
        "OPENML_CACHE_DIR": str(shared / "data" / "openml_cache"),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(runs),  # with the lock of this device: no waiting for other commands on this machine
    }
    done = subprocess.run(
        [warm_python(), *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def recorded(data: Path, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with a record, for the commands that need one."""
    runs = tmp_path_factory.mktemp("recorded")
    python_command(["-m", "benchmark", "dataset=friedman", *SHORT["benchmark"]], data, runs, shared)
    return runs


@pytest.mark.parametrize("command", commands())
def test_readme_command(command: str, data: Path, recorded: Path, shared: Path, tmp_path: Path) -> None:
    words = command.split()
    if words[0] == "make":
        done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"python -m {'pytest' if words[1] == 'test' else 'benchmark'}" in done.stdout
        return
    assert words[:2] == ["python", "-m"]
    module, runs = words[2], tmp_path
    arguments = [w for w in words[3:] if not w.startswith(("task=", "task.", "training.", "splits="))]
    short = SHORT.get(module, [])
    if "training=forest" in arguments:
        short = ["training.n_trees=5" if option.startswith("training.") else option for option in short]
    if module in ("plots", "results"):
        runs = recorded
        short = [f"paths.figures={tmp_path}"] if module == "plots" else []
    python_command(["-m", module, *arguments, *short], data, runs, shared)


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_python_examples(document: str) -> None:
    found = blocks(document, "python")
    assert found
    for example in found:
        exec(compile(example, document, "exec"), {})
