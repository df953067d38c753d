"""Transfer one file from a web server, with limits on size, time, redirects and compression."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from urllib.parse import urljoin

import requests

from data_prep.errors import DataError
from data_prep.files import NoRoomError, is_full
from data_prep.progress import Advance, Progress

_PIECE = 1 << 12  # small, so that even a slow connection shows progress
_MAX_REDIRECTS = 10
_POLL_SECONDS = 0.1


class TooSlowError(DataError):
    """The server is too slow; a retry may be faster."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for servers.

    connect_seconds, read_seconds: time limits for the connection and for the next bytes.
    bytes_per_second: minimum average speed over `read_seconds`.
    waits: seconds to wait before each pass over all addresses.
    """

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    bytes_per_second: float = 1000.0
    waits: tuple[float, ...] = (0.0, 2.0, 8.0)


def download(
    address: str,
    path: Path,
    *,
    max_bytes: int,
    patience: Patience,
    progress: Progress,
    text: str,
    parameters: Mapping[str, str] | None = None,
) -> None:
    """Download an address to the file `path`. `text` is the title of the progress, `parameters` the query parameters.

    Raises DataError for more than `max_bytes`, TooSlowError if the transfer is too slow, NoRoomError if the disk is
    full, and the errors of requests and urllib3.
    """
    receiver = _Receiver(address, path, max_bytes, patience, parameters)
    receiver.start()
    began, before = time.monotonic() + patience.connect_seconds, 0
    try:
        with ExitStack() as stack:
            advance: Advance | None = None
            while receiver.is_alive():
                receiver.join(_POLL_SECONDS)
                if receiver.done and advance is None:
                    advance = stack.enter_context(progress.task(text, receiver.total, "bytes"))
                if advance is not None:
                    advance(receiver.done)
                seconds = time.monotonic() - began
                if seconds > patience.read_seconds and receiver.is_alive():
                    if receiver.done - before < patience.bytes_per_second * seconds:
                        raise TooSlowError(
                            f"{receiver.done - before:,} bytes came in {seconds:.0f} seconds, less than "
                            f"{patience.bytes_per_second:g} a second"
                        )
                    began, before = time.monotonic(), receiver.done
    finally:
        receiver.stopped = True
    if receiver.error is not None:
        if is_full(receiver.error):
            raise NoRoomError(path.parent.parent, receiver.total or receiver.done) from receiver.error
        raise receiver.error


class _Receiver(Thread):
    """Receive a file in a thread, because no connection setting limits the total time of a transfer.

    done: bytes written so far. total: size announced by the server, if any. error: the error that ended the transfer.
    stopped: set when the transfer is no longer wanted.
    """

    def __init__(
        self, address: str, path: Path, max_bytes: int, patience: Patience, parameters: Mapping[str, str] | None
    ) -> None:
        super().__init__(daemon=True)
        self.done, self.stopped = 0, False
        self.total: int | None = None
        self.error: Exception | None = None
        self._address, self._path, self._max_bytes, self._parameters = address, path, max_bytes, parameters
        self._timeout = (patience.connect_seconds, patience.read_seconds)

    def run(self) -> None:
        try:
            with requests.Session() as session, self._answer(session) as response:
                self._check(response)
                with self._path.open("wb") as file:
                    while not self.stopped and (piece := response.raw.read(_PIECE, decode_content=True)):
                        self.done += len(piece)
                        if self.done > self._max_bytes:
                            raise DataError(f"the server sends more than {self._max_bytes:,} bytes")
                        file.write(piece)
        except Exception as error:  # the waiting thread raises it
            self.error = error

    def _answer(self, session: requests.Session) -> requests.Response:
        """Follow redirects and return the final response. A session would read the bodies of redirects to the end."""
        address, parameters = self._address, self._parameters
        for _ in range(_MAX_REDIRECTS):
            headers = {"Accept-Encoding": "identity"}
            request = session.prepare_request(requests.Request("GET", address, headers, params=parameters))
            url = request.url or address
            settings = session.merge_environment_settings(url, {}, True, None, None)
            response = session.get_adapter(url).send(request, timeout=self._timeout, **settings)
            if not response.is_redirect:
                return response
            response.close()
            address, parameters = urljoin(response.url, response.headers["location"]), None
        raise requests.TooManyRedirects(f"more than {_MAX_REDIRECTS} redirects")

    def _check(self, response: requests.Response) -> None:
        if not response.ok:
            said = re.search(rb"<oml:message>(.*?)</oml:message>", response.raw.read(_PIECE), re.DOTALL)
            why = f" ({said[1].decode('utf-8', 'replace').strip()})" if said else ""
            raise requests.HTTPError(f"{response.status_code} {response.reason}{why}", response=response)
        encoding = response.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip"):
            raise DataError(f"the server compresses it in a way that was not asked for ({encoding!r})")
        length = response.headers.get("content-length", "")
        if length.isdecimal():
            self.total = int(length)
            if self.total > self._max_bytes:
                raise DataError(f"{self.total:,} bytes are announced, more than {self._max_bytes:,}")
