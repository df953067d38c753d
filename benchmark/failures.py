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
from results.record import MOST_TEXT, FailureRecord, RecordError, failed_path, read_failure, write_record


def record_failure(path: Path, config: dict[str, Any], error: BaseException) -> FailureRecord:
    """Write why a run failed beside the place of its record; says so on stderr if that is not possible.

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
        error=_storable(describe(error))[:MOST_TEXT],
        traceback=_storable("".join(traceback.format_exception(error)))[-MOST_TEXT:],
        host=node(),
        failed=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        write_record(failure, failed_path(path))
    except (OSError, RecordError) as unwritten:  # such as a full disk, which may be why the run failed
        print(f"the reason of the failure could not be kept: {unwritten}", file=sys.stderr)
    return failure


def _storable(text: str) -> str:
    """A text in which what is no Unicode, such as bytes of a file's name, stands as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def failure_reason(path: Path) -> str:
    """Why a run failed, in one line, given the path of its record; if that cannot be read, why not."""
    try:
        return read_failure(failed_path(path)).error
    except RecordError as error:
        return str(error)


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
