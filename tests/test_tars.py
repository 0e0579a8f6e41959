"""Headers of tar archives are read as Python's own module writes them; hostile ones do no harm."""

from __future__ import annotations

import io
import random
import tarfile
import time
from pathlib import Path

import pytest

from atlas.errors import SpecError
from atlas.tars import BLOCK, Member, members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
PATH = Path("shard.tar")


def archive(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def listed(data: bytes) -> list[Member | None]:
    return list(members(io.BytesIO(data), PATH))


def read(data: bytes) -> dict[str, bytes]:
    return {
        each.name: data[each.first : each.first + each.n_bytes] for each in listed(data) if each
    }


def changed(data: bytes, at: int, new: bytes) -> bytes:
    """Other bytes in the first header, with the checksum that they need."""
    block = bytearray(data[:BLOCK])
    block[at : at + len(new)] = new
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + data[BLOCK:]


def refused(data: bytes, words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        listed(data)
    assert "shard.tar" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
def test_all_formats_are_read(form):
    files = {
        "a.jpg": b"one",
        "b/c.cls": b"7",
        "empty": b"",
        f"{'d' * 80}/{'e' * 90}.png": b"x" * 999,
    }
    if form != "ustar":
        files |= {f"{'long' * 60}.jpg": b"far", "ünïcode/猫.jpg": b"cat"}
    assert read(archive(files, FORMATS[form])) == files


def test_folders_links_and_devices_are_counted_and_not_followed():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        kinds = (
            tarfile.DIRTYPE,
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.CHRTYPE,
            tarfile.FIFOTYPE,
        )
        for nth, kind in enumerate(kinds):
            info = tarfile.TarInfo(f"{nth}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("../../after.jpg")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"ok"))
    assert listed(buffer.getvalue())[:5] == [None] * 5
    assert read(buffer.getvalue()) == {"../../after.jpg": b"ok"}  # only a name


@pytest.mark.parametrize("at", [0, 5000])
def test_what_is_no_archive_is_said(at):
    refused(b"", "is no tar archive")
    refused(b"\x1f\x8b" + bytes(600), "is no tar archive that is not compressed; unpack it")
    data = bytearray(archive({"a.jpg": b"x" * 9000, "b.jpg": b"y"}))
    data[9216 + BLOCK + at % 8] ^= 1  # in the second header
    refused(bytes(data), "is damaged at byte 9,728: there is no header; make it anew")


def test_an_archive_that_was_cut_off_is_refused():
    data = archive({"a.jpg": b"x" * 9000, "b.jpg": b"y" * 9000})
    for length in (700, 12_000):
        refused(data[:length], "it ends in the middle of a file")
    assert read(data[: 2 * BLOCK + 2 * 9216]) == read(data)  # only the end mark is missing


def test_sizes_that_cannot_be_are_refused():
    data = archive({"a.jpg": b"x"})
    for size in (b"77777777777\0", b"\x80" + b"\xff" * 11):
        refused(changed(data, 124, size), "it ends in the middle of a file")
    for size in (b"\xff" * 12, b"-1\0".ljust(12, b"\0"), b"0x1f\0".ljust(12, b"\0")):
        refused(changed(data, 124, size), "a file has no size")


def test_files_with_holes_are_refused():
    data = archive({"a.jpg": b"x"})
    refused(changed(data, 156, b"S"), "files with holes")
    info = tarfile.TarInfo("a.jpg")
    info.pax_headers = {"GNU.sparse.major": "1"}
    refused(info.tobuf(tarfile.PAX_FORMAT) + bytes(2 * BLOCK), "files with holes")


@pytest.mark.parametrize(
    "records",
    [b"0 path=a\n", b"99 path=a\n", b"path", b"9" * 400, b"-9 path=a\n", b"5 a=\n" * 3 + b"1 "],
)
def test_extended_headers_that_lie_are_refused(records):
    head = changed(archive({"x": records}), 156, b"x")
    refused(head, "an extended header cannot be read")


def test_extended_headers_take_neither_memory_nor_time():
    many = b"5 a=\n" * 200_000  # a megabyte of records
    begun = time.perf_counter()
    assert listed(changed(archive({"x": many}), 156, b"x")) == []
    assert time.perf_counter() - begun < 5
    for kind in (b"x", b"L"):
        refused(changed(archive({"x": bytes(2 << 20)}), 156, kind), "a name is too long")


def test_damaged_archives_are_read_or_refused():
    chance = random.Random(0)
    good = archive({f"{'name' * 40}{nth}.jpg": b"x" * nth for nth in range(8)})
    n_refused = 0
    for _ in range(400):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            assert all(each.first + each.n_bytes <= len(data) for each in listed(data) if each)
        except SpecError:
            n_refused += 1
    assert 50 < n_refused < 400
