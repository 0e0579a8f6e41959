"""Checkpoints of torch.save: which tensors are in the file, and where their numbers lie."""

from __future__ import annotations

import io
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from atlas.network.arrays import array_in_archive
from atlas.network.foreign import (
    ARRAY_SUFFIX,
    LARGE_PICKLE,
    NO_TENSORS,
    PACKED_ARRAYS,
    PLAIN_PICKLE,
    ForeignFileError,
    about_archive,
)
from atlas.network.stored import StoredStorage, StoredTensor
from atlas.network.unpickle import MALFORMED, MAX_PICKLE_BYTES, read_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # of files before PyTorch 1.6
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and of extra fields
_MAX_HEAD_BYTES = 32 << 20  # of an archive's directory, or of pickles before numbers
_MAX_READ = _MAX_HEAD_BYTES + 1


class _NoLargeReads(io.RawIOBase):
    """A file for zipfile, which reads a directory of any size at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(min(size, _MAX_READ) if size >= 0 else _MAX_READ)
        if len(data) == _MAX_READ:
            raise ValueError("its directory is too large")
        return data


@dataclass(frozen=True)
class _Place:
    """Where the numbers of a storage lie in the file."""

    start: int
    n_bytes: int
    crc32: int = 0  # 0 where the file has none


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is open: its value, with descriptions in place of tensors."""

    file: BinaryIO
    content: Any
    places: Mapping[str, _Place]  # by the key of the storage
    is_script: bool = False  # whether it is an archive of TorchScript
    about_empty: str = NO_TENSORS  # what it is if it has no tensors

    def read(self, tensor: StoredTensor) -> Tensor:
        """The numbers of a tensor that can be used, in the type that they are stored in.

        Raises:
            ValueError: they are not in the file, or not as they were written.
            OSError: the file cannot be read.
        """
        assert tensor.dtype is not None and tensor.storage is not None
        if tensor.storage.numbers is not None:
            numbers = torch.frombuffer(bytearray(tensor.storage.numbers), dtype=tensor.dtype)
            return numbers.as_strided(tensor.shape, tensor.strides, tensor.offset)
        place = _checked_place(self.places, tensor.storage)
        start = tensor.offset * tensor.dtype.itemsize
        n_bytes = tensor.extent * tensor.dtype.itemsize
        items = torch.empty(n_bytes, dtype=torch.uint8)
        view = memoryview(cast(Any, items.numpy()))
        self.file.seek(place.start + start)
        if n_bytes and _read_into(self.file, view) != n_bytes:
            raise ValueError("it ends too soon")
        if place.crc32 and n_bytes == place.n_bytes and zlib.crc32(view) != place.crc32:
            raise ValueError("a checksum differs")
        return items.view(tensor.dtype).as_strided(tensor.shape, tensor.strides)


def open_checkpoint(file: BinaryIO, n_bytes: int) -> Checkpoint:
    """Read what is in a checkpoint, without the numbers of its tensors.

    Args:
        file: an open file, at its start.
        n_bytes: its size.

    Raises:
        ForeignFileError: it is an archive or a pickle of something else.
        ValueError, zipfile.BadZipFile or others of `MALFORMED`: it is damaged.
        OSError: it cannot be read.
    """
    is_zip = file.read(2) == b"PK"
    file.seek(0)
    return _open_zip(file, n_bytes) if is_zip else _open_legacy(file, n_bytes)


def _open_zip(file: BinaryIO, n_bytes: int) -> Checkpoint:
    with zipfile.ZipFile(_NoLargeReads(file)) as archive:
        records = {record.filename: record for record in archive.infolist()}
        if records and all(name.endswith(ARRAY_SUFFIX) for name in records):
            return _open_arrays(file, records, n_bytes)
        folder = _folder(list(records))
        pickled = records[f"{folder}data.pkl"]
        _refuse_packed(pickled, n_bytes)
        if pickled.file_size > MAX_PICKLE_BYTES:
            raise ForeignFileError(LARGE_PICKLE)
        contents = read_pickle(_bytes_of(file, pickled, n_bytes))
        order = records.get(f"{folder}byteorder")
        if order and order.file_size < 10 and archive.read(order) != sys.byteorder.encode():
            raise ValueError("its numbers are in the byte order of another machine")
    data = f"{folder}data/"
    places = {
        name.removeprefix(data): _place_of(file, record, n_bytes)
        for name, record in records.items()
        if name.startswith(data)
    }
    for storage in contents.storages.values():
        _checked_place(places, storage)
    is_script = f"{folder}constants.pkl" in records
    return Checkpoint(file, contents.value, places, is_script)


