"""What is in a tar archive: names, places and sizes of its regular files, read from its headers.

Nothing is extracted. Names are only names: none of them ever becomes a path. Links, devices and
the like are counted and not followed. Every header must have its right checksum, and everything
that it announces must lie within the archive, so a hostile one ends in an error and takes neither
memory nor endless time. `tarfile` reads headers of any size into memory, and in some versions of
Python never ends with damaged ones (CVE-2025-8194).

Source of the format: POSIX.1-2017, pax, https://pubs.opengroup.org/onlinepubs/9699919799/
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from atlas.errors import SpecError
from atlas.text import displayable_name

BLOCK = 512  # bytes; headers and the data of files begin at multiples of it
MAX_NAME_BYTES = 1 << 20  # of a header that holds a long name
REGULAR = (b"0", b"\0", b"7")
WITHOUT_DATA = (
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
)  # links, devices, folders, pipes: whatever size they say
NEXT_PAX, ALL_PAX, GNU_NAME, GNU_LINK, GNU_SPARSE = b"x", b"g", b"L", b"K", b"S"
EXTENSIONS = (NEXT_PAX, ALL_PAX, GNU_NAME, GNU_LINK)
MAX_DIGITS = 20  # of a number


@dataclass(frozen=True)
class Member:
    """A regular file in an archive."""

    name: str
    first: int  # position of its bytes in the archive
    n_bytes: int


@dataclass(frozen=True)
class _Header:
    type: bytes
    name: str
    first: int
    n_bytes: int

    @property
    def n_data_bytes(self) -> int:
        """Bytes that follow the header."""
        return 0 if self.type in WITHOUT_DATA else self.n_bytes

    @property
    def end(self) -> int:
        """Position of the next header."""
        return self.first + -(-self.n_data_bytes // BLOCK) * BLOCK


@dataclass(frozen=True)
class _Extended:
    """What headers before that of a file say of it."""

    name: str | None = None
    n_bytes: int | None = None

    def applied_to(self, header: _Header) -> _Header:
        """The file's header with what they say."""
        if self.name is None and self.n_bytes is None:
            return header
        name = header.name if self.name is None else self.name
        n_bytes = header.n_bytes if self.n_bytes is None else self.n_bytes
        return dataclasses.replace(header, name=name, n_bytes=n_bytes)


def members(file: BinaryIO, path: Path) -> Iterator[Member | None]:
    """The regular files in an archive, in order; None for each thing that is something else.

    Args:
        file: the archive, open.
        path: names it in errors.

    Raises:
        SpecError: it is no tar archive, or is damaged.
        OSError: it cannot be read now.
    """
    archive_bytes = file.seek(0, 2)
    at, extended = 0, _Extended()
    while header := _header(file, at, path):
        if header.type not in EXTENSIONS:
            header = extended.applied_to(header)
        if header.n_data_bytes > archive_bytes - header.first:
            raise _damaged(path, at, "it ends in the middle of a file")
        at = header.end
        if header.type == NEXT_PAX:
            extended = _pax(_long(file, header, path), extended, path, header.first)
        elif header.type == GNU_NAME:
            name = _text(_field(_long(file, header, path)))
            extended = dataclasses.replace(extended, name=name)
        elif header.type not in EXTENSIONS:
            extended = _Extended()
            is_file = header.type in REGULAR and not header.name.endswith("/")
            yield Member(header.name, header.first, header.n_bytes) if is_file else None


def _header(file: BinaryIO, at: int, path: Path) -> _Header | None:
    """The header at a position; None at the end of the archive.

    Raises:
        SpecError: there is something else.
    """
    file.seek(at)
    block = file.read(BLOCK)
    if (not block and at) or (len(block) == BLOCK and not block.strip(b"\0")):
        return None
    if len(block) < BLOCK or _checksum(block) != _number(block[148:156]):
        raise _damaged(path, at, "there is no header") if at else _no_tar(path)
    n_bytes = _number(block[124:136])
    if n_bytes is None:
        raise _damaged(path, at, "a file has no size")
    name, kind = _field(block[:100]), block[156:157]
    if kind == GNU_SPARSE:
        raise _damaged(path, at, "it has files with holes, which are not read")
    if block[257:263] == b"ustar\0" and (prefix := _field(block[345:500])):
        name = prefix + b"/" + name
    return _Header(kind, _text(name), at + BLOCK, n_bytes)


def _checksum(block: bytes) -> int:
    """The sum of a header's bytes, with blanks in place of the sum itself."""
    return sum(block) - sum(block[148:156]) + 8 * ord(" ")


def _number(field: bytes) -> int | None:
    """A number in octal digits, or in the 7 bits and bytes that GNU writes large ones in."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if not digits:
        return 0
    try:
        return int(digits, 8) if digits.isdigit() else None
    except ValueError:  # an 8 or a 9
        return None


def _field(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _long(file: BinaryIO, header: _Header, path: Path) -> bytes:
    """The bytes of a header that holds a name."""
    if header.n_bytes > MAX_NAME_BYTES:
        raise _damaged(path, header.first, "a name is too long")
    file.seek(header.first)
    return file.read(header.n_bytes)


def _pax(data: bytes, known: _Extended, path: Path, at: int) -> _Extended:
    """What records like `30 path=...` say of the next file, and else what is known of it.

    Raises:
        SpecError: they cannot be read, or say that the file has holes.
    """
    first = 0
    while first < len(data) and data[first]:
        digits = data[first : data.find(b" ", first, first + MAX_DIGITS)]
        end = first + (int(digits) if digits.isdigit() else 0)
        inside = first + len(digits) + 1
        key, equals, value = data[inside : max(inside, end - 1)].partition(b"=")
        if not equals or end > len(data):
            raise _damaged(path, at, "an extended header cannot be read")
        if key.startswith(b"GNU.sparse"):
            raise _damaged(path, at, "it has files with holes, which are not read")
        if key == b"path":
            known = dataclasses.replace(known, name=_text(value))
        elif key == b"size" and value.isdigit() and len(value) < MAX_DIGITS:
            known = dataclasses.replace(known, n_bytes=int(value))
        first = end
    return known


def _no_tar(path: Path) -> SpecError:
    return SpecError(
        f"{displayable_name(str(path))} is no tar archive that is not compressed; unpack it, or "
        "give another with --images"
    )


def _damaged(path: Path, at: int, what: str) -> SpecError:
    return SpecError(
        f"{displayable_name(str(path))} is damaged at byte {at:,}: {what}; make it anew, or take "
        "it out of the folder"
    )
