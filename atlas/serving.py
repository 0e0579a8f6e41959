"""Serves a finished site to this machine only: its files, and nothing around them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from atlas import paths
from atlas.errors import SiteError
from atlas.files import open_regular

ADDRESS = "127.0.0.1"
HOSTS = ("localhost", "127.0.0.1", "[::1]")
TIMEOUT_S = 10  # for a request to arrive
MAX_FILE_BYTES = 10_000_000_000
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".xml": "application/xml",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}


class Server(ThreadingHTTPServer):
    """Serves one site on the loopback address; port 0 takes any that is free.

    Raises:
        SiteError: it cannot listen on the port.
    """

    daemon_threads = True

    def __init__(self, site: Path, port: int) -> None:
        self.site = site.resolve()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise SiteError(
                f"cannot listen on port {port}: {error.strerror}; try --port"
            ) from error

    def server_bind(self) -> None:
        """Bind without looking up the machine's name, which can take long."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = ADDRESS, self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent: a browser may end a connection at any time."""

    def find(self, target: str) -> Path | None:
        """The file of the site that a request means; None if there is none.

        Hidden files are not served, nor links that lead out of the site.
        """
        parts = unquote(urlsplit(target).path, errors="replace").split("/")
        names = [part for part in parts if part]
        if not target.startswith("/") or any(map(_is_no_name, names)):
            return None
        path = self.site.joinpath(*names)
        if not parts[-1]:
            path /= paths.INDEX
        try:
            found = path.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # not there, a loop of links, no name
            return None
        return found if found.is_relative_to(self.site) else None


def _is_no_name(part: str) -> bool:
    return part.startswith(".") or any(char in part for char in "\0\\:")


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; every answer has the headers, and none has a listing."""

    server: Server
    server_version, sys_version = "atlas", ""
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def handle(self) -> None:
        """Answer one request, if it arrives in time."""
        with contextlib.suppress(OSError):
            super().handle()

    def _answer(self) -> None:
        if not self._is_for_this_machine():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path = self.server.find(self.path)
        if path is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif path.is_dir():
            self._redirect()
        else:
            self._send(path)

    def _is_for_this_machine(self) -> bool:
        """Whether the request names this machine: another site's name may be made to lead here.

        Source: https://en.wikipedia.org/wiki/DNS_rebinding
        """
        hosts = self.headers.get_all("Host") or []
        port = self.server.server_port
        known = {f"{host}:{port}" for host in HOSTS} | (set(HOSTS) if port == 80 else set())
        return len(hosts) == 1 and hosts[0].strip().lower() in known

    def _redirect(self) -> None:
        """Send a browser from a folder's name to its page."""
        path = "/" + urlsplit(self.path).path.strip("/") + "/"
        self.send_response(HTTPStatus.MOVED_PERMANENTLY)
        self.send_header("Location", path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, path: Path) -> None:
        try:
            file = open_regular(path, MAX_FILE_BYTES)
        except OSError:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self.send_response(HTTPStatus.OK)
            kind = TYPES.get(path.suffix.lower(), "application/octet-stream")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.end_headers()
            if self.command != "HEAD":
                shutil.copyfileobj(file, self.wfile)

    def end_headers(self) -> None:
        """Every answer, also that of an error, has these headers."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Say in plain text what is wrong, without anything that was asked."""
        self.close_connection = True
        self.request_version = "HTTP/1.0"  # with a status and headers, whatever was asked
        text = f"{int(code)} {HTTPStatus(code).phrase}\n".encode()
        self.send_response(code, HTTPStatus(code).phrase)
        self.send_header("Content-Type", TYPES[".txt"])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if getattr(self, "command", None) != "HEAD":
            self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: stdout is for results."""
