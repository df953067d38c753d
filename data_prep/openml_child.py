"""The program that asks openml-python for the description of a data set; `openml_source.py` runs it.

openml-python takes seconds to import, waits for a stalled server without end, deletes the cache folder of a data set
that it cannot get, and takes every web page for an error message of OpenML. So it works in a process of its own, which
can be ended, on a private cache folder, through sessions that have time-outs.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import openml
import requests

from data_prep.errors import DataError
from data_prep.fetch import FetchError, Patience, in_turn
from data_prep.openml_source import DESCRIPTION, Description


class PatientSession(requests.Session):
    """A session with time-outs, which leaves to openml-python only those errors that OpenML itself explains."""

    patience: Patience

    def request(self, *args: Any, **options: Any) -> requests.Response:
        """As in requests, but bounded; raises HTTPError if the answer is a web page that says what went wrong."""
        options["timeout"] = (self.patience.connect_seconds, self.patience.read_seconds)
        response = super().request(*args, **options)
        if b"<oml:error" not in response.content:
            response.raise_for_status()
        return response


def describe(id: int, servers: Sequence[str], known: Path | None, private: Path, patience: Patience) -> Description:
    """The description in the file `known`, else in the user's cache, else from the first server that gives it.

    private: an empty folder, the only one in which openml-python works.

    Raises DataError if a file is no description of this data set, FetchError if no server gives one.
    """
    PatientSession.patience = patience
    requests.Session = PatientSession  # type: ignore[misc]  # openml-python makes its sessions itself
    openml.config.set_retry_policy("robot", n_retries=1)  # `in_turn` tries again
    cached = next((path for path in (_cached(server, id) for server in servers) if path.is_file()), None)
    openml.config.set_root_cache_directory(private)
    path = known or cached
    if path is None:
        return in_turn(servers, lambda server: _description(server, id), patience.waits, lambda text: None)
    server = path.parent.as_uri()  # it is not to be asked, and cannot be
    copy = _cached(server, id)
    copy.parent.mkdir(parents=True)
    shutil.copyfile(path, copy)
    try:
        return _description(server, id, None if known else str(path.parent))
    except (DataError, OSError) as error:
        raise DataError(f"{path}: not OpenML's description of data set {id}; remove it or put the right one") from error


def _cached(server: str, id: int) -> Path:
    """Where openml-python keeps the description that this server gives."""
    openml.config.server = server
    return Path(openml.config.get_cache_directory(), "datasets", str(id), DESCRIPTION)


def _description(server: str, id: int, cache: str | None = None) -> Description:
    openml.config.server = server
    try:
        dataset = openml.datasets.get_dataset(
            id, download_data=False, download_qualities=False, download_features_meta_data=False
        )
    except requests.RequestException:
        raise
    except openml.exceptions.PyOpenMLError as error:
        raise DataError(str(error)) from error
    except Exception as error:  # KeyError for a web page, TypeError for an empty element, and so on
        raise DataError(f"the answer is not OpenML's description of data set {id}") from error
    if dataset.dataset_id != id:
        raise DataError(f"the answer describes data set {dataset.dataset_id} instead of {id}")
    no_inputs = [names for names in (dataset.row_id_attribute, *(dataset.ignore_attribute or ())) if names]
    return Description(
        arff_address=dataset.url,
        parquet_address=dataset._parquet_url,  # it has no public name
        arff_md5=dataset.md5_checksum,
        ignored=tuple(name.strip() for names in no_inputs for name in names.split(",")),
        xml=_cached(server, id).read_text("utf-8"),
        cache=cache,
    )


def main(id: int, servers: list[str], known: str | None, private: str, patience: dict[str, Any]) -> None:
    """Print the description, or why there is none, as JSON."""
    try:
        found = describe(id, servers, Path(known) if known else None, Path(private), Patience(**patience))
    except DataError as error:
        print(json.dumps({"error": str(error), "not_fetched": isinstance(error, FetchError)}))
    else:
        print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