def _bytes_of(file: BinaryIO, record: zipfile.ZipInfo, n_bytes: int) -> io.BytesIO:
    place = _place_of(file, record, n_bytes)
    file.seek(place.start)
    data = file.read(place.n_bytes)
    if zlib.crc32(data) != place.crc32:
        raise ValueError("a checksum differs")
    return io.BytesIO(data)


def _open_arrays(
    file: BinaryIO, records: Mapping[str, zipfile.ZipInfo], n_bytes: int
) -> Checkpoint:
    """An archive of NumPy's `savez`: an array in each record, after its description."""
    if any(record.compress_type != zipfile.ZIP_STORED for record in records.values()):
        raise ForeignFileError(PACKED_ARRAYS)
    arrays: dict[str, StoredTensor] = {}
    places: dict[str, _Place] = {}
    for name, record in records.items():
        place = _place_of(file, record, n_bytes)
        file.seek(place.start)
        try:
            array, n_head = array_in_archive(file, name)
        except ValueError as error:
            raise ForeignFileError(about_archive(list(records))) from error
        arrays[name.removesuffix(ARRAY_SUFFIX)] = array
        places[name] = _Place(place.start + n_head, place.n_bytes - n_head)
        if array.storage:
            _checked_place(places, array.storage)
    return Checkpoint(file, arrays, places)


def _folder(names: Sequence[str]) -> str:
    """The folder in the archive that everything is in, with a slash."""
    found = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(found) != 1:
        raise ForeignFileError(about_archive(names))
    return found[0].removesuffix("data.pkl")


def _refuse_packed(record: zipfile.ZipInfo, n_bytes: int) -> None:
    """Records are stored as they are: what is packed could be of any size once unpacked."""
    if record.compress_type != zipfile.ZIP_STORED or record.flag_bits & 1:
        raise ValueError("its records are compressed or encrypted")
    if record.compress_size != record.file_size or record.file_size > n_bytes:
        raise ValueError("its records are larger than the file")


def _place_of(file: BinaryIO, record: zipfile.ZipInfo, n_bytes: int) -> _Place:
    _refuse_packed(record, n_bytes)
    file.seek(record.header_offset)
    signature, n_name, n_extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if signature != b"PK\x03\x04":
        raise ValueError("its directory is wrong")
    start = record.header_offset + _LOCAL_HEADER.size + n_name + n_extra
    if start + record.file_size > n_bytes:
        raise ValueError("its records are larger than the file")
    return _Place(start, record.file_size, record.CRC)


def _open_legacy(file: BinaryIO, n_bytes: int) -> Checkpoint:
    """Four pickles, a list of the keys of storages, and the numbers of each."""
    head = io.BytesIO(file.read(_MAX_HEAD_BYTES))
    if LEGACY_MAGIC.to_bytes(10, "little") not in head.getbuffer()[:32].tobytes():
        return _open_plain(file)
    read_pickle(head)
    _protocol, system = read_pickle(head), read_pickle(head).value
    if isinstance(system, dict) and system.get("little_endian") is not (sys.byteorder == "little"):
        raise ValueError("its numbers are in the byte order of another machine")
    pickled = read_pickle(head)
    keys = read_pickle(head).value
    places: dict[str, _Place] = {}
    start = head.tell()
    for key in keys:
        if key in places:
            raise ValueError("it has storages of an unknown form")
        places[key] = _Place(start + 8, pickled.storages[key].n_bytes)
        start += 8 + places[key].n_bytes
        if start > n_bytes:
            raise ValueError("it ends too soon")
    return Checkpoint(file, pickled.value, places)


def _open_plain(file: BinaryIO) -> Checkpoint:
    """A pickle that torch.save did not write; the arrays of NumPy in it can be read."""
    file.seek(0)
    try:
        pickled = read_pickle(io.BytesIO(file.read(MAX_PICKLE_BYTES)))
    except MALFORMED as error:
        raise ForeignFileError(PLAIN_PICKLE) from error
    if pickled.storages:
        raise ForeignFileError(PLAIN_PICKLE)
    return Checkpoint(file, pickled.value, {}, about_empty=PLAIN_PICKLE)


def _checked_place(places: Mapping[str, _Place], storage: StoredStorage) -> _Place:
    place = places.get(storage.key)
    if place is None or storage.n_bytes > place.n_bytes:
        raise ValueError("it has tensors that are larger than what is stored of them")
    return place


def _read_into(file: BinaryIO, view: memoryview) -> int:
    n_read = 0
    while n_read < len(view):
        n_bytes = file.readinto(view[n_read:])  # type: ignore[attr-defined]
        if not n_bytes:
            break
        n_read += n_bytes
    return n_read
