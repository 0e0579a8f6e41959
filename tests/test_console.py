"""The command speaks on any console, obeys no text from files, and ends when it is asked to."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_command import DEMO, PART, Folders, run, start

from atlas.console import say, say_above, say_line

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Folders:
    folder = tmp_path_factory.mktemp("built")
    folders = Folders(folder / "site", folder / "cache")
    assert run(*DEMO, *PART, *folders.options).code == 0
    return folders


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("photo") / "grey.png"
    Image.new("RGB", (90, 90), (90, 120, 150)).save(path)
    return path


@pytest.fixture(scope="module")
def asked_before(built, photo) -> tuple[object, ...]:
    """Arguments of a question whose answer is in the cache, so that it is only said."""
    asked = ("like", photo, *DEMO, *PART, *built.options)
    assert run(*asked).code == 0
    return asked


def spoken(*args: object, encoding: str) -> bytes:
    process = start("build.py", *args, env={**os.environ, "PYTHONIOENCODING": encoding})
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "ascii:strict", "cp437", "utf-8"])
def test_a_console_without_sigma_gets_another_word(asked_before, encoding):
    out = spoken(*asked_before, encoding=encoding)
    name = encoding.partition(":")[0]
    text = out.decode(name)
    assert "  conv1 " in text
    has_sigma = name in ("utf-8", "cp437")
    assert (" σ" in text) == has_sigma and (" sigma" in text) == (not has_sigma)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_messages_and_help_are_said_on_such_consoles_too(built, encoding):
    assert b"Usage: " in spoken("--help", encoding=encoding)
    labels = "σ\u202e\x1b[31m鱼.txt"
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    process = start("build.py", *DEMO, "--labels", labels, *built.options, env=environment)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert b"sigma[31m?.txt" in err and err.count(b"\n") == 1


def test_a_message_is_one_line_without_anything_a_terminal_obeys(capsys):
    say_line("Error: a\nb\x1b[2Jc\u202e\ud800d")
    assert capsys.readouterr().err == "Error: a b[2Jc\ufffdd\n"


def test_tables_keep_their_columns_and_lose_what_is_no_text(capsys):
    say("  conv1    8 of   16\n\n  \x1b[31mred\u202e  x \r y")
    assert capsys.readouterr().out == "  conv1    8 of   16\n\n  [31mred  x y\n"


def test_labels_of_a_cache_cannot_speak_to_the_terminal(built, photo, tmp_path):
    labels = [f"\x1b]0;owned\x07label {index}" for index in range(1000)]
    n_classes = (
        int(
            re.search(
                r"fc +\d+ of +(\d+)", run("status", *DEMO, "--layers", "fc", *built.options).out
            )[1]
        )
        // 2
    )
    (tmp_path / "labels.txt").write_text("\n".join(labels[:n_classes]))
    asked = (*DEMO, *PART, "--labels", tmp_path / "labels.txt", *built.options)
    result = run("like", photo, *asked)
    assert result.code == 0 and "]0;ownedlabel " in result.out and "\x1b" not in result.out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("how", ["full", "closed", "reader gone"])
def test_the_work_goes_on_where_nobody_listens(built, tmp_path, stream, how):
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    # To stdout goes only what is said at the end, and a pipe fails as a full device does.
    if stream == "stdout" or how == "reader gone":
        built.copied_to(tmp_path)
        shutil.rmtree(folders.out)
    asked = [*DEMO, "--layers", "conv1", "--units", "0-1", *folders.options]
    number = {"stdout": "1", "stderr": "2"}[stream]
    shell = {
        "full": f"exec {{}} {number}>/dev/full",
        "closed": f"exec {{}} {number}>&-",
        "reader gone": f"{{}} {number}> >(exec true)",
    }[how]
    command = " ".join(["'" + sys.executable + "'", "build.py", *asked])
    done = subprocess.run(
        ["bash", "-c", shell.format(command)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folders.out / "index.html").is_file()
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_a_stream_that_is_not_there_or_closed_takes_everything(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    say_above("to nobody")
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stderr", os.fdopen(writer, "w"))
    say_above("to nobody")


def test_sigterm_ends_like_an_interrupt(tmp_path):
    folders = Folders(tmp_path / "site", tmp_path / "cache")
    asked = (*DEMO, *folders.options)
    process = start("build.py", *asked, env={**os.environ, "OMP_NUM_THREADS": "1"})
    seen = b""
    while b"filter " not in seen:
        chunk = os.read(process.stderr.fileno(), 1000)
        assert chunk, seen.decode()
        seen += chunk
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert out == b"" and b"run the same command again to go on" in err
    assert b"Traceback" not in err
    done = re.search(r"([\d,]+) of [\d,]+ pictures and panels are", run("status", *asked).out)[1]
    assert int(done.replace(",", "")) > 0


def test_sigterm_ends_the_server(built):
    server = start("build.py", "serve", "--out", built.out, "--port", 0)
    assert server.stdout.readline().startswith(b"http://127.0.0.1:")
    server.send_signal(signal.SIGTERM)
    _, err = server.communicate(timeout=30)
    assert (server.returncode, err) == (0, b"")
