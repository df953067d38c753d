"""Run the splits of a job safely despite other processes, failures and lack of memory.

Each split is locked, runs next to other splits or alone on its device, and leaves either its record or a record of its
failure. If one of several splits fails, they are tried again one at a time; if memory runs out, in smaller chunks.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from benchmark.device import is_lost, on_device
from benchmark.errors import DeviceLostError
from benchmark.failures import describe, record_failure
from benchmark.lock import locked
from benchmark.loop import SMALL, SPLITS_AT_ONCE, USUAL, Chunks, check_data, run_splits, work_left
from benchmark.run import Run
from benchmark.states import tidy
from bmdal.errors import is_out_of_memory, release_memory
from cli.progress import Progress
from results.record import RecordError, RunRecord, failed_path


@dataclass
class Outcome:
    """The outcome of a job: records and errors by split, and the splits that another process is working on."""

    complete: dict[int, RunRecord] = field(default_factory=dict)
    failed: dict[int, str] = field(default_factory=dict)
    elsewhere: list[int] = field(default_factory=list)


def attempt_splits(run: Run, splits: Sequence[int], progress: Progress, *, n_timed: int = 0) -> Outcome:
    """Run all splits that are neither complete nor locked by another process. A failure does not stop the other splits.

    Args:
        run: what to run.
        splits: numbers of the splits, in the order in which to run them.
        progress: where to report progress.
        n_timed: how many splits, from the first, run alone on their device to make their times comparable.

    Raises BenchmarkError before any training, as `run_splits` does; DeviceLostError if the GPU cannot be used any more,
    after recording that. A damaged record counts as a failure of its split.
    """
    check_data(run)
    attempt, work, damaged = _Attempt(run, progress), {}, []
    for number in splits:
        try:
            record = run.open(number)
        except RecordError:
            damaged.append(number)
            continue
        if record.complete:
            attempt.outcome.complete[number] = record
            tidy(run.path(number))
        else:
            work[number] = work_left(run, record)
    progress.expect(sum(work.values()))
    for number in damaged:
        attempt([number], alone=False)  # this reads the record again, because its owner may have renamed it by now
    for number in splits[:n_timed]:
        if number in work:
            attempt([number], alone=True)
    beside = [number for number in splits[n_timed:] if number in work]
    at_once = SPLITS_AT_ONCE[run.device.type]
    for start in range(0, len(beside), at_once):
        attempt(beside[start : start + at_once], alone=False)
    return attempt.outcome


@dataclass
class _Attempt:
    run: Run
    progress: Progress
    outcome: Outcome = field(default_factory=Outcome)

    def __call__(self, splits: Sequence[int], *, alone: bool) -> None:
        with ExitStack() as stack:
            mine = [number for number in splits if stack.enter_context(locked(self.run.path(number)))]
            self.outcome.elsewhere += [number for number in splits if number not in mine]
            if mine:
                stack.enter_context(on_device(self.run.device, alone=alone))
                self._try(replace(self.run, timed_alone=alone), mine, USUAL)

    def _try(self, run: Run, splits: Sequence[int], chunks: Chunks) -> None:
        for number in splits:
            failed_path(run.path(number)).unlink(missing_ok=True)
        try:
            records = run_splits(run, splits, self.progress, chunks)
        except Exception as error:  # a method or a driver may raise anything; the other runs must continue
            lost = is_lost(run.device)
            if lost or (len(splits) == 1 and not (is_out_of_memory(error) and chunks is USUAL)):
                for number in splits:
                    self._fail(number, error)
                if lost:
                    raise DeviceLostError(f"{run.device} is lost to this process: {describe(error)}") from error
                return
            retry = SMALL if is_out_of_memory(error) else USUAL
            how = "in smaller chunks" if retry is SMALL else "one by one"
            self.progress.line(f"splits {', '.join(map(str, splits))}: {describe(error)}; trying again {how}")
        else:
            self.outcome.complete |= dict(zip(splits, records, strict=True))
            return
        gc.collect()  # outside the handler, because the traceback there holds the tensors that filled the memory
        release_memory()
        for number in splits:
            self._try(run, [number], retry)

    def _fail(self, number: int, error: Exception) -> None:
        path = self.run.path(number)
        record_failure(path, self.run.config, error)
        self.outcome.failed[number] = describe(error)
        self.progress.line(f"failed: split {number}: {describe(error)}; traceback in {failed_path(path)}")
