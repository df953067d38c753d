"""The raw table of a data set, from any source."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from data_prep.blob import file_blob
from data_prep.dataset import DataSet, Download, Friedman, OpenML, OwnFile
from data_prep.download import use_download
from data_prep.errors import DataError
from data_prep.fetch import Fetcher
from data_prep.friedman import friedman_frame
from data_prep.hashing import sha256_of_files
from data_prep.openml_source import use_openml
from data_prep.progress import Progress
from data_prep.rawfile import RawFile, Use
from data_prep.tables import FrameTable, ParquetTable, Table, TextTable
from data_prep.transfer import Patience
from data_prep.words import is_number

T = TypeVar("T")


def raw_folder(data: Path, name: str) -> Path:
    """Return the folder of a set's raw file; you can also put the file there by hand."""
    return data / "raw" / name


def use_raw(
    dataset: DataSet, data: Path, progress: Progress, patience: Patience, use: Use[T]
) -> tuple[RawFile | None, T]:
    """Return the raw file (None for a generated set), fetched if necessary, and the result of `use` on its table.

    A fetched file is put in place only after `use` has accepted it, so a bad file never blocks anything. The second
    argument of `use` is True if only the expected counts and hash can reveal a wrong file.

    Raises DataError if the file is missing and cannot be fetched, has the wrong hash, is damaged, or is refused.
    """
    fetcher = Fetcher(dataset.name, raw_folder(data, dataset.name), progress, patience)
    match dataset.source:
        case Friedman(n_rows, seed):
            return None, use(FrameTable(friedman_frame(n_rows, seed)), False)
        case OwnFile(path):
            table, raw = _own_file(dataset, Path(path), progress)
            return raw, use(table, False)
        case OpenML() as source:
            return use_openml(source, fetcher, use)
        case Download() as source:
            return use_download(dataset, source, fetcher, use)
    raise DataError(f"data set {dataset.name}: unknown kind of source {dataset.source!r}")


def _own_file(dataset: DataSet, path: Path, progress: Progress) -> tuple[Table, RawFile]:
    if not path.is_file():
        raise DataError(f"data set {dataset.name}: path={str(path)!r} is not a file (seen from {Path.cwd()})")
    status = path.stat()
    raw = RawFile(str(path.resolve()), sha256_of_files(path), status.st_size, None, status.st_mtime_ns)
    if path.suffix in (".parquet", ".pq"):
        parquet = ParquetTable(path)
        if parquet.index:
            progress.note(
                f"warning: {dataset.name}: {', '.join(parquet.index)}, the index of the frame in {path.name}, is not "
                "used; call reset_index() before to_parquet() to use it"
            )
        return parquet, raw
    if path.suffix in (".csv", ".tsv", ".txt", ".data"):
        separator = "\t" if path.suffix == ".tsv" and dataset.separator == "," else dataset.separator
        table = TextTable(file_blob(path), header=dataset.header, separator=separator)
        if dataset.header and all(is_number(name) for name in table.columns):
            progress.note(
                f"warning: {dataset.name}: the first line, {', '.join(table.columns[:3])}, …, is taken as the names of "
                "the columns; if it is a row, write `header: false`"
            )
        return table, raw
    raise DataError(f"data set {dataset.name}: path={str(path)!r} must end in .csv, .tsv, .txt, .data, .parquet or .pq")
