"""Raw tables of openml.org: found in the raw folder or in an OpenML cache, or fetched.

The files are called as in openml-python's cache, but openml-python is not used: it waits for a stalled server without
end, deletes its cache when a download fails, holds ARFF files whole in memory and leaves pickles beside them.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from data_prep.blob import file_blob
from data_prep.dataset import OpenML
from data_prep.errors import DataError
from data_prep.fetch import Fetcher, FetchError
from data_prep.hashing import stream_hash
from data_prep.rawfile import RawFile, held_raw_file
from data_prep.tables import ArffTable, ParquetTable

DESCRIPTION = "description.xml"
ARFF = "dataset.arff"

_XML = "{http://openml.org/openml}"


@dataclass(frozen=True)
class Description:
    """What is needed of description.xml.

    arff_address, parquet_address: where the two formats are (None: not offered). arff_md5: of the ARFF file.
    ignored: columns that are no inputs, row numbers for instance.
    """

    arff_address: str | None = None
    parquet_address: str | None = None
    arff_md5: str | None = None
    ignored: tuple[str, ...] = ()


def parquet_name(id: int) -> str:
    """What the parquet file of an OpenML data set is called."""
    return f"dataset_{id}.pq"


def find_openml(source: OpenML, fetcher: Fetcher) -> tuple[ParquetTable | ArffTable, RawFile]:
    """The table in the fetcher's folder: lying there, or copied from the cache at $OPENML_CACHE_DIR, or fetched now.

    Parquet is preferred, ARFF gives the same. Raises DataError if the file there is damaged or has the wrong hash, or
    if there is none and no server gives it.
    """
    folder = fetcher.folder
    path = _lying_there(folder) or _copied_from_cache(source, folder)
    address = None
    if path is None:
        try:
            path, address = _fetched(source, fetcher)
        except FetchError as error:
            raise DataError(
                f"data set {fetcher.name}: OpenML did not give it ({error}). Download the data from "
                f"https://www.openml.org/d/{source.id} elsewhere, put it into {folder} as {ARFF} (or "
                f"{parquet_name(source.id)} if it is parquet), and run again"
            ) from error
    try:
        table = _table_in(path, _description_beside(path, source))
    except DataError as error:
        raise DataError(f"{error}. Remove the file to have it fetched anew") from error
    return table, held_raw_file(path, address)


def read_description(path: Path, id: int) -> Description:
    """Read description.xml. Raises DataError if it is not OpenML's description of that data set."""
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError) as error:
        raise DataError(f"{path}: not a description by OpenML ({error})") from error
    if root.tag != f"{_XML}data_set_description" or root.findtext(f"{_XML}id") != str(id):
        raise DataError(f"{path}: not OpenML's description of data set {id}")
    ignored = [e.text or "" for tag in ("row_id_attribute", "ignore_attribute") for e in root.iter(_XML + tag)]
    return Description(
        arff_address=root.findtext(f"{_XML}url"),
        parquet_address=root.findtext(f"{_XML}parquet_url") or root.findtext(f"{_XML}minio_url"),
        arff_md5=root.findtext(f"{_XML}md5_checksum"),
        ignored=tuple(name.strip() for names in ignored for name in names.split(",") if name.strip()),
    )


def _lying_there(folder: Path) -> Path | None:
    """The parquet or ARFF file in a folder, whatever it is called."""
    return next(iter([*sorted(folder.glob("*.pq")), *sorted(folder.glob("*.arff"))]), None)


def _copied_from_cache(source: OpenML, folder: Path) -> Path | None:
    """Copies, for the cache is the user's: nothing is written into it, and nothing pickled in it is read."""
    root = os.environ.get("OPENML_CACHE_DIR")
    if not root:
        return None
    cache = Path(root).expanduser() / "org" / "openml" / "www" / "datasets" / str(source.id)
    cached = _lying_there(cache)
    if cached is None:
        return None
    _table_in(cached, _description_beside(cached, source))
    folder.mkdir(parents=True, exist_ok=True)
    for path in (cache / DESCRIPTION, cached):  # the data last: once it is there the set counts as fetched
        if path.is_file():
            aside = folder / f".{path.name}.tmp"
            shutil.copyfile(path, aside)
            aside.replace(folder / path.name)
    return folder / cached.name


def _fetched(source: OpenML, fetcher: Fetcher) -> tuple[Path, str]:
    servers = [f"{server}/data/{source.id}" for server in source.servers]
    failures = []
    description = Description()
    try:
        description = fetcher.fetch(servers, lambda path: read_description(path, source.id), DESCRIPTION).checked
    except FetchError as error:
        failures.append(str(error))
    parquet = [address for address in (description.parquet_address, *source.mirrors) if address]
    arff = [description.arff_address] if description.arff_address else []
    for addresses, file_name in ((parquet, parquet_name(source.id)), (arff, ARFF)):
        if addresses:
            try:
                fetched = fetcher.fetch(addresses, lambda path: _table_in(path, description), file_name)
                return fetched.path, fetched.address
            except FetchError as error:
                failures.append(str(error))
    raise FetchError("; ".join(failures) or "its description names no file")


def _description_beside(path: Path, source: OpenML) -> Description:
    described = path.with_name(DESCRIPTION)
    return read_description(described, source.id) if described.is_file() else Description()


def _table_in(path: Path, description: Description) -> ParquetTable | ArffTable:
    if path.suffix == ".pq":
        return ParquetTable(path, ignored=description.ignored)
    if description.arff_md5:
        with path.open("rb") as stream:
            found = stream_hash(stream, path.stat().st_size, "md5")
        if found != description.arff_md5:
            raise DataError(f"{path}: its md5 is {found}, but OpenML says {description.arff_md5}")
    return ArffTable(file_blob(path), ignored=description.ignored)
