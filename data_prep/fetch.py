"""One fetcher for all sources: several addresses in turn, retries, and a file that appears once it has proved right."""

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
    """No address gave the file; the message says what each of them did."""


@dataclass(frozen=True)
class Fetched(Generic[T]):
    """A fetched file, the address that gave it, and what the check made of it."""

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
        """Fetch one file of at most `max_bytes` from the first address that gives it.

        All addresses are tried in turn once per entry of `patience.waits`, those that will not do better left out.

        check: called with the file before it is put in place; a DataError means that the content is wrong, as it is
            when another hash is recorded for a file of that name.
        file_name: its name in the folder; None takes the one of the address.
        parameters: go into the query of each address, and into no message.

        Raises FetchError if no address gives the file, NoRoomError if the disk is full.
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
    """The file name that an address stands for, without escapes, blanks and plus signs."""
    return unquote(urlsplit(address).path).rpartition("/")[2].replace("+", "_").replace(" ", "_")


def _worth_another_try(error: Exception) -> bool:
    """Whether the same address may answer better in a moment."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _TRY_AGAIN
    if isinstance(error, requests.ConnectTimeout):
        return False
    if isinstance(error, requests.ConnectionError):
        return not _never_connected(error)
    cut = urllib3.exceptions.ProtocolError | urllib3.exceptions.TimeoutError
    return isinstance(error, requests.Timeout | cut | TooSlowError)


def _never_connected(error: requests.ConnectionError) -> bool:
    """No such host, no network, nobody listening."""
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), urllib3.exceptions.NewConnectionError)


def _reason(error: Exception) -> str:
    """A failure in a few words, without the Python objects and whole addresses that requests puts into its messages."""
    if isinstance(error, DataError | requests.TooManyRedirects):
        return str(error)
    if isinstance(error, requests.HTTPError):
        return f"the server answers {error}"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "the server does not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection" if _never_connected(error) else "the connection broke off"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the file came incomplete"
    return f"no usable answer ({type(error).__name__})"
