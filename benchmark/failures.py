"""Record why a run failed."""

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
from results.record import MOST_TEXT, FailureRecord, RecordError, failed_path, read_failure, write_record


def record_failure(path: Path, config: dict[str, Any], error: BaseException) -> FailureRecord:
    """Write a record of the failure next to the path of the run's record; print a message if that is impossible.

    Args:
        path: path of the run's record.
        config: settings of the run, `Run.config`.
        error: the error that ended the run.
    """
    experiment, dataset, task, method, name = path.parts[-5:]
    failure = FailureRecord(
        experiment=experiment,
        dataset=dataset,
        task=task,
        method=method,
        split=int(name.removeprefix("split-").removesuffix(".json")),
        config=config,
        error=_storable(describe(error))[:MOST_TEXT],
        traceback=_storable("".join(traceback.format_exception(error)))[-MOST_TEXT:],
        host=node(),
        failed=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        write_record(failure, failed_path(path))
    except (OSError, RecordError) as unwritten:  # for example a full disk, which may be why the run failed
        print(f"could not record why the run failed: {unwritten}", file=sys.stderr)
    return failure


def _storable(text: str) -> str:
    """Escape characters that cannot be encoded, such as invalid bytes in a file name."""
    return text.encode("utf-8", "backslashreplace").decode()


def failure_reason(path: Path) -> str:
    """Return in one line why a run failed, given the path of its record, or why the failure record cannot be read."""
    try:
        return read_failure(failed_path(path)).error
    except RecordError as error:
        return str(error)


def describe(error: BaseException) -> str:
    """Describe an error in one line. Unless it is an expected error, add its type and the file and line it came from.

    If memory ran out, say how much was in use.
    """
    line = " ".join(str(error).split()) or "no message"
    if not isinstance(error, EXPECTED):
        line = f"{type(error).__name__}: {line}{_place(error)}"
    return f"out of memory, {_in_use()}: {line}" if is_out_of_memory(error) else line


def _place(error: BaseException) -> str:
    """Return the innermost line of a traceback outside installed packages, e.g. " (my_module.py:30)"."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def _in_use() -> str:
    unit = 1 if sys.platform == "darwin" else 1024
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    texts = [f"{resident / 2**30:.1f} GiB of main memory"]
    if torch.cuda.is_available():
        texts.append(f"{torch.cuda.max_memory_allocated() / 2**30:.1f} GiB of GPU memory")
    return f"with at most {' and '.join(texts)} in use"
