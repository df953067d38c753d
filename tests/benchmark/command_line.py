"""python -m benchmark in processes of its own, on a small generated data set."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from warm_python import warm_python

ROOT = Path(__file__).resolve().parents[2]
SMALL = (
    "dataset=friedman", "dataset.name=small", "dataset.source.n_rows=3000", "dataset.expected=null",
    "task.batch_size=32", "task.n_initial=64", "task.n_valid=64", "training.n_epochs=1", "training.batch_size=32",
    "imports=[components]",
)  # fmt: skip


def environment(folder: Path) -> dict[str, str]:
    """Variables under which everything is written below a folder, one thread computes, and components are found."""
    (folder / "tmp").mkdir(exist_ok=True)
    own = {"BMDAL_DATA": folder / "data", "BMDAL_RUNS": folder / "runs", "TMPDIR": folder / "tmp"}
    path = os.pathsep.join([str(ROOT / "tests" / "benchmark"), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, **{k: str(v) for k, v in own.items()}, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


def command(*arguments: str, module: str = "benchmark") -> list[str]:
    """For a process that is to get signals."""
    return [sys.executable, "-m", module, *arguments]


def run(folder: Path, *arguments: str, module: str = "benchmark") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [warm_python(), "-m", module, *arguments],
        env=environment(folder),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )


def measured(runs: Path) -> dict[str, str]:
    """What complete records say, without times and provenance."""
    records = {}
    for path in sorted(runs.rglob("split-*.json")):
        if path.name.count(".") == 1:
            record = json.loads(path.read_text())
            del record["provenance"]
            record["rounds"] = [{k: v for k, v in r.items() if not k.endswith("seconds")} for r in record["rounds"]]
            records[str(path.relative_to(runs))] = json.dumps(record)
    return records
