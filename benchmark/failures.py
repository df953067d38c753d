"""Runs that fail: a record of the reason, and what to do when memory runs out."""

from __future__ import annotations

import resource
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path
from platform import node
from typing import Any

import torch

from benchmark.errors import EXPECTED
from bmdal.errors import is_out_of_memory
from results.record import FailureRecord, failed_path, write_record


def record_failure(path: Path, config: dict[str, Any], error: BaseException) -> FailureRecord:
    """Write why a run failed beside the place of its record.

    Args:
        path: where the record would lie.
        config: what the run was to compute, `Run.config`.
        error: what went wrong.
    """
    experiment, dataset, task, method, name = path.parts[-5:]
    failure = FailureRecord(
        experiment=experiment,
        dataset=dataset,
        task=task,
        method=method,
        split=int(name.removeprefix("split-").removesuffix(".json")),
        config=config,
        error=describe(error),
        traceback="".join(traceback.format_exception(error)),
        host=node(),
        failed=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_record(failure, failed_path(path))
    return failure


def describe(error: BaseException) -> str:
    """An error in one line: kind, message, and file and line where it arose, as far as the message does not say all.

    When memory ran out, with how much was in use and how much was asked for.
    """
    line = " ".join(str(error).split()) or "no message"
    if not isinstance(error, EXPECTED):
        line = f"{type(error).__name__}: {line}{_place(error)}"
    return f"out of memory, {_in_use()}: {line}" if is_out_of_memory(error) else line


def _place(error: BaseException) -> str:
    """E.g. " (my_module.py:30)": the innermost line of a traceback that does not belong to an installed package."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _in_use() -> str:
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    texts = [f"{resident / 2**30:.1f} GiB of main memory"]
    if torch.cuda.is_available():
        texts.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of GPU memory")
    return f"where at most {' and '.join(texts)} had been in use"
