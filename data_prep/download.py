"""Raw tables from web servers: find them in the raw folder or fetch them, and check them."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TypeVar

from data_prep.archive import zip_member
from data_prep.blob import Blob, file_blob
from data_prep.dataset import DataSet, Download
from data_prep.errors import DataError
from data_prep.fetch import Fetcher, FetchError, local_name
from data_prep.hashing import stream_hash
from data_prep.rawfile import RawFile, Use, held_raw_file, used_as_it_lies
from data_prep.tables import Table, TextTable, matlab_table

T = TypeVar("T")


def use_download(dataset: DataSet, source: Download, fetcher: Fetcher, use: Use[T]) -> tuple[RawFile, T]:
    """Return the raw file in the fetcher's folder, which is fetched if missing, and the result of `use` on its table.

    Raises DataError if the file is damaged or has the wrong hash, or if it is missing and cannot be fetched.
    """

    def table(path: Path) -> Table:
        blob = _table_in(path, source)
        if path.suffix == ".mat":
            return matlab_table(path, source.member)
        return TextTable(blob, header=dataset.header, separator=dataset.separator)

    path = _lying_there(source, fetcher.folder)
    if path is not None:
        return used_as_it_lies(path, lambda: use(table(path), False))
    is_known = source.content_hash is not None
    try:
        fetched = fetcher.fetch(
            source.addresses, lambda path: use(table(path), not is_known), max_bytes=source.max_bytes
        )
    except FetchError as error:
        raise DataError(
            f"data set {fetcher.name}: the raw file could not be fetched ({error}). Download {source.addresses[0]} "
            f"elsewhere, put it into {fetcher.folder} as {local_name(source.addresses[0])}, and run again"
        ) from error
    return held_raw_file(fetched.path, fetched.address), fetched.checked


def _lying_there(source: Download, folder: Path) -> Path | None:
    """Return a file in the folder that has the name of one of the addresses or of the table itself."""
    names = [*source.addresses, PurePosixPath(source.member).name]
    there = {local_name(path.name): path for path in folder.glob("*") if path.is_file()}
    return next((there[local_name(name)] for name in names if local_name(name) in there), None)


def _table_in(path: Path, source: Download) -> Blob:
    """Return the table as a blob after checking its content and, if one is known, its hash."""
    blob = zip_member(path, source.member) if path.suffix == ".zip" else file_blob(path)
    algorithm, _, known = (source.content_hash or "sha256:").partition(":")
    try:
        with blob.open() as stream:
            head = stream.read(512).removeprefix(b"\xef\xbb\xbf").lstrip()
        with blob.open() as stream:
            found = stream_hash(stream, blob.size, algorithm)  # reading a member checks its checksum as well
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{blob}: damaged ({error})") from error
    if not head:
        raise DataError(f"{blob}: empty")
    if head.startswith(b"<"):
        raise DataError(f"{blob}: a web page instead of the table")
    if known and found != known:
        raise DataError(f"{blob}: its {algorithm} hash is {found}, but {known} is known to be right")
    return blob
