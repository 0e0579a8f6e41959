"""The site is served to this machine only: its files, and nothing around them."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from atlas.errors import SiteError
from atlas.serving import HEADERS, Server, _Handler

PAGE = b"<!doctype html><title>page</title>"
ODD = [
    b"GET / HTTP/1.1\r\nHost: {host}\r\nHost: {host}\r\n\r\n",
    b"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"GET //evil.example/ HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999\r\n\r\n",
    b"DELETE /index.html HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"\x1b[31mGET / HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: {host}\r\n\r\n",
    b"GET / SPDY\r\n\r\n",
    b"GET /\r\n\r\n",
    b"G" * 100_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: {host}\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    b"GET / HTTP/1.1\r\nno header\r\nHost: {host}\r\n\r\n",
    b"\r\n\r\n",
    b"\0" * 100 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    (folder / "secret.txt").write_text("secret")
    site = folder / "site"
    (site / "conv1").mkdir(parents=True)
    (site / "empty").mkdir()
    for name in ("index.html", "conv1/index.html", "conv1/a b.html"):
        (site / name).write_bytes(PAGE)
    (site / "conv1" / "0001.webp").write_bytes(b"RIFF")
    (site / ".atlas-files.json").write_text("{}")
    (site / "out.txt").symlink_to(folder / "secret.txt")
    (site / "up").symlink_to(folder)
    (site / "inside.html").symlink_to(site / "index.html")
    (site / "loop").symlink_to(site / "loop")
    (site / "gone").symlink_to(site / "nothing")
    os.mkfifo(site / "pipe")
    return site


@pytest.fixture(scope="module")
def server(site) -> Iterator[Server]:
    with Server(site, 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(
    server: Server, target: str, method: str = "GET", host: str | None = None
) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)
    connection.putrequest(method, target, skip_host=True)
    connection.putheader("Host", host or f"localhost:{server.server_port}")
    connection.endheaders()
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    return answer


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html?a=/../b#c", "text/html; charset=utf-8"),
        ("/conv1/", "text/html; charset=utf-8"),
        ("/conv1/a%20b.html", "text/html; charset=utf-8"),
        ("/conv1/0001.webp", "image/webp"),
        ("/inside.html", "text/html; charset=utf-8"),
        ("//conv1//", "text/html; charset=utf-8"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_files_of_the_site_are_served_with_their_headers(server, target, kind, method):
    answer = ask(server, target, method)
    assert (answer.status, answer.getheader("Content-Type")) == (200, kind)
    assert answer.body == {"HEAD": b""}.get(method, b"RIFF" if "webp" in target else PAGE)
    assert int(answer.getheader("Content-Length")) in (4, len(PAGE))


def test_every_answer_has_the_policy(server):
    for target in ("/", "/conv1", "/nothing", "/%00"):
        answer = ask(server, target)
        assert {name: answer.getheader(name) for name in HEADERS} == dict(HEADERS)
    assert "default-src 'self'" in HEADERS["Content-Security-Policy"]
    assert HEADERS["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "target",
    [
        *("/%00", "/..%2f..%2fetc/passwd", "/../secret.txt", "/..%5c..%5csecret.txt", "/%2e%2e/"),
        *("/conv1/../../secret.txt", "/conv1/..", "//etc/passwd", "/%2fetc%2fpasswd", "/C:/x"),
        *("/out.txt", "/up/secret.txt", "/up/", "/loop", "/gone", "/pipe", "/empty/", "/nothing"),
        *(
            "/.atlas-files.json",
            "/.",
            "/%ff%fe",
            "/%",
            "/index.html/x",
            "/index.html/",
            "/a%0d%0ab",
        ),
        "/" + "a" * 300,
    ],
)
def test_nothing_else_is_served(server, target):
    answer = ask(server, target)
    assert answer.status == 404
    assert answer.body == b"404 Not Found\n"


def test_a_folder_leads_to_its_page_and_is_never_listed(server):
    answer = ask(server, "/conv1?x")
    assert (answer.status, answer.getheader("Location")) == (301, "/conv1/")
    assert ask(server, "//conv1").getheader("Location") == "/conv1/"  # never another host
    assert ask(server, "/empty/").status == 404


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST"])
def test_this_machine_may_be_called_by_its_names(server, host):
    assert ask(server, "/", host=f"{host}:{server.server_port}").status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "localhost",
        "localhost:1",
        "127.0.0.1:",
        "\xe9",
        "localhost:{port}.evil.example",
        "0.0.0.0:{port}",
        "localhost:{port}@evil.example",
    ],
)
def test_another_name_that_leads_here_gets_nothing(server, host):
    answer = ask(server, "/", host=host.format(port=server.server_port))
    assert answer.status == 421
    assert PAGE not in answer.body


@pytest.mark.parametrize("request_bytes", ODD, ids=[repr(each[:30]) for each in ODD])
def test_odd_requests_end_without_a_word_on_the_console(server, request_bytes, capfd):
    host = f"localhost:{server.server_port}".encode()
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=5) as client:
        received = b""
        with contextlib.suppress(OSError):  # it does not read a hundred kilobytes
            client.sendall(request_bytes.replace(b"{host}", host))
            client.shutdown(socket.SHUT_WR)
            while chunk := client.recv(65536):
                received += chunk
    assert not received or re.match(rb"HTTP/1.[01] [345]\d\d ", received), received[:100]
    assert PAGE not in received
    assert ask(server, "/").status == 200
    assert capfd.readouterr() == ("", "")


def test_connections_that_say_nothing_hold_nobody_up(server, monkeypatch, capfd):
    monkeypatch.setattr(_Handler, "timeout", 0.3)
    address = ("127.0.0.1", server.server_port)
    silent = [socket.create_connection(address, timeout=5) for _ in range(20)]
    silent[0].sendall(b"GET / HT")
    silent[1].sendall(b"GET / HTTP/1.1\r\nHost: loc")
    assert ask(server, "/").status == 200
    begun = time.monotonic()
    for client in silent:
        with contextlib.suppress(ConnectionError):
            while client.recv(1000):
                pass
        client.close()
    assert time.monotonic() - begun < 5
    assert capfd.readouterr() == ("", "")


def test_only_the_loopback_address_listens(server):
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", server.server_port), timeout=2)


def test_a_port_in_use_is_named(site, server):
    with pytest.raises(SiteError, match=f"port {server.server_port}.*--port"):
        Server(site, server.server_port)
