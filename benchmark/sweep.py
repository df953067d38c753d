"""Run a sweep: launch all jobs of a grid that are not done yet and print a summary, or only print an estimate."""

from __future__ import annotations

import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from omegaconf import DictConfig

from benchmark.choices import check_values
from benchmark.errors import EXPECTED, BenchmarkError
from benchmark.estimate import estimate, largest_bytes
from benchmark.failures import failure_reason, record_failure
from benchmark.grid import Grid, GridJob, make_grid
from benchmark.job import Job, job_from_config
from benchmark.lock import locked
from benchmark.run import check_same
from benchmark.states import UNFINISHED, State, count_states, discard_runs, forget_failures, in_words, run_states
from cli.progress import duration
from cli.run import BAD_INPUT, interrupt_status
from data_prep import DataError, load_prepared
from data_prep.prepare import is_current
from results.record import RecordError, failed_path, read_record

Launch = Callable[[list[list[str]], int, float | None], object]
"""Run jobs, given as overrides, and return when they have ended. Also given are the number of GPUs that they use and
the bytes that the largest of them is expected to need there, None if that is unknown.
"""
MOST_SHOWN, MOST_STALLED = 10, 3
FIRST_PAUSE, SECONDS_BETWEEN_LINES = 10.0, 60.0


def run_sweep(
    arguments: Sequence[str],
    config: DictConfig,
    compose: Callable[[list[str]], DictConfig],
    launch: Launch,
    check: Callable[[], object],
) -> int:
    """Launch the jobs of a grid that are not done. Return the exit status, which is 0 if nothing is left to do.

    Args:
        arguments: command-line arguments, preceded by the lists of the experiment.
        config: composed without the choices that are swept over.
        compose: returns the configuration of one combination.
        launch: runs jobs.
        check: raises what would keep the launcher from starting, before anything is removed.
    """
    try:
        check_values(config)
        grid = make_grid(arguments, compose)
        _report_impossible(grid)
        if config.dry_run:
            jobs = [item.job for item in grid.jobs]
            print(estimate(jobs, Path(config.paths.data), jobs[0].device(config.device), again=config.overwrite))
            return 0
        if config.overwrite:
            check()
            for item in grid.jobs:
                discard_runs(item.job)
        data = Path(config.paths.data)
        todo = [item for item in grid.jobs if not _is_done(item.job, data)]
    except EXPECTED as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    n_before = len(grid.jobs) - len(todo)
    print(f"{len(grid.jobs)} jobs with {grid.n_runs} runs; {n_before} jobs are done, {len(todo)} start now", flush=True)
    crash = None
    if todo:
        try:
            with _progress_lines([item.job for item in todo]):
                _launch_all(todo, launch, config)
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # still summarize the runs that are done
            if isinstance(error, SystemExit) and error.code == BAD_INPUT:
                raise
            crash = error
    return _sum_up(grid.jobs, arguments, crash)


def _launch_all(items: Sequence[GridJob], launch: Launch, config: DictConfig) -> None:
    """Launch jobs; if a process of the launcher dies, start those that are left again, a few times without progress."""
    n_stalled = 0
    for item in items:
        forget_failures(item.job)
    while items:
        jobs = [item.job for item in items]
        before = count_states(jobs)
        # Old records have been removed by now. Without overwrite=, a requeued job resumes where it stopped.
        overrides = [[o for o in item.overrides if not o.startswith("overwrite=")] for item in items]
        try:
            launch(
                overrides, max(job.n_gpus(config.device) for job in jobs), largest_bytes(jobs, Path(config.paths.data))
            )
            return
        except BrokenExecutor as error:
            n_stalled = n_stalled + 1 if count_states(jobs) == before else 0
            if n_stalled == MOST_STALLED:
                raise
            items = [item for item in items if not {State.DONE, State.FAILED}.issuperset(run_states(item.job).values())]
            if len(items) == 1:  # a launcher may run a single job in this process, which would die
                raise
            print(f"a process died ({type(error).__name__}); {len(items)} jobs are started again", file=sys.stderr)


