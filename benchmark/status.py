"""python -m benchmark.status: show the progress of an experiment. See --help."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

from benchmark.choices import check_choices, check_keys
from benchmark.errors import EXPECTED
from benchmark.grid import GridJob, make_grid
from benchmark.job import Job
from benchmark.states import UNFINISHED, State, in_words, run_states
from cli.options import CONF
from cli.progress import duration
from cli.run import run_command
from results.load import damaged_records
from results.record import RecordError, failed_path, read_failure

HELP = """\
Show the progress of an experiment: which runs are done, running, failed, interrupted or missing, and the time left.

    python -m benchmark.status +experiment=relu
    python -m benchmark.status +experiment=relu dataset=fried,sgemm     part of it
    python -m benchmark.status +experiment=relu --failed                why runs failed, and how to run them again

Give the same arguments as to `python -m benchmark -m`. To continue an experiment, run that command again: it runs
everything that is not done, and interrupted runs resume after their last round.
"""
RECENT = 50  # number of last finished runs from which the throughput is computed
AXES: dict[str, Callable[[Job], str]] = {
    "data set": lambda job: job.dataset.name,
    "task": lambda job: job.task.name,
    "method": lambda job: job.method.name,
}
States = dict[int, State]


def main(arguments: Sequence[str]) -> int:
    """Print the status of an experiment. Return the exit status, which is 2 for bad arguments."""
    return run_command(arguments, lambda: HELP, _work, EXPECTED)


def _work(arguments: Sequence[str]) -> int:
    overrides = [argument for argument in arguments if argument not in ("-m", "--multirun", "--failed")]
    check_keys(overrides, CONF)
    check_choices(overrides, CONF)
    items = _grid(overrides)
    states = [run_states(item.job) for item in items]
    console = Console(soft_wrap=True, highlight=False)
    if "--failed" in arguments:
        _show_failures(console, items, states, overrides)
    else:
        _show_status(console, items, states)
    return 0


def _grid(overrides: Sequence[str]) -> Sequence[GridJob]:
    def config_of(chosen: Sequence[str]) -> DictConfig:
        return compose("config", list(chosen), return_hydra_config=True)

    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        chosen = [override for override in overrides if override.startswith("+experiment=")]
        lists = [f"{key}={choices}" for key, choices in config_of(chosen).hydra.sweeper.params.items()]
        return make_grid([*lists, *overrides], config_of).jobs


def _show_status(console: Console, items: Sequence[GridJob], states: Sequence[States]) -> None:
    jobs = [item.job for item in items]
    for axis, name_of in AXES.items():
        counts: dict[str, Counter[State]] = {}
        for job, of_job in zip(jobs, states, strict=True):
            counts.setdefault(name_of(job), Counter()).update(of_job.values())
        if len(counts) > 1 or axis == "method":
            console.print(_table(axis, counts))
    total = Counter(state for of_job in states for state in of_job.values())
    console.print(f"{sum(total.values())} runs in {len(jobs)} jobs: {in_words(total)}", markup=False)
    console.print(_throughput(jobs, states, total), markup=False)
    if damaged := damaged_records(jobs[0].runs):
        console.print(f"{len(damaged)} damaged record(s), not counted as results: {damaged[0]}", markup=False)
    console.print(f"Records: {jobs[0].runs.resolve() / jobs[0].experiment}", markup=False)


def _table(axis: str, counts: dict[str, Counter[State]]) -> Table:
    table = Table(axis, *State, "of", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, of_name in counts.items():
        table.add_row(name, *(str(of_name[state] or "") for state in State), str(of_name.total()))
    return table


def _throughput(jobs: Sequence[Job], states: Sequence[States], total: Counter[State]) -> str:
    if total.total() == total[State.DONE]:
        return "Everything is done."
    if not total[State.RUNNING]:
        return "Nothing is running."
    times = [
        job.path(split).stat().st_mtime
        for job, of_job in zip(jobs, states, strict=True)
        for split, state in of_job.items()
        if state is State.DONE
    ]
    recent = sorted(times)[-RECENT:]
    if not recent:
        return "No run is done yet, so the time left is unknown."
    seconds = max(time.time() - recent[0], 1.0)
    left = duration((total.total() - total[State.DONE]) * seconds / len(recent))
    return f"Recently {len(recent) * 3600 / seconds:.1f} runs per hour; {left} left at this rate."


def _show_failures(
    console: Console, items: Sequence[GridJob], states: Sequence[States], overrides: Sequence[str]
) -> None:
    shared = [override for override in overrides if override.startswith("+experiment=")]
    n_failed = 0
    for item, of_job in zip(items, states, strict=True):
        failed = [split for split, state in of_job.items() if state is State.FAILED]
        for split in failed:
            console.print(f"{item.job.title}, split {split}{_failure(item.job.path(split))}", markup=False)
        if failed:
            own = [override for override in item.overrides if override.partition("=")[0] != "splits"]
            again = [*dict.fromkeys([*shared, *own]), f"splits={failed}".replace(" ", "")]
            if item.job.n_timed and not set(failed) & set(item.job.splits[: item.job.n_timed]):
                again.append("experiment.n_timed_splits=0")
            console.print(f"    python -m benchmark -m {shlex.join(again)}", markup=False)
        n_failed += len(failed)
    hint = " The tracebacks are in split-*.failed.json next to the records." if n_failed else ""
    left = sum(state in UNFINISHED for of_job in states for state in of_job.values()) - n_failed
    console.print(f"{n_failed} runs failed, {left} more are interrupted or missing.{hint}", markup=False)


def _failure(path: Path) -> str:
    try:
        failure = read_failure(failed_path(path))
    except RecordError as error:
        return f": {error}"
    return f" ({failure.failed} on {failure.host}): {failure.error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
