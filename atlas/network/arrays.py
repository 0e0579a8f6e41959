"""Arrays of NumPy in pickles and `.npz` archives, read as tensors.

NumPy is not asked to load them, since what it loads may hold pickles that run code.
"""

from __future__ import annotations

import io
import sys
import tokenize
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import torch

from atlas.network.stored import (
    StoredStorage,
    StoredTensor,
    of_many_dimensions,
    sizes_of,
    stored_tensor,
)

MAX_HEADER_BYTES = 10_000  # of an array in an archive
_TYPES: Mapping[str, torch.dtype] = {
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
    "i1": torch.int8,
    "u1": torch.uint8,
    "i2": torch.int16,
    "i4": torch.int32,
    "i8": torch.int64,
    "b1": torch.bool,
}
_SWAPPED = ">" if sys.byteorder == "little" else "<"


@dataclass
class ArrayType:
    """The type of an array's numbers, in NumPy's code."""

    code: str  # such as "f4"
    order: str = ""  # of their bytes: "<", ">", or "|" where it makes no difference

    def build(self, state: Any) -> None:
        """Take the state that a pickle gives: the order of bytes is its second part."""
        self.order = str(state[1])

    @property
    def dtype(self) -> torch.dtype | None:
        """The same type of tensors; None if there is none."""
        return None if self.order == _SWAPPED else _TYPES.get(self.code)


@dataclass
class PickledArray:
    """An array in a pickle, which is made first and filled then."""

    tensor: StoredTensor | None = None

    def build(self, state: Any) -> None:
        """Take the state that a pickle gives.

        Raises:
            TypeError, ValueError: it describes no array.
        """
        _version, shape, kind, is_fortran, data = state
        self.tensor = array_in_memory(data, kind, shape, bool(is_fortran))


def array_in_memory(data: Any, kind: Any, shape: Any, is_fortran: bool) -> StoredTensor:
    """The tensor of an array whose numbers a pickle has beside the description.

    Args:
        data: the bytes of its numbers; as text, as Python 2 wrote them, one in each character.
        kind: their type.
        shape: the sizes.
        is_fortran: whether the first dimension runs fastest.

    Raises:
        TypeError, ValueError: they describe no array.
    """
    if not isinstance(kind, ArrayType):
        raise TypeError("it has arrays of an unknown form")
    if beyond := of_many_dimensions(shape):
        return beyond
    if kind.dtype is None or not isinstance(data, str | bytes | bytearray):
        return StoredTensor(sizes_of(shape), f"an array of {kind.order}{kind.code}")
    numbers = data.encode("latin1") if isinstance(data, str) else bytes(data)
    n_items, rest = divmod(len(numbers), kind.dtype.itemsize)
    storage = StoredStorage(f"array {id(numbers)}", kind.dtype, n_items, numbers)
    tensor = _array(storage, shape, is_fortran)
    if rest or tensor.n_items != n_items:
        raise ValueError("it has arrays of other sizes than it says")
    return tensor


def array_in_archive(file: BinaryIO, name: str) -> tuple[StoredTensor, int]:
    """An array from its description at the file's position, and how long that is, in bytes.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html

    Raises:
        ValueError: it is damaged, or not an array of numbers.
    """
    head = io.BytesIO(file.read(MAX_HEADER_BYTES))
    version = np.lib.format.read_magic(head)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in read:
        raise ValueError("it has arrays of an unknown version")
    try:
        shape, is_fortran, dtype = read[version](head, MAX_HEADER_BYTES)
    except (tokenize.TokenError, SyntaxError, TypeError, OverflowError) as error:
        raise ValueError(f"it has arrays of an unknown form: {error}") from error
    kind = ArrayType(dtype.str[1:], dtype.str[0])
    if dtype.kind not in "fiubc":
        raise ValueError("it has arrays of other things than numbers")
    if beyond := of_many_dimensions(shape):
        return beyond, head.tell()
    if kind.dtype is None:
        return StoredTensor(sizes_of(shape), f"an array of {dtype.str}"), head.tell()
    storage = StoredStorage(name, kind.dtype, int(np.prod(sizes_of(shape), dtype=object)))
    return _array(storage, shape, is_fortran), head.tell()


def _array(storage: StoredStorage, shape: Any, is_fortran: bool) -> StoredTensor:
    sizes = sizes_of(shape)
    strides = _strides(sizes[::-1])[::-1] if is_fortran else _strides(sizes)
    return stored_tensor(storage, storage.dtype, 0, sizes, strides)


def _strides(sizes: Sequence[int]) -> tuple[int, ...]:
    """Those of an array whose last dimension runs fastest, in items."""
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))
