"""One fetcher for all sources: several addresses in turn, retries, bounded waits, and a file that appears whole.

pooch transfers and renames; what it lacks is here: mirrors, and knowing which failures are worth another try.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import unquote, urlsplit

import pooch
import requests
import urllib3.exceptions

from data_prep.errors import DataError
from data_prep.progress import Advance, Progress
from data_prep.rawfile import checked_sha256, hash_file

T = TypeVar("T")

_PIECE = 1 << 16
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}


class FetchError(DataError):
    """No address gave the file; the message says what each of them did."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for servers, in seconds: for a connection, for the next bytes, and before each round.

    waits: all addresses are tried in turn once per entry, after that wait.
    description_seconds: for OpenML's description of a data set, all told; its library has no limits of its own.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    waits: tuple[float, ...] = (0.0, 2.0, 8.0)
    description_seconds: float = 300.0


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

    def fetch(self, addresses: Sequence[str], check: Callable[[Path], T], file_name: str | None = None) -> Fetched[T]:
        """Fetch one file from the first address that gives it.

        check: called with the file before it is put in place; a DataError means that the content is wrong, as it is
            when another hash is recorded for a file of that name.
        file_name: its name in the folder; None takes the one of the address.

        Raises FetchError if no address gives the file.
        """
        pooch.get_logger().setLevel(logging.WARNING)  # it would print advice for its own users
        aside = self.folder / ".fetching"
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
        aside.mkdir(parents=True)

        def attempt(address: str) -> Fetched[T]:
            path = aside / (file_name or local_name(address))
            path.unlink(missing_ok=True)
            self._transfer(address, path)
            checked = check(path)
            final = self.folder / path.name
            checked_sha256(path, hash_file(final))
            path.replace(final)
            return Fetched(final, address, checked)

        try:
            return in_turn(
                addresses, attempt, self.patience.waits, lambda text: self.progress.note(f"{self.name}: {text}")
            )
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _transfer(self, address: str, path: Path) -> None:
        with ExitStack() as stack:
            downloader = pooch.HTTPDownloader(
                progressbar=_Bar(f"{self.name}: downloading {path.name}", self.progress, stack),
                chunk_size=_PIECE,
                timeout=(self.patience.connect_seconds, self.patience.read_seconds),
            )
            pooch.retrieve(address, None, path.name, path.parent, downloader=downloader)


def in_turn(
    addresses: Sequence[str], attempt: Callable[[str], T], waits: Sequence[float], note: Callable[[str], None]
) -> T:
    """What `attempt` makes of the first address that works; all are tried in turn once per wait, after that wait.

    An attempt fails with an error of requests, an OSError or a DataError; `note` is told of each failure.

    Raises FetchError if no address works.
    """
    failures: dict[str, str] = {}
    left = list(addresses)
    for wait in waits:
        if not left:
            break
        time.sleep(wait)
        for address in tuple(left):
            try:
                return attempt(address)
            except (requests.RequestException, DataError, OSError) as error:
                failures[address] = _reason(error)
                note(f"{address}: {failures[address]}")
                if not _worth_another_try(error):
                    left.remove(address)
    by_host = dict.fromkeys(f"{urlsplit(address).netloc}: {why}" for address, why in failures.items())
    raise FetchError("; ".join(by_host))


def local_name(address: str) -> str:
    """The file name that an address stands for, without escapes, blanks and plus signs."""
    return unquote(urlsplit(address).path.rpartition("/")[2]).replace("+", "_").replace(" ", "_")


class _Bar:
    """What pooch asks of a progress bar. It sets `total` once the server has answered, so the task begins then."""

    def __init__(self, text: str, progress: Progress, stack: ExitStack) -> None:
        self._text, self._progress, self._stack = text, progress, stack
        self._advance: Advance | None = None
        self._done = 0
        self.total = 0

    def update(self, n: int) -> None:
        if self._advance is None:
            task = self._progress.task(self._text, self.total or None, "bytes")
            self._advance = self._stack.enter_context(task)
        self._done += n
        self._advance(self._done)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """The stack closes the task."""


def _worth_another_try(error: Exception) -> bool:
    """Whether the same address may answer better in a moment."""
    if isinstance(error, requests.HTTPError):
        return error.response is not None and error.response.status_code in _TRY_AGAIN
    if isinstance(error, requests.ConnectTimeout):
        return False
    if isinstance(error, requests.ConnectionError):
        return not _never_connected(error)
    return isinstance(error, requests.Timeout | requests.exceptions.ChunkedEncodingError)


def _never_connected(error: requests.ConnectionError) -> bool:
    """No such host, no network, nobody listening."""
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), urllib3.exceptions.NewConnectionError)


def _reason(error: Exception) -> str:
    """A failure in a few words, without the Python objects that requests puts into its messages."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "Read timed out" in str(error):  # the second while bytes arrive
        return "the server does not answer in time"
    if isinstance(error, requests.ConnectionError):
        return "no connection" if _never_connected(error) else "the connection broke off"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the file came incomplete"
    return str(error)
