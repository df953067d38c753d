"""A web server on 127.0.0.1 whose answers a test lays down, bad ones included."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from types import TracebackType
from urllib.parse import unquote

Answer = Callable[[BaseHTTPRequestHandler, Event], None]


def ok(body: bytes) -> Answer:
    """200 and the whole body."""

    def answer(request: BaseHTTPRequestHandler, stopped: Event) -> None:
        _head(request, 200, {"Content-Length": str(len(body))})
        request.wfile.write(body)

    return answer


def status(code: int, body: bytes = b"<html>no</html>") -> Answer:
    """Some other status, with a web page."""

    def answer(request: BaseHTTPRequestHandler, stopped: Event) -> None:
        _head(request, code, {"Content-Length": str(len(body)), "Content-Type": "text/html"})
        request.wfile.write(body)

    return answer


def truncated(body: bytes) -> Answer:
    """The first half of what was announced, then the connection ends."""

    def answer(request: BaseHTTPRequestHandler, stopped: Event) -> None:
        _head(request, 200, {"Content-Length": str(len(body))})
        request.wfile.write(body[: len(body) // 2])

    return answer


def stalled(body: bytes) -> Answer:
    """The first half of what was announced, then nothing, the connection open."""

    def answer(request: BaseHTTPRequestHandler, stopped: Event) -> None:
        _head(request, 200, {"Content-Length": str(len(body))})
        request.wfile.write(body[: len(body) // 2])
        request.wfile.flush()
        stopped.wait()

    return answer


def redirect(location: str) -> Answer:
    """302 to somewhere else."""
    return lambda request, stopped: _head(request, 302, {"Location": location, "Content-Length": "0"})


def _head(request: BaseHTTPRequestHandler, code: int, headers: dict[str, str]) -> None:
    request.send_response(code)
    for key, value in headers.items():
        request.send_header(key, value)
    request.end_headers()


class LocalServer:
    """Use as a context. `log` holds the paths that were asked for."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self._answers: dict[str, list[Answer]] = {}
        self._stopped = Event()
        self._lock = Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer._take(self.path)(self, outer._stopped)

            def log_message(self, format: str, *args: object) -> None:
                """Tests look at `log` instead."""

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self._thread = Thread(target=self._httpd.serve_forever, kwargs={"poll_interval": 0.01})

    def add(self, path: str, *answers: Answer) -> str:
        """Lay down the answers for a path, one per request, the last for all further ones; returns the address."""
        self._answers[unquote(path)] = list(answers)
        return f"{self.address}{path}"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._httpd.server_address[1]}"

    def _take(self, path: str) -> Answer:
        with self._lock:
            self.log.append(path)
            answers = self._answers.get(unquote(path), [status(404)])
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def __enter__(self) -> LocalServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()
