"""Prepare the data sets of the benchmark, show their state, or verify them.

  python -m data_prep                          show all data sets and their state
  python -m data_prep dataset=sgemm            prepare one, or show how its columns were used
  python -m data_prep dataset=fried,diamonds   prepare several
  python -m data_prep dataset=all              prepare all; sets that cannot be fetched are reported
  python -m data_prep verify=true              read everything again and compare it with the recorded hashes
  python -m data_prep report=true              print a page of sources, hashes and counts to send to the project

A raw file is downloaded only if it is not in <paths.data>/raw/<name>/. OpenML files are also copied from
openml-python's cache ($OPENML_CACHE_DIR). To turn your own CSV or parquet file into a data set, write one YAML file in
conf/dataset/; see docs/data.md.

You do not have to run this first: a benchmark run prepares its data set. Then `python -m benchmark` runs methods on the
data sets, `python -m results` prints the tables, and `python -m plots` draws the figures. `python -m bmdal` gives an
overview of the library.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cli.options import describe_options, read_options
from cli.run import BAD_INPUT, FAILED, complain, run_command
from data_prep.catalog import load_dataset, names
from data_prep.dataset import DataSet
from data_prep.errors import DataError
from data_prep.prepare import prepare
from data_prep.progress import ConsoleProgress
from data_prep.provenance import page
from data_prep.status import Outcome, print_columns, print_status, status_of, verified
from data_prep.store import PreparedData

INTERRUPTED = "interrupted; nothing half-written is left, run the same command again"


def main(arguments: list[str]) -> int:
    """Run the command line and return the exit status: 0 success, 1 a set fails its checks, 2 an error."""
    return run_command(arguments, _help, _work, (DataError,), INTERRUPTED)


def _help() -> str:
    return describe_options("data_prep", f"{__doc__}\nData sets: {', '.join(names())}")


def _work(arguments: Sequence[str]) -> int:
    options = read_options("data_prep", arguments)
    data = Path(options.paths.data)
    chosen = names() if "all" in options.dataset else list(dict.fromkeys(options.dataset))
    if options.overwrite and (options.verify or not chosen):
        raise DataError("overwrite=true prepares again: it needs dataset=<names> or dataset=all, and no verify=true")
    datasets: list[DataSet] = []
    failures: dict[str, DataError] = {}
    for name in chosen or names():
        try:
            datasets.append(load_dataset(name))
        except DataError as error:
            if len(chosen) == 1 or name not in names():
                raise  # the only set asked for, or a misspelt name: do nothing until it is fixed
            failures[name] = error
    progress = ConsoleProgress()
    before = status_of(datasets[0], data).prepared if len(chosen) == 1 else None
    made_before = _made(before)
    if chosen and not options.verify:
        for dataset in datasets:
            try:
                prepare(dataset, data, overwrite=options.overwrite, progress=progress)
            except DataError as error:
                failures[dataset.name] = error
    if options.report:
        print(page(datasets, data))
        return _complain_of(failures)
    if options.verify:
        states = [verified(dataset, data, progress) for dataset in datasets]
    else:
        states = [status_of(dataset, data) for dataset in datasets]
    print_status(states, data)
    if before is not None and _made(states[0].prepared) == made_before:
        print_columns(before)  # if the set was prepared just now, they have already been shown
    return _complain_of(failures) or (FAILED if any(state.outcome is Outcome.WRONG for state in states) else 0)


def _complain_of(failures: Mapping[str, DataError]) -> int:
    for failure in failures.values():
        complain(failure)
    return BAD_INPUT if failures else 0


def _made(prepared: PreparedData | None) -> int | None:
    """Return when a set was prepared, in nanoseconds."""
    return (prepared.folder / "meta.json").stat().st_mtime_ns if prepared is not None else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
