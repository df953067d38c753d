"""A page on the origin and the hashes of each data set, which a user with a network can send to the project."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from data_prep.dataset import DataSet, Download, Friedman, OpenML, OwnFile
from data_prep.errors import DataError
from data_prep.prepare import is_current, mismatch
from data_prep.store import Meta, load_prepared, prepared_folder

PACKAGES = ("numpy", "pandas", "pyarrow", "requests")


def page(datasets: Sequence[DataSet], data: Path) -> str:
    """Return a page with the source, serving address, hashes and counts of each set, and whether they are as expected.

    Users' own files are left out. Reads the arrays to verify them. Contains no paths and no machine names.
    """
    software = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    lines = [
        f"Data sets on {datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {software}, "
        f"{platform.system()} {platform.machine()}",
        "matches: counts and hash are the known ones. unknown: the counts match, but no hash is known yet.",
    ]
    for dataset in datasets:
        if not isinstance(dataset.source, OwnFile):
            lines += ["", *_entry(dataset, data)]
    return "\n".join(lines)


def verdict(dataset: DataSet, meta: Meta) -> str:
    """Return whether a prepared set matches its description; "unknown" if the description lacks counts or a hash."""
    if text := mismatch(dataset, meta):
        return f"does not match: {text}"
    return "matches" if dataset.expected and dataset.data_hash else "unknown"


def _entry(dataset: DataSet, data: Path) -> Iterator[str]:
    source = _source_text(dataset)
    if not prepared_folder(data, dataset.name).is_dir():
        yield f"{dataset.name}: not prepared ({source})"
        return
    try:
        prepared = load_prepared(data, dataset.name)
    except DataError as error:
        what = str(error).partition("; run")[0].replace(f"{data}/", "<data>/")
        yield f"{dataset.name}: does not match: {what}"
        return
    meta = prepared.meta
    current = "" if is_current(dataset, prepared) else "; prepared from another description"
    yield f"{dataset.name}: {verdict(dataset, meta)}{current}"
    yield f"  source    {source}"
    if meta.raw is not None:
        yield f"  from      {meta.raw.address or 'a file that was there, was copied, or comes with the project'}"
        yield f"  raw       {meta.raw.name}, {meta.raw.n_bytes:,} bytes, {meta.n_raw_rows:,} rows"
        yield f"  raw hash  {meta.raw.sha256}"
    counts = meta.counts
    yield f"  prepared  {meta.n:,} x {meta.d}; pool {counts.pool:,}, test {counts.test:,}, features {counts.features:,}"
    yield f"  hash      {meta.data_hash}"


def _source_text(dataset: DataSet) -> str:
    match dataset.source:
        case OpenML(id):
            return f"OpenML {id}"
        case Download(addresses):
            return addresses[0]
        case Friedman(n_rows, seed):
            return f"generated, {n_rows:,} rows, seed {seed}"
    return "unknown"
