"""A fetcher for all sources: it tries several addresses, retries, and puts a file in place only after it is checked."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

import requests
import urllib3.exceptions

from data_prep.errors import DataError
from data_prep.files import NoRoomError, aside_of, room_for, sync
from data_prep.progress import Progress
from data_prep.rawfile import checked_sha256, hash_file
from data_prep.transfer import Patience, TooSlowError, download

T = TypeVar("T")

_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class FetchError(DataError):
    """The file could not be fetched; the message says what went wrong at each address."""


@dataclass(frozen=True)
class Fetched(Generic[T]):
    """A fetched file, its address, and the result of the check."""

    path: Path
    address: str
    checked: T


@dataclass(frozen=True)
class Fetcher:
    """Fetches files into `folder` for the data set `name`. The caller holds the lock of the set."""

    name: str
    folder: Path
    progress: Progress
    patience: Patience = field(default_factory=Patience)

    def fetch(
        self,
        addresses: Sequence[str],
        check: Callable[[Path], T],
        file_name: str | None = None,
        *,
        max_bytes: int,
        parameters: Mapping[str, str] | None = None,
    ) -> Fetched[T]:
        """Fetch one file of at most `max_bytes` from the first address that serves it.

        All addresses are tried in turn once per entry of `patience.waits`, except those for which a retry is useless.

        check: called with the file before it is put in place; it raises DataError if the content is wrong. A file with
            a hash other than the recorded one is wrong too.
        file_name: the name in the folder; None: the name in the address.
        parameters: query parameters for each address; they never appear in messages.

        Raises FetchError if no address serves the file, NoRoomError if the disk is full.
        """
        aside = aside_of(self.folder / "fetch")
        failures: dict[str, str] = {}
        left = list(addresses)
        try:
            with room_for(None, self.folder):
                aside.mkdir(parents=True, exist_ok=True)
            for wait in self.patience.waits:
                time.sleep(wait if left else 0)
                for address in tuple(left):
                    path = aside / (file_name or local_name(address) or "file")
                    try:
                        self._download(address, path, max_bytes, parameters)
                        return self._placed(path, address, check)
                    except NoRoomError:
                        raise
                    except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
                        failures[address] = _reason(error).replace(f"{aside}/", "")
                        self.progress.note(f"{self.name}: {address}: {failures[address]}")
                        if not _worth_another_try(error):
                            left.remove(address)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        raise FetchError("; ".join(f"{address}: {why}" for address, why in failures.items()) or "no address is known")

    def _download(self, address: str, path: Path, max_bytes: int, parameters: Mapping[str, str] | None) -> None:
        download(
            address,
            path,
            max_bytes=max_bytes,
            patience=self.patience,
            progress=self.progress,
            text=f"{self.name}: downloading {path.name}",
            parameters=parameters,
        )

    def _placed(self, path: Path, address: str, check: Callable[[Path], T]) -> Fetched[T]:
        checked = check(path)
        final = self.folder / path.name
        checked_sha256(path, hash_file(final))
        with room_for(path.stat().st_size, self.folder):
            sync(path)
            path.replace(final)
        return Fetched(final, address, checked)


def local_name(address: str) -> str:
    """Return the file name in an address, without escapes, blanks and plus signs."""
    return unquote(urlsplit(address).path).rpartition("/")[2].replace("+", "_").replace(" ", "_")


def _worth_another_try(error: Exception) -> bool:
    """Return whether it makes sense to try the same address again."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _TRY_AGAIN
    if isinstance(error, requests.ConnectTimeout):
        return False
    if isinstance(error, requests.ConnectionError):
        return not _never_connected(error)
    cut = urllib3.exceptions.ProtocolError | urllib3.exceptions.TimeoutError
    return isinstance(error, requests.Timeout | cut | TooSlowError)


def _never_connected(error: requests.ConnectionError) -> bool:
    """Return whether no connection was made: no such host, no network, or nothing listening."""
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), urllib3.exceptions.NewConnectionError)


def _reason(error: Exception) -> str:
    """Describe a failure in a few words, without the Python objects and full addresses in the messages of requests."""
    if isinstance(error, DataError | requests.TooManyRedirects):
        return str(error)
    if isinstance(error, requests.HTTPError):
        return f"the server answers {error}"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server does not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection" if _never_connected(error) else "the connection broke off"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the file is incomplete"
    return f"no usable answer ({type(error).__name__})"
