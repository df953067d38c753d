"""Raw tables of openml.org: found in the raw folder or in openml-python's cache, or fetched.

openml-python says where its cache is and what the user's key is. It would wait for a stalled server without end, delete
the cache folder of a set that it cannot get, and hold an ARFF file in memory whole; so our fetcher asks for the
description of a data set and for the file itself.
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
    """What is needed of OpenML's description of a data set.

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


def use_openml(source: OpenML, fetcher: Fetcher, use: Use[T]) -> tuple[RawFile, T]:
    """The file in the fetcher's folder, and what `use` makes of its table.

    It lies there, or is copied from this project or openml-python's cache, or fetched. Parquet is preferred, ARFF gives
    the same. Raises DataError if the file there is damaged or has the wrong hash, or if there is none and no server
    gives it.
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
        f"data set {fetcher.name}: OpenML did not give it ({'; '.join(failures) or 'its description names no file'}). "
        f"Download the data from https://www.openml.org/d/{source.id} elsewhere, put it into {folder} as {ARFF} (or "
        f"{parquet_name(source.id)} if it is parquet), and run again"
    )


def read_description(path: Path, id: int) -> Description:
    """What OpenML's description of data set `id` says. Raises DataError if the file is none."""
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # of text that is no XML, of its encoding
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
    """The parquet or ARFF file in a folder, whatever it is called."""
    return next(iter([*sorted(folder.glob("[!.]*.pq")), *sorted(folder.glob("[!.]*.arff"))]), None)


def _bundled(source: OpenML, folder: Path) -> Path | None:
    """A copy in the folder of the file that comes with this project, if there is one."""
    return None if source.bundled is None else _copy(BUNDLED / source.bundled, folder / parquet_name(source.id))


def _from_cache(source: OpenML, folder: Path, root: Path) -> Path | None:
    """A copy in the folder of what openml-python's cache has: the cache is the user's, and is left as it is.

    Raises DataError if it is damaged there.
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
    """The description that lies in the folder; empty if there is none."""
    return read_description(folder / DESCRIPTION, id) if (folder / DESCRIPTION).is_file() else Description()


def _described(source: OpenML, fetcher: Fetcher, key: str, failures: list[str]) -> Description:
    """The description from the first server that gives it, else the one that lies in the fetcher's folder."""
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
    """openml-python's cache folder and the user's key. Raises FetchError if it does not start."""
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
