"""What cannot be read now is no fault of the file: it is tried again, and then an error."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import seen_as
from PIL import Image

from atlas import reading
from atlas.decoding import load
from atlas.errors import ImagesError
from atlas.images import FileState, ImageFolder

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="wants the files of /proc")
MEMORY = Path("/proc/self/mem")  # a regular file, and reading its first byte is an I/O error


@pytest.fixture
def good(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 40), "red").save(tmp_path / "good.png")
    return tmp_path / "good.png"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(reading, "PAUSES_S", (0.05, 0.1, 0.2))


@ON_LINUX
def test_an_input_output_error_is_no_damaged_image(good):
    (good.parent / "bad.jpg").symlink_to(MEMORY)
    with pytest.raises(ImagesError, match=r"bad\.jpg now: Input/output error; check the disk"):
        load(good.parent / "bad.jpg", seen_as(32))


@ON_LINUX
def test_no_identity_is_made_of_files_that_cannot_be_read(good):
    (good.parent / "bad.jpg").symlink_to(MEMORY)
    known: dict[FileState, str] = {}
    with pytest.raises(ImagesError, match="Input/output error"):
        ImageFolder.of(good.parent, known)
    assert [Path(path).name for path, _, _ in known] in ([], ["good.png"])
    (good.parent / "bad.jpg").unlink()
    assert ImageFolder.of(good.parent, known).files == ("good.png",)


def test_a_file_that_comes_back_in_time_is_read(good):
    data = good.read_bytes()
    good.unlink()
    timer = threading.Timer(0.1, good.write_bytes, [data])
    timer.start()
    assert load(good, seen_as(32)).shape == (32, 32, 3)
    timer.join()


def test_a_file_that_has_gone_is_an_error_with_its_remedy(good):
    good.unlink()
    with pytest.raises(ImagesError, match=r"good\.png now: No such file.*; put it back.*again"):
        load(good, seen_as(32))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
def test_a_fifo_that_takes_the_place_of_a_file_holds_nobody_up(good):
    good.unlink()
    os.mkfifo(good)
    with pytest.raises(ImagesError, match="no regular file"):
        load(good, seen_as(32))


STARVED = """
import resource, sys
from pathlib import Path
from atlas import decoding, reading
from atlas.errors import ImagesError
from atlas.units import Preprocessing
reading.PAUSES_S = (0.05,)
decoding.suffixes()
seen_as = Preprocessing(32, 36, (0.5,) * 3, (0.5,) * 3)
path = Path(sys.argv[1])
print(type(decoding.load(path, seen_as)).__name__)
{starve}
try:
    print(decoding.load(path, seen_as))
except ImagesError as error:
    print(error)
"""
NO_FILES = """
held = []
try:
    while True: held.append(open(path, "rb"))
except OSError: pass
"""
NO_MEMORY = """
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**20, used + 2**20))
"""


@ON_LINUX
@pytest.mark.parametrize(
    ("starve", "size_px", "cause"),
    [
        (
            "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))" + NO_FILES,
            40,
            "Too many open fil",
        ),
        (NO_MEMORY, 6000, "Cannot allocate memory; free some memory"),
    ],
)
def test_too_many_files_and_too_little_memory_are_no_damaged_image(good, starve, size_px, cause):
    Image.new("RGB", (size_px, size_px), "red").save(good)
    program = STARVED.format(starve=starve)
    done = subprocess.run(
        [sys.executable, "-c", program, str(good)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    first, second = done.stdout.splitlines()[:2]
    assert first == "ndarray", done.stderr
    assert cause in second and "Skipped" not in second, done.stderr
