"""The state of runs, read from their folders: done, running, failed, interrupted or missing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from benchmark.job import Job
from benchmark.lock import is_locked, lock_path, locked
from results.record import failed_path, partial_path


class State(StrEnum):
    """The state of a run. An interrupted run resumes after its last round when it is started again."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    MISSING = "missing"


UNFINISHED = (State.FAILED, State.INTERRUPTED, State.MISSING)
"""States of runs that are not done and that no process is working on."""


def run_states(job: Job) -> dict[int, State]:
    """Return the state of each split of a job."""
    folder = job.path(0).parent
    files = {folder / name for name in os.listdir(folder)} if folder.is_dir() else set()
    states = {}
    for split in job.splits:
        path = job.path(split)
        if lock_path(path) in files and is_locked(path):
            states[split] = State.RUNNING
        elif failed_path(path) in files:
            states[split] = State.FAILED
        elif path in files:
            states[split] = State.DONE
        else:
            states[split] = State.INTERRUPTED if partial_path(path) in files else State.MISSING
    return states


def tidy(path: Path) -> None:
    """Remove files next to a complete record that were left by a process killed after the last round."""
    if list(path.parent.glob(f"*{path.stem}.*")) == [path]:
        return
    with suppress(OSError), locked(path) as mine:  # a read-only folder stays as it is
        if mine:
            for file in (partial_path(path), failed_path(path)):
                file.unlink(missing_ok=True)


def discard_runs(job: Job) -> None:
    """Remove the complete, partial and failure records of a job's runs, unless another process is working on them."""
    for split in job.splits:
        path = job.path(split)
        with locked(path) as mine:
            if mine:
                for file in (path, partial_path(path), failed_path(path)):
                    file.unlink(missing_ok=True)


def forget_failures(job: Job) -> None:
    """Remove the failure records of a job's runs, which are about to be tried again."""
    for split, state in run_states(job).items():
        if state is State.FAILED:
            failed_path(job.path(split)).unlink(missing_ok=True)


def count_states(jobs: Iterable[Job]) -> Counter[State]:
    """Count the runs of the jobs in each state."""
    return Counter(state for job in jobs for state in run_states(job).values())


def in_words(counts: Counter[State]) -> str:
    """Return the counts as text, e.g. "1200 done, 3 failed"."""
    return ", ".join(f"{counts[state]} {state}" for state in State if counts[state]) or "no runs"
