"""Every command and every Python example of the README and of CONTRIBUTING runs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHORT = {
    "benchmark": ["training.n_epochs=1", "task.n_rounds=1", "task.batch_size=64", "splits=[0]", "n_threads=1"],
    "benchmark.speed": ["repeats=1", "n_epochs=1", "n_pool=2000", "n_train=300", "batch_size=16"],
}


def blocks(document: str, language: str) -> list[str]:
    text = (ROOT / document).read_text()
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def commands() -> list[str]:
    lines = [line for block in blocks("README.md", "bash") for line in block.splitlines()]
    return [" ".join(shlex.split(line, comments=True)) for line in lines if line.strip()]


@pytest.fixture(scope="module")
def folder(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place for data and runs, with the raw data that a person without a network would put there."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(shared / "data" / "raw" / "sgemm", folder / "data" / "raw" / "sgemm")
    return folder


@pytest.mark.parametrize("command", commands())
def test_readme_command(command: str, folder: Path, shared: Path) -> None:
    words = command.split()
    if words[0] == "make":
        done = subprocess.run(["make", "--dry-run", *words[1:]], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert f"python -m {'pytest' if words[1] == 'test' else 'benchmark'}" in done.stdout
        return
    assert words[:2] == ["python", "-m"]
    environment = {
        **os.environ,
        "BMDAL_DATA": str(folder / "data"),
        "BMDAL_RUNS": str(folder / "runs"),
        "OPENML_CACHE_DIR": str(shared / "data" / "openml_cache"),
        "OMP_NUM_THREADS": "1",
    }
    figures = [f"paths.figures={folder / 'figures'}"] if words[2] == "plots" else []
    arguments = [w for w in words[3:] if not w.startswith(("task=", "task.", "training.", "splits="))]
    short = SHORT.get(words[2], [])
    if "training=forest" in arguments:
        short = ["training.n_trees=5" if option.startswith("training.") else option for option in short]
    if words[2] in ("plots", "results"):  # need a record, whichever test came before
        test_readme_command("python -m benchmark dataset=friedman", folder, shared)
    done = subprocess.run(
        [sys.executable, "-m", words[2], *arguments, *short, *figures],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_python_examples(document: str) -> None:
    found = blocks(document, "python")
    assert found
    for example in found:
        exec(compile(example, document, "exec"), {})
