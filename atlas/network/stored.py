"""What a weights file says of its tensors before their numbers are read."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

MAX_SPREAD = 4  # a tensor may lie in at most this many times its own size
MAX_DIMENSIONS = 16  # a file may name one shape a million times
ON_META, SPARSE = "on the meta device", "sparse"  # of tensors that cannot be used
QUANTISED = (torch.qint8, torch.quint8, torch.qint32, torch.quint4x2, torch.quint2x4)


@dataclass(frozen=True)
class StoredStorage:
    """A run of numbers in a file, which tensors are views of."""

    key: str
    dtype: torch.dtype
    n_items: int
    numbers: bytes | None = field(default=None, repr=False)  # where they are in a pickle itself

    @property
    def n_bytes(self) -> int:
        """Its size in the file."""
        return self.n_items * self.dtype.itemsize


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: all that is known of it before its numbers are read."""

    shape: tuple[int, ...] = ()
    type_name: str = ""  # such as float16, or what makes it unusable, such as "quantised"
    dtype: torch.dtype | None = None  # None if it cannot be used
    storage: StoredStorage | None = None
    offset: int = 0  # of its first item in the storage, in items
    strides: tuple[int, ...] = ()

    @property
    def n_items(self) -> int:
        """Items of the tensor."""
        return math.prod(self.shape)

    @property
    def extent(self) -> int:
        """Items of the storage from the tensor's first to its last."""
        if not self.n_items:
            return 0
        steps = zip(self.shape, self.strides, strict=True)
        return 1 + sum((size - 1) * stride for size, stride in steps)


def stored_tensor(
    storage: Any, dtype: Any, offset: Any, shape: Any, strides: Any, is_changed: bool = False
) -> StoredTensor:
    """The tensor that a file describes with values of its own.

    Args:
        storage: what it is a view of.
        dtype: type of its numbers.
        offset: of its first item in the storage, in items.
        shape: a list or tuple of sizes.
        strides: as many, in items.
        is_changed: whether its numbers are not those that are stored but, say, their conjugates.

    Raises:
        TypeError, ValueError: they describe no tensor, or one larger than its storage.
    """
    if not isinstance(storage, StoredStorage) or not isinstance(dtype, torch.dtype):
        raise TypeError("it has tensors of an unknown form")
    if beyond := of_many_dimensions(shape):
        return beyond
    name = str(dtype).removeprefix("torch.")
    tensor = StoredTensor(sizes_of(shape), name, dtype, storage, size_of(offset), sizes_of(strides))
    if len(tensor.strides) != len(tensor.shape):
        raise ValueError("it has tensors of an unknown form")
    if (tensor.offset + tensor.extent) * dtype.itemsize > storage.n_bytes:
        raise ValueError("it has tensors that are larger than what is stored of them")
    if dtype in QUANTISED:
        return StoredTensor(tensor.shape, "quantised")
    if is_changed:
        return StoredTensor(tensor.shape, "conjugated or negated")
    if tensor.n_items > tensor.extent:
        return StoredTensor(tensor.shape, "an expanded view")
    if tensor.extent > MAX_SPREAD * tensor.n_items:
        return StoredTensor(tensor.shape, "a view of something larger")
    return tensor


def of_many_dimensions(shape: Any) -> StoredTensor | None:
    """A tensor with more dimensions than any layer's weights, whose sizes are not looked at."""
    if isinstance(shape, tuple | list) and len(shape) > MAX_DIMENSIONS:
        return StoredTensor(type_name=f"of {len(shape):,} dimensions")
    return None


def unusable_words(tensor: Tensor) -> str:
    """What makes a tensor in memory unusable; empty if it has plain numbers."""
    if tensor.is_meta:
        return ON_META
    if tensor.layout != torch.strided:
        return SPARSE
    return "quantised" if tensor.is_quantized else ""


def size_of(value: Any) -> int:
    """A number of items that a file gives.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError("it has sizes that are no sizes")
    return value


def sizes_of(values: Any) -> tuple[int, ...]:
    """Numbers of items that a file gives.

    Raises:
        ValueError: they are none, or too many.
    """
    if not isinstance(values, tuple | list) or len(values) > MAX_DIMENSIONS:
        raise ValueError("it has sizes that are no sizes")
    return tuple(map(size_of, values))
