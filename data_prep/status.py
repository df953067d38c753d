"""The state of the data sets, as a table."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from data_prep.dataset import DataSet, Expected, Friedman, OwnFile
from data_prep.errors import DataError
from data_prep.hashing import sha256_of_files
from data_prep.prepare import is_current, mismatch
from data_prep.progress import Progress
from data_prep.raw import raw_folder
from data_prep.rawfile import held_raw_file
from data_prep.report import columns_text, warnings_text
from data_prep.store import PreparedData, load_prepared, prepared_folder


class Outcome(Enum):
    """The state of a set; WRONG needs action by the user."""

    GOOD = "prepared"
    MISSING = "missing"
    WRONG = "wrong"


@dataclass(frozen=True)
class State:
    """One line of the table."""

    name: str
    outcome: Outcome
    remark: str
    expected: Expected | None
    prepared: PreparedData | None = None


def status_of(dataset: DataSet, data: Path) -> State:
    """Return the state of a set, judged by meta.json and the sizes of the files."""
    if not prepared_folder(data, dataset.name).is_dir():
        remark = f"not prepared; {_raw_remark(dataset, data)}"
        return State(dataset.name, Outcome.MISSING, remark, dataset.expected)
    try:
        prepared = load_prepared(data, dataset.name, verify=False)
    except DataError as error:
        return State(dataset.name, Outcome.WRONG, str(error), dataset.expected)
    if not is_current(dataset, prepared):
        remark = "prepared from another description or by older rules; run again to prepare it"
        return State(dataset.name, Outcome.WRONG, remark, dataset.expected, prepared)
    if text := mismatch(dataset, prepared.meta):
        return State(dataset.name, Outcome.WRONG, text, dataset.expected, prepared)
    return State(dataset.name, Outcome.GOOD, "", dataset.expected, prepared)


def verified(dataset: DataSet, data: Path, progress: Progress) -> State:
    """Return the state of a set after reading all its files, raw and prepared, and comparing them with their hashes."""
    state = status_of(dataset, data)
    progress.note(f"{dataset.name}: verifying")
    try:
        folder = raw_folder(data, dataset.name)
        for record in sorted(folder.glob("*.sha256")):
            if record.with_suffix("").is_file():
                held_raw_file(record.with_suffix(""), None)
    except DataError as error:
        return State(dataset.name, Outcome.WRONG, str(error), dataset.expected, state.prepared)
    if state.prepared is None or state.outcome is not Outcome.GOOD:
        return state
    found = sha256_of_files(state.prepared.folder / "X.npy", state.prepared.folder / "y.npy")
    if found != state.prepared.data_hash:
        remark = (
            f"the arrays in {state.prepared.folder} have the hash {found[:12]}…, meta.json says "
            f"{state.prepared.data_hash[:12]}…; run `python -m data_prep dataset={dataset.name} overwrite=true`"
        )
        return State(dataset.name, Outcome.WRONG, remark, dataset.expected, state.prepared)
    return State(dataset.name, Outcome.GOOD, "verified", dataset.expected, state.prepared)


def print_status(states: list[State], data: Path) -> None:
    """Print the table, then the remarks, one per line, and the folders."""
    table = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("data set", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("rows", "pool", "test", "features", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for state in states:
        table.add_row(*_cells(state))
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # files and pipes have no width
    console.print(table)
    for state in states:
        if state.remark:
            console.print(f"{state.name}: {state.remark}", soft_wrap=True, markup=False)
    n_prepared = sum(state.prepared is not None for state in states)
    console.print(f"{n_prepared} of {len(states)} data sets are prepared.")
    console.print(f"Prepared arrays in {data / 'prepared'}, raw files in {data / 'raw'}", soft_wrap=True, markup=False)


def print_columns(prepared: PreparedData) -> None:
    """Print how the rows and columns of the raw table were used, and the warnings."""
    meta = prepared.meta
    if not meta.columns:
        return  # prepared before that was recorded
    console = Console(highlight=False)
    if meta.n < meta.n_raw_rows:
        console.print(f"{prepared.name}: {meta.n:,} of {meta.n_raw_rows:,} rows are kept")
    console.print(f"{prepared.name}: {columns_text(meta.columns)}", soft_wrap=True, markup=False)
    for text in warnings_text(meta.columns):
        console.print(f"warning: {prepared.name}: {text}", soft_wrap=True, markup=False)


def _cells(state: State) -> list[Text]:
    colour = {Outcome.GOOD: "green", Outcome.MISSING: "yellow", Outcome.WRONG: "red"}[state.outcome]
    first = [Text(state.name), Text(state.outcome.value, style=colour)]
    expected = vars(state.expected) if state.expected else {}
    if state.prepared is None:
        counts = [Text(f"({expected[key]})" if expected else "") for key in ("pool", "test", "features")]
        return [*first, Text(""), *counts, Text("")]
    meta = state.prepared.meta
    found = vars(meta.counts)
    counts = [
        Text(str(found[key]))
        if expected.get(key, found[key]) == found[key]
        else Text(f"{found[key]} (expected {expected[key]})", style="red")
        for key in ("pool", "test", "features")
    ]
    size = Text(f"{4 * meta.n * (meta.d + 1) / 1e6:.1f} MB")
    return [*first, Text(str(meta.n)), *counts, size]


def _raw_remark(dataset: DataSet, data: Path) -> str:
    if isinstance(dataset.source, Friedman):
        return "generated, needs no file"
    if isinstance(dataset.source, OwnFile):
        path = Path(dataset.source.path)
        return (
            f"file {path} is there" if path.is_file() else f"path={str(path)!r} is not a file (seen from {Path.cwd()})"
        )
    folder = raw_folder(data, dataset.name)
    there = sorted(p.name for p in folder.glob("[!.]*") if p.is_file() and p.suffix != ".sha256")
    return f"raw file {there[0]} is there" if there else "no raw file yet"
