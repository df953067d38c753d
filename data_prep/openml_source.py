"""Raw tables of openml.org: found in the raw folder or in openml-python's cache, or fetched.

openml-python gives the description of a data set, our fetcher the file itself: openml-python would hold an ARFF file in
memory whole, leave a pickle beside it, and ask once and without a time-out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from data_prep.blob import file_blob
from data_prep.dataset import OpenML
from data_prep.errors import DataError
from data_prep.fetch import Fetcher, FetchError, Patience
from data_prep.hashing import stream_hash
from data_prep.rawfile import RawFile, held_raw_file
from data_prep.tables import ArffTable, ParquetTable

BUNDLED = Path(__file__).parent / "bundled"
DESCRIPTION = "description.xml"
ARFF = "dataset.arff"


@dataclass(frozen=True)
class Description:
    """What is needed of OpenML's description of a data set.

    arff_address, parquet_address: where the two formats are (None: not offered). arff_md5: of the ARFF file.
    ignored: columns that are no inputs, row numbers for instance. xml: the whole description.
    cache: the folder of the user's cache that it was found in.
    """

    arff_address: str | None = None
    parquet_address: str | None = None
    arff_md5: str | None = None
    ignored: tuple[str, ...] = ()
    xml: str = ""
    cache: str | None = None


def parquet_name(id: int) -> str:
    """What the parquet file of an OpenML data set is called."""
    return f"dataset_{id}.pq"


def find_openml(source: OpenML, fetcher: Fetcher) -> tuple[ParquetTable | ArffTable, RawFile]:
    """The table in the fetcher's folder: lying there, or copied from this project or openml-python's cache, or fetched.

    Parquet is preferred, ARFF gives the same. Raises DataError if the file there is damaged or has the wrong hash, or
    if there is none and no server gives it.
    """
    folder = fetcher.folder
    path, address = _lying_there(folder) or _bundled(source, folder), None
    if path is not None:
        known = folder / DESCRIPTION
        description = describe(source, fetcher.patience, known) if known.is_file() else Description()
    else:
        try:
            path, address, description = _fetched(source, fetcher)
        except FetchError as error:
            raise DataError(
                f"data set {fetcher.name}: OpenML did not give it ({error}). Download the data from "
                f"https://www.openml.org/d/{source.id} elsewhere, put it into {folder} as {ARFF} (or "
                f"{parquet_name(source.id)} if it is parquet), and run again"
            ) from error
    try:
        table = _table_in(path, description)
    except DataError as error:
        raise DataError(f"{error}. Remove the file to have it fetched again") from error
    return table, held_raw_file(path, address)


def describe(source: OpenML, patience: Patience, known: Path | None = None) -> Description:
    """The description in the file `known`, else in openml-python's cache, else from OpenML's servers.

    Raises DataError if a file is no description of this data set, FetchError if no server gives one.
    """
    what = known or f"data set {source.id}"
    with TemporaryDirectory(prefix="openml-") as private:
        question = {
            "id": source.id,
            "servers": source.servers,
            "known": known and str(known.resolve()),
            "private": private,
            "patience": asdict(patience),
        }
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-m", "data_prep.openml_child", json.dumps(question)],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=patience.description_seconds,
            )
        except subprocess.TimeoutExpired as error:
            seconds = f"{patience.description_seconds:g} seconds"
            raise FetchError(f"openml-python did not describe {what} within {seconds}") from error
    if child.returncode:
        why = (child.stderr.strip() or f"status {child.returncode}").splitlines()[-1]
        raise FetchError(f"openml-python could not describe {what} ({why})")
    answer = json.loads(child.stdout)
    if "error" in answer:
        raise (FetchError if answer["not_fetched"] else DataError)(answer["error"])
    return Description(**{**answer, "ignored": tuple(answer["ignored"])})


def _lying_there(folder: Path) -> Path | None:
    """The parquet or ARFF file in a folder, whatever it is called."""
    return next(iter([*sorted(folder.glob("*.pq")), *sorted(folder.glob("*.arff"))]), None)


def _bundled(source: OpenML, folder: Path) -> Path | None:
    """A copy in the folder of the file that comes with this project, if there is one."""
    if source.bundled is None:
        return None
    path, ours = folder / parquet_name(source.id), BUNDLED / source.bundled
    _place(path, lambda aside: shutil.copyfile(ours, aside))
    return path


def _fetched(source: OpenML, fetcher: Fetcher) -> tuple[Path, str | None, Description]:
    """The file in the fetcher's folder, its address (None: from the user's cache), and its description."""
    folder, failures, description = fetcher.folder, [], Description()
    fetcher.progress.note(f"{fetcher.name}: asking openml-python for the description of data set {source.id}")
    try:
        description = describe(source, fetcher.patience)
    except FetchError as error:
        failures.append(str(error))
        fetcher.progress.note(f"{fetcher.name}: {error}")
    cached = _lying_there(Path(description.cache)) if description.cache else None
    if cached is not None:
        _table_in(cached, description)
    if description.xml:
        _place(folder / DESCRIPTION, lambda aside: aside.write_text(description.xml, "utf-8"))
    if cached is not None:  # a copy, for the cache is the user's
        _place(folder / cached.name, lambda aside: shutil.copyfile(cached, aside))
        return folder / cached.name, None, description
    parquet = [address for address in (description.parquet_address, *source.mirrors) if address]
    arff = [description.arff_address] if description.arff_address else []
    for addresses, file_name in ((parquet, parquet_name(source.id)), (arff, ARFF)):
        if addresses:
            try:
                fetched = fetcher.fetch(addresses, lambda path: _table_in(path, description), file_name)
                return fetched.path, fetched.address, description
            except FetchError as error:
                failures.append(str(error))
    raise FetchError("; ".join(failures) or "its description names no file")


def _place(path: Path, write: Callable[[Path], object]) -> None:
    """Put a file in its place whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.tmp")
    write(aside)
    aside.replace(path)


def _table_in(path: Path, description: Description) -> ParquetTable | ArffTable:
    if path.suffix == ".pq":
        return ParquetTable(path, ignored=description.ignored)
    if description.arff_md5:
        with path.open("rb") as stream:
            found = stream_hash(stream, path.stat().st_size, "md5")
        if found != description.arff_md5:
            raise DataError(f"{path}: its md5 is {found}, but OpenML says {description.arff_md5}")
    return ArffTable(file_blob(path), ignored=description.ignored)