def _report_impossible(grid: Grid) -> None:
    for overrides, reason in list(grid.impossible.items())[:MOST_SHOWN]:
        print(f"left out {' '.join(overrides)}: {reason}", file=sys.stderr)
    if len(grid.impossible) > MOST_SHOWN:
        print(f"... and {len(grid.impossible) - MOST_SHOWN} more impossible combinations", file=sys.stderr)
    if not grid.jobs:
        raise BenchmarkError("none of the combinations can work; the reasons are above")


def _data_hash(job: Job, data: Path) -> str | None:
    """Return the hash of the job's data set; None if it is not prepared, in which case the run prepares and checks it.

    Raises BenchmarkError if it was prepared from a description that has changed since.
    """
    try:
        prepared = load_prepared(data, job.dataset.name)
    except DataError:
        return None
    if not is_current(job.dataset, prepared):
        raise BenchmarkError(
            f"data set {job.dataset.name}: its description has changed since {prepared.folder} was prepared and "
            f"{job.path(0).parent} was computed from it; choose another experiment.name, or overwrite=true to run again"
        )
    return prepared.data_hash


def _is_done(job: Job, data: Path) -> bool:
    """Return whether all runs of a job are done, with the current settings and data.

    A run with a damaged record is not done: the job will report it. Raises BenchmarkError, saying what differs, if a
    record was made with other settings or data.
    """
    if any(state is not State.DONE for state in run_states(job).values()):
        return False
    data_hash, config = _data_hash(job, data), job.config
    for split in job.splits:
        try:
            record = read_record(job.path(split), with_indices=False)
        except RecordError:
            return False
        made_with = record.provenance.data_hash
        now = {**config, "data_hash": data_hash or made_with}
        check_same(job.path(split), {**record.config, "data_hash": made_with}, now)
    return True


@contextmanager
def _progress_lines(jobs: Sequence[Job]) -> Iterator[None]:
    """Print how many runs are done every minute, and more often at first, with any launcher."""
    started, before = time.perf_counter(), count_states(jobs)[State.DONE]
    n_runs, stop = sum(len(job.splits) for job in jobs), threading.Event()

    def say() -> None:
        pause = FIRST_PAUSE
        while not stop.wait(pause):
            pause = min(2 * pause, SECONDS_BETWEEN_LINES)
            done = count_states(jobs)[State.DONE]
            seconds = (time.perf_counter() - started) * (n_runs - done) / max(done - before, 1)
            left = duration(seconds) if done > before else "unknown time"
            print(f"sweep: {done} of {n_runs} runs done, {left} left", file=sys.stderr, flush=True)

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _sum_up(items: Sequence[GridJob], arguments: Sequence[str], crash: BaseException | None) -> int:
    counts = count_states(item.job for item in items)
    runs = items[0].job.runs
    print(f"\n{in_words(counts)}. Records: {runs.resolve() / items[0].job.experiment}")
    if isinstance(crash, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    elif crash is not None:
        print(f"error: the launcher stopped: {type(crash).__name__}: {crash}", file=sys.stderr)
    shown = 0
    for item in items:
        for split, state in run_states(item.job).items():
            if state is State.FAILED and shown < MOST_SHOWN:
                shown += 1
                where = failed_path(item.job.path(split))
                reason = failure_reason(item.job.path(split))
                print(f"failed: {item.job.title}, split {split}: {reason}; traceback in {where}", file=sys.stderr)
    left = sum(counts[state] for state in UNFINISHED)
    if left:
        typed = shlex.join(argument for argument in arguments if argument.startswith("+experiment="))
        print(
            f"{left} runs are left: run the same command again to continue; "
            f"`python -m benchmark.status {typed or '...'} --failed` lists failures",
            file=sys.stderr,
        )
    if isinstance(crash, KeyboardInterrupt):
        return interrupt_status(crash)
    return 1 if left or crash else 0


def refuse_job(config: DictConfig, overrides: Sequence[str], error: Exception) -> None:
    """Record for each unfinished run of a sweep's job that the job could not start."""
    job = job_from_config(config, overrides)
    for split, state in run_states(job).items():
        with suppress(OSError), locked(job.path(split)) as mine:  # nothing can be recorded in a read-only folder
            if mine and state in UNFINISHED:
                record_failure(job.path(split), job.config, error)


def show_estimate(config: DictConfig, overrides: Sequence[str]) -> None:
    """Print the estimate of one configuration."""
    job = job_from_config(config, overrides)
    print(estimate([job], Path(config.paths.data), job.device(config.device)))
