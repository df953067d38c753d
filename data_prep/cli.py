"""The command line: prepare data sets, show what is there, verify it."""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from data_prep.catalog import load_dataset, names
from data_prep.dataset import DataSet
from data_prep.errors import DataError
from data_prep.prepare import prepare
from data_prep.progress import ConsoleProgress
from data_prep.provenance import page
from data_prep.status import Outcome, print_columns, print_status, status_of, verified
from data_prep.store import PreparedData

HELP = """\
Prepare the data sets of the benchmark, show which are there, verify them.

  python -m data_prep                          show all data sets and their state
  python -m data_prep dataset=sgemm            prepare one, or show what became of its columns
  python -m data_prep dataset=fried,diamonds   prepare several
  python -m data_prep dataset=all              prepare all; what cannot be had is reported, the rest is done
  python -m data_prep verify=true              read everything again and compare with the recorded hashes
  python -m data_prep report=true              one page of sources, hashes and counts, to be sent to the project

Settings, written key=value:
  dataset      names, separated by commas, or all
  verify       true: verify the given sets (default: all) instead of preparing them
  report       true: print sources, hashes and counts of the given sets (default: all)
  overwrite    true: prepare again what is prepared already, the way out when a file is damaged
  paths.data   folder with raw/ and prepared/ (default: $BMDAL_DATA, or data)

Raw files are looked for in <paths.data>/raw/<name>/ first and downloaded only if they are not there. OpenML files are
also taken from openml-python's cache ($OPENML_CACHE_DIR). An own CSV or parquet file becomes a data set by one YAML in
conf/dataset/; docs/data.md says how.

Nothing has to be done first: a run prepares what it needs. Afterwards: `python -m benchmark` runs methods on the data
sets, `python -m results` prints the tables, `python -m plots` draws the figures. `python -m bmdal` says what the
library does.

Data sets: {names}
"""


@dataclass
class Paths:
    """Folders."""

    data: str = "${oc.env:BMDAL_DATA,data}"


@dataclass
class Options:
    """The settings of the command line."""

    dataset: Any = None
    verify: bool = False
    overwrite: bool = False
    report: bool = False
    paths: Paths = field(default_factory=Paths)


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status: 0 well, 1 a set does not match or verify, 2 an error."""
    if any(argument in ("-h", "--help", "help") for argument in arguments):
        print(HELP.format(names=", ".join(names())))
        return 0
    try:
        return _run(arguments)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left, run the same command again", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    options = _parsed(arguments)
    data = Path(options.paths.data)
    chosen = _chosen(options.dataset)
    if options.overwrite and (options.verify or not chosen):
        raise DataError("overwrite=true prepares again: it needs dataset=<names> or dataset=all, and no verify=true")
    datasets: list[DataSet] = []
    failures: dict[str, str] = {}
    for name in chosen or names():
        try:
            datasets.append(load_dataset(name))
        except DataError as error:
            if len(chosen) == 1 or name not in names():
                raise  # what was asked for, or a misspelt name: nothing is done before it is right
            failures[name] = str(error)
    progress = ConsoleProgress()
    before = status_of(datasets[0], data).prepared if len(chosen) == 1 else None
    made_before = _made(before)
    if chosen and not options.verify:
        for dataset in datasets:
            try:
                prepare(dataset, data, overwrite=options.overwrite, progress=progress)
            except DataError as error:
                failures[dataset.name] = str(error)
    if options.report:
        print(page(datasets, data))
        return 2 if failures else 0
    if options.verify:
        states = [verified(dataset, data, progress) for dataset in datasets]
    else:
        states = [status_of(dataset, data) for dataset in datasets]
    print_status(states, data)
    if before is not None and _made(states[0].prepared) == made_before:
        print_columns(before)  # of a set prepared just now they have been shown
    for message in failures.values():
        print(f"error: {message}", file=sys.stderr)
    if failures:
        return 2
    return 1 if any(state.outcome is Outcome.WRONG for state in states) else 0


def _made(prepared: PreparedData | None) -> int | None:
    """When the folder of a set was made, in nanoseconds."""
    return (prepared.folder / "meta.json").stat().st_mtime_ns if prepared is not None else None


def _parsed(arguments: list[str]) -> Options:
    schema: DictConfig = OmegaConf.structured(Options)
    valid = [f.name for f in fields(Options) if f.name != "paths"] + ["paths.data"]
    for argument in arguments:
        key, equals, _ = argument.partition("=")
        if not equals or key not in valid:
            near = difflib.get_close_matches(key, valid, n=1)
            hint = f" Did you mean {near[0]}=...?" if near else ""
            raise DataError(f"{argument!r} is no setting.{hint} Valid: {', '.join(f'{key}=...' for key in valid)}")
    try:
        merged = OmegaConf.merge(schema, OmegaConf.from_dotlist(arguments))
        return OmegaConf.to_object(merged)  # type: ignore[return-value]
    except (OmegaConfBaseException, YAMLError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"cannot read {' '.join(arguments)}: {reason}; see python -m data_prep --help") from error


def _chosen(dataset: Any) -> list[str]:
    """The names given by `dataset=a`, `dataset=a,b` or `dataset=[a,b]`."""
    given = [] if dataset is None else str(dataset).split(",") if not isinstance(dataset, list) else dataset
    chosen = [str(name).strip() for name in given]
    if "all" in chosen:
        return names()
    return list(dict.fromkeys(chosen))
