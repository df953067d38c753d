"""The raw table of a data set, whatever its source."""

from __future__ import annotations

from pathlib import Path

from data_prep.blob import file_blob
from data_prep.dataset import DataSet, Download, Friedman, OpenML, OwnFile
from data_prep.download import find_download
from data_prep.errors import DataError
from data_prep.fetch import Fetcher, Patience
from data_prep.friedman import friedman_frame
from data_prep.hashing import sha256_of_files
from data_prep.openml_source import find_openml
from data_prep.progress import Progress
from data_prep.rawfile import RawFile
from data_prep.tables import FrameTable, ParquetTable, Table, TextTable, matlab_table
from data_prep.words import is_number


def raw_folder(data: Path, name: str) -> Path:
    """Where the raw file of a set lies, or is to be put by hand."""
    return data / "raw" / name


def open_raw(dataset: DataSet, data: Path, progress: Progress, patience: Patience) -> tuple[Table, RawFile | None]:
    """The raw table, fetched if need be, and the file it is in (None for a generated set).

    Raises DataError if the file is missing and cannot be fetched, has the wrong hash, or is damaged.
    """
    fetcher = Fetcher(dataset.name, raw_folder(data, dataset.name), progress, patience)
    match dataset.source:
        case Friedman(n_rows, seed):
            return FrameTable(friedman_frame(n_rows, seed)), None
        case OwnFile(path):
            return _own_file(dataset, Path(path), progress)
        case OpenML() as source:
            return find_openml(source, fetcher)
        case Download() as source:
            blob, raw = find_download(source, fetcher)
            if blob.path.suffix == ".mat":
                return matlab_table(blob.path, source.member), raw
            return TextTable(blob, header=dataset.header, separator=dataset.separator), raw
    raise DataError(f"data set {dataset.name}: unknown kind of source {dataset.source!r}")


def _own_file(dataset: DataSet, path: Path, progress: Progress) -> tuple[Table, RawFile]:
    if not path.is_file():
        raise DataError(f"data set {dataset.name}: path={str(path)!r} is no file (seen from {Path.cwd()})")
    raw = RawFile(str(path.resolve()), sha256_of_files(path), path.stat().st_size, None)
    if path.suffix in (".parquet", ".pq"):
        return ParquetTable(path), raw
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
