"""A host on this machine that gives out a site as GitHub Pages does."""

from __future__ import annotations

import functools
import gzip
import http.server
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

TEXT = {".html", ".css", ".js", ".json", ".svg", ".txt", ".xml"}
BELOW = "/sub/path"


class Handler(http.server.SimpleHTTPRequestHandler):
    """A folder below a path; text goes out compressed, 404.html for what is not there."""

    def log_message(self, *_: Any) -> None:
        pass

    def handle(self) -> None:
        with suppress(ConnectionError):  # a reader who has left
            super().handle()

    def translate_path(self, path: str) -> str:
        below, _, inside = path.partition(f"{BELOW}/")
        return super().translate_path(f"/{inside if not below else 'not of the site'}")

    def send_head(self) -> BinaryIO | Any:
        path = Path(self.translate_path(self.path))
        if path.is_dir() and self.path.endswith("/"):
            path /= "index.html"
        if path.suffix in TEXT and path.is_file():
            return self.send_text(HTTPStatus.OK, path)
        return super().send_head()

    def send_error(self, code: int, *_: Any) -> None:
        body = self.send_text(code, Path(self.directory) / "404.html")
        if self.command != "HEAD":
            self.wfile.write(body.getvalue())

    def send_text(self, code: int, path: Path) -> io.BytesIO:
        body = gzip.compress(path.read_bytes(), compresslevel=6)
        self.send_response(code)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        return io.BytesIO(body)


@contextmanager
def serve(site: Path) -> Iterator[str]:
    """Give out a site below a path, as GitHub Pages does for a project; yields its address."""
    handler = functools.partial(Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{BELOW}"
        server.shutdown()
