"""Raw tables from openml.org: find them in the raw folder or in openml-python's cache, or fetch them.

openml-python only provides the location of its cache and the user's key. It would wait forever for a stalled server,
delete the cache folder of a set that it cannot fetch, and load a whole ARFF file into memory. So our own fetcher
downloads the description of a data set and the file itself.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from xml.etree import ElementTree

from data_prep.blob import file_blob
from data_prep.dataset import OpenML
from data_prep.errors import DataError
from data_prep.fetch import Fetcher, FetchError
from data_prep.files import place
from data_prep.hashing import stream_hash
from data_prep.rawfile import RawFile, Use, held_raw_file, used_as_it_lies
from data_prep.tables import ArffTable, ParquetTable

T = TypeVar("T")

BUNDLED = Path(__file__).parent / "bundled"
DESCRIPTION = "description.xml"
ARFF = "dataset.arff"

_MAX_DESCRIPTION_BYTES = 1 << 20
_XML = "{http://openml.org/openml}"


@dataclass(frozen=True)
class Description:
    """The parts of OpenML's description of a data set that we need.

    arff_address, parquet_address: addresses of the two formats (None: not offered). arff_md5: md5 of the ARFF file.
    ignored: columns that are not inputs, such as row numbers.
    """

    arff_address: str | None = None
    parquet_address: str | None = None
    arff_md5: str | None = None
    ignored: tuple[str, ...] = ()


def parquet_name(id: int) -> str:
    """Return the file name of the parquet file of an OpenML data set."""
    return f"dataset_{id}.pq"


def use_openml(source: OpenML, fetcher: Fetcher, use: Use[T]) -> tuple[RawFile, T]:
    """Return the raw file in the fetcher's folder and the result of `use` on its table.

    A missing file is copied from this project or from openml-python's cache, or fetched. Parquet is preferred; ARFF
    gives the same result. Raises DataError if the file is damaged or has the wrong hash, or if it is missing and cannot
    be fetched.
    """
    folder = fetcher.folder
    failures: list[str] = []
    path, key = _lying_there(folder) or _bundled(source, folder), ""
    if path is None:
        try:
            cache, key = _configuration()
            path = _from_cache(source, folder, cache)
        except FetchError as error:
            failures.append(str(error))
            fetcher.progress.note(f"{fetcher.name}: {error}")
    if path is not None:
        description = _beside(folder, source.id)
        return used_as_it_lies(path, lambda: use(_table_in(path, description), False))
    description = _described(source, fetcher, key, failures)

    def used(path: Path) -> T:
        is_known = path.name == ARFF and description.arff_md5 is not None
        return use(_table_in(path, description), not is_known)

    parquet = [address for address in (description.parquet_address, *source.mirrors) if address]
    arff = [description.arff_address] if description.arff_address else []
    for addresses, file_name in ((parquet, parquet_name(source.id)), (arff, ARFF)):
        try:
            if addresses:
                fetched = fetcher.fetch(addresses, used, file_name, max_bytes=source.max_bytes)
                return held_raw_file(fetched.path, fetched.address), fetched.checked
        except FetchError as error:
            failures.append(str(error))
    raise DataError(
        f"data set {fetcher.name}: not fetched from OpenML ({'; '.join(failures) or 'its description names no file'}). "
        f"Download the data from https://www.openml.org/d/{source.id} elsewhere, put it into {folder} as {ARFF} (or "
        f"{parquet_name(source.id)} if it is parquet), and run again"
    )


def read_description(path: Path, id: int) -> Description:
    """Read OpenML's description of data set `id`. Raises DataError if the file is not such a description."""
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # not XML, or a wrong or unknown encoding
        raise DataError(f"{path}: not OpenML's description of data set {id} ({error}); remove it") from error
    found = (root.findtext(f"{_XML}id") or "").strip()
    if root.tag != f"{_XML}data_set_description" or found != str(id):
        what = f"it describes {found!r}" if found else "it is something else"
        raise DataError(f"{path}: not OpenML's description of data set {id} ({what}); remove it or put the right one")

    def text(key: str) -> str | None:
        return (root.findtext(f"{_XML}{key}") or "").strip() or None

    no_inputs = [e.text for key in ("row_id_attribute", "ignore_attribute") for e in root.findall(f"{_XML}{key}")]
    return Description(
        arff_address=text("url"),
        parquet_address=text("parquet_url"),
        arff_md5=text("md5_checksum"),
        ignored=tuple(name.strip() for names in no_inputs for name in (names or "").split(",") if name.strip()),
    )


def _lying_there(folder: Path) -> Path | None:
    """Return the parquet or ARFF file in a folder, under any name."""
    return next(iter([*sorted(folder.glob("[!.]*.pq")), *sorted(folder.glob("[!.]*.arff"))]), None)


def _bundled(source: OpenML, folder: Path) -> Path | None:
    """Copy the file that comes with this project, if there is one, to the folder."""
    return None if source.bundled is None else _copy(BUNDLED / source.bundled, folder / parquet_name(source.id))


def _from_cache(source: OpenML, folder: Path, root: Path) -> Path | None:
    """Copy the set from openml-python's cache to the folder, leaving the user's cache unchanged.

    Raises DataError if the cached file is damaged.
    """
    for server in source.servers:
        cache = root.joinpath(*reversed(urlsplit(server).netloc.split(".")), "datasets", str(source.id))
        if (cache / DESCRIPTION).is_file():
            description = read_description(cache / DESCRIPTION, source.id)
            cached = _lying_there(cache)
            if cached is not None:
                _table_in(cached, description)
            _copy(cache / DESCRIPTION, folder / DESCRIPTION)
            return cached and _copy(cached, folder / cached.name)
    return None


def _beside(folder: Path, id: int) -> Description:
    """Return the description in the folder; empty if there is none."""
    return read_description(folder / DESCRIPTION, id) if (folder / DESCRIPTION).is_file() else Description()


def _described(source: OpenML, fetcher: Fetcher, key: str, failures: list[str]) -> Description:
    """Fetch the description from the first server that answers, or read the one in the fetcher's folder."""
    try:
        return fetcher.fetch(
            [f"{server}/data/{source.id}" for server in source.servers],
            lambda path: read_description(path, source.id),
            DESCRIPTION,
            max_bytes=_MAX_DESCRIPTION_BYTES,
            parameters={"api_key": key} if key else None,
        ).checked
    except FetchError as error:
        failures.append(str(error))
        return _beside(fetcher.folder, source.id)


def _configuration() -> tuple[Path, str]:
    """Return openml-python's cache folder and the user's key. Raises FetchError if the package cannot be imported."""
    try:
        from openml import config  # takes a second, and reads the user's files
    except Exception as error:
        raise FetchError(f"openml-python does not start ({type(error).__name__}: {error})") from error
    configured = config.get_config_as_dict()
    return Path(os.environ.get("OPENML_CACHE_DIR") or configured["cachedir"]), configured["apikey"]


def _copy(path: Path, copy: Path) -> Path:
    place(copy, lambda aside: shutil.copyfile(path, aside), path.stat().st_size)
    return copy


def _table_in(path: Path, description: Description) -> ParquetTable | ArffTable:
    if path.suffix == ".pq":
        return ParquetTable(path, ignored=description.ignored)
    if description.arff_md5:
        with path.open("rb") as stream:
            found = stream_hash(stream, path.stat().st_size, "md5")
        if found != description.arff_md5:
            raise DataError(f"{path}: its md5 is {found}, but OpenML says {description.arff_md5}")
    return ArffTable(file_blob(path), ignored=description.ignored)
