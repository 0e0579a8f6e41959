"""Reads the pickles in checkpoints; finds descriptions of tensors in them, and runs nothing.

A pickle is a program for a small machine. This one knows plain values, containers, and the few
functions of PyTorch that stand for a tensor. It calls none of PyTorch's code, allocates no tensor,
and refuses every other function by its name. So a file cannot run code or ask for memory, and the
holes that torch.load had do not matter here.
"""

from __future__ import annotations

import io
import math
import pickletools
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch

from atlas.text import displayable

MAX_PICKLE_BYTES = 32 << 20  # of a large network with its optimiser there are less than 2 MB
MAX_OPCODES = 2_000_000  # a few seconds
MAX_SPREAD = 4  # a tensor may lie in at most this many times its own size
MAX_PARTS = 16  # arguments of a function, dimensions of a tensor
MALFORMED = (
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    EOFError,
    struct.error,
)


class HoldsCodeError(ValueError):
    """A pickle that names a function or class which is no part of a tensor."""


@dataclass(frozen=True)
class StoredStorage:
    """A run of numbers in a file, which tensors are views of."""

    key: str
    dtype: torch.dtype
    n_items: int

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


def read_pickle(stream: io.BytesIO) -> Any:
    """The value of the pickle that starts at the stream's position; reads it to its end.

    Dicts keep only keys that are text. What is neither a plain value nor a tensor is None.

    Raises:
        HoldsCodeError: it names a function or class that is not known here.
        MALFORMED: it is damaged or too long.
    """
    return _Machine().run(stream)


class _Machine:
    """The pickle machine: a stack, marks on it, and a memo of values that are used again."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count >= MAX_OPCODES:
                raise ValueError("there is far more in it than tensors")
            if opcode.name == "STOP":
                return self.stack.pop()
            if opcode.name in _VALUES:
                self.stack.append(_VALUES[opcode.name])
            elif opcode.name in _ARGUMENTS:
                self.stack.append(argument)
            elif opcode.name in _STEPS:
                _STEPS[opcode.name](self, argument)
            elif opcode.name not in _IGNORED:
                raise ValueError(f"{opcode.name} has no place in a checkpoint")
        raise EOFError("the pickle has no end")

    def pop_marked(self) -> list[Any]:
        """Everything above the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pop_last(self, n_items: int) -> tuple[Any, ...]:
        """The last values."""
        if len(self.stack) < n_items:
            raise IndexError("the stack is empty")
        items = tuple(self.stack[-n_items:])
        del self.stack[-n_items:]
        return items

    def mark(self, _: Any) -> None:
        self.marks.append(len(self.stack))

    def pop(self, _: Any) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def put(self, index: int) -> None:
        if not 0 <= index < MAX_OPCODES:
            raise ValueError("the memo is too large")
        self.memo[index] = self.stack[-1]

    def append(self, items: Sequence[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target += items

    def set_items(self, items: Sequence[Any]) -> None:
        _set_items(self.stack[-1], items)

    def make_global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("it has a name that is no text")
        self.stack.append(_global(module, name))

    def call(self) -> None:
        function, arguments = self.pop_last(2)
        self.stack.append(_call(function, arguments))


def _call(function: Any, arguments: Any) -> Any:
    """Call one of the functions below; no others are ever on the stack."""
    if not isinstance(function, FunctionType) or not isinstance(arguments, tuple):
        raise TypeError("it calls what is no function")
    if len(arguments) > MAX_PARTS:
        raise ValueError("it calls a function with too much")
    return function(*arguments)


def _set_items(target: Any, items: Sequence[Any]) -> None:
    """Set keys that are text; others, which could be slow to hash, name no tensor."""
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str):
                target[key] = value


def _dict_of(items: Sequence[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    _set_items(made, items)
    return made


# What stands for tensors. These functions are called with values from the file.


def _storage(saved_id: Any) -> StoredStorage:
    """The storage of a persistent id: ("storage", type, key, location, items, no view)."""
    word, dtype, key, _location, n_items, *view = saved_id
    if word != "storage" or any(part is not None for part in view):
        raise ValueError("it has storages of an unknown form")
    if not isinstance(dtype, torch.dtype) or not isinstance(key, str):
        raise TypeError("it has storages of an unknown form")
    return StoredStorage(key, dtype, _count(n_items))


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    strides: Any,
    _requires_grad: Any = None,
    _hooks: Any = None,
    metadata: Any = None,
) -> StoredTensor:
    return _view(storage, storage.dtype, offset, size, strides, metadata)


def _tensor_of_type(
    storage: Any,
    offset: Any,
    size: Any,
    strides: Any,
    _requires_grad: Any,
    _hooks: Any,
    dtype: Any,
    metadata: Any = None,
) -> StoredTensor:
    return _view(storage, dtype, offset, size, strides, metadata)


def _view(
    storage: Any, dtype: Any, offset: Any, size: Any, strides: Any, metadata: Any
) -> StoredTensor:
    if not isinstance(storage, StoredStorage) or not isinstance(dtype, torch.dtype):
        raise TypeError("it has tensors of an unknown form")
    shape = _counts(size)
    tensor = StoredTensor(
        shape,
        str(dtype).removeprefix("torch."),
        dtype,
        storage,
        _count(offset),
        _counts(strides),
    )
    if len(tensor.strides) != len(shape):
        raise ValueError("it has tensors of an unknown form")
    if metadata or dtype in _QUANTISED:
        return StoredTensor(shape, "conjugated or negated" if metadata else "quantised")
    if (tensor.offset + tensor.extent) * dtype.itemsize > storage.n_bytes:
        raise ValueError("it has tensors that are larger than what is stored of them")
    if tensor.n_items > tensor.extent:
        return StoredTensor(shape, "an expanded view")
    if tensor.extent > MAX_SPREAD * tensor.n_items:
        return StoredTensor(shape, "a view of something larger")
    return tensor


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 62:
        raise ValueError("it has sizes that are no sizes")
    return value


def _counts(values: Any) -> tuple[int, ...]:
    return tuple(_count(value) for value in _sized(values))


def _first(value: Any, *_: Any) -> Any:
    """A parameter is its tensor."""
    return value


def _rebuilt(function: Any, _type: Any, arguments: Any, _state: Any = None) -> Any:
    """A tensor with attributes of its own is the tensor."""
    return _call(function, arguments)


def _ordered_dict(pairs: Any = None) -> dict[str, Any]:
    """Of pairs, as Python 2 wrote it. They are used up, so that no list is copied many times."""
    made: dict[str, Any] = {}
    if isinstance(pairs, list):
        for key, value in pairs:
            _set_items(made, (key, value))
        pairs.clear()
    return made


def _sized(sizes: Any = ()) -> tuple[Any, ...]:
    if not isinstance(sizes, tuple | list) or len(sizes) > MAX_PARTS:
        raise ValueError("it has sizes that are no sizes")
    return tuple(sizes)


def _nothing(*_: Any) -> None:
    """What is no tensor is not looked at."""


def _unusable(word: str) -> Callable[..., StoredTensor]:
    """A function for tensors that hold no plain numbers."""

    def tensor(*_: Any) -> StoredTensor:
        return StoredTensor(type_name=word)

    return tensor


_QUANTISED = (torch.qint8, torch.quint8, torch.qint32, torch.quint4x2, torch.quint2x4)
_STORAGE_TYPES: Mapping[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "QInt8Storage": torch.qint8,
    "QUInt8Storage": torch.quint8,
    "QInt32Storage": torch.qint32,
    "QUInt4x2Storage": torch.quint4x2,
    "QUInt2x4Storage": torch.quint2x4,
    "UntypedStorage": torch.uint8,
}
_GLOBALS: Mapping[str, Any] = {
    **{f"torch.{name}": dtype for name, dtype in _STORAGE_TYPES.items()},
    "torch.storage.UntypedStorage": torch.uint8,
    "torch.storage._UntypedStorage": torch.uint8,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _rebuilt,
    "torch._utils._rebuild_qtensor": _unusable("quantised"),
    "torch._utils._rebuild_sparse_tensor": _unusable("sparse"),
    "torch._utils._rebuild_sparse_csr_tensor": _unusable("sparse"),
    "torch._utils._rebuild_nested_tensor": _unusable("nested"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unusable("on the meta device"),
    "torch._utils._rebuild_wrapper_subclass": _unusable("a wrapped tensor"),
    "torch._utils._rebuild_device_tensor_from_numpy": _unusable("of another device"),
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _unusable("of another device"),
    "torch.nn.parameter.Parameter": _unusable("without numbers"),
    "torch.Tensor": _unusable("without numbers"),
    "collections.OrderedDict": _ordered_dict,
    "collections.Counter": _nothing,
    "torch.Size": _sized,
    "torch.device": _nothing,
    "torch.serialization._get_layout": _nothing,
    "torch.per_tensor_affine": None,
    "torch.per_tensor_symmetric": None,
    "torch.per_channel_affine": None,
    "torch.per_channel_symmetric": None,
    "torch.per_channel_affine_float_qparams": None,
    **{
        f"{module}.{name}": _nothing
        for module in ("builtins", "__builtin__")
        for name in ("bytearray", "set", "frozenset", "complex")
    },
    "_codecs.encode": _nothing,
}


def _global(module: str, name: str) -> Any:
    """What a name in a pickle stands for here."""
    full_name = f"{module}.{name}"
    if full_name in _GLOBALS:
        return _GLOBALS[full_name]
    dtype = vars(torch).get(name) if module == "torch" else None
    if isinstance(dtype, torch.dtype):
        return dtype
    raise HoldsCodeError(displayable(full_name, 80))


_VALUES: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_ARGUMENTS = frozenset(
    [
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
        *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "PERSID"),
    ]
)
_IGNORED = frozenset({"PROTO", "FRAME"})
_STEPS: Mapping[str, Callable[[_Machine, Any], object]] = {
    "MARK": _Machine.mark,
    "POP": _Machine.pop,
    "POP_MARK": lambda machine, _: machine.pop_marked(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "EMPTY_LIST": lambda machine, _: machine.stack.append([]),
    "EMPTY_DICT": lambda machine, _: machine.stack.append({}),
    "EMPTY_SET": lambda machine, _: machine.stack.append(None),
    "LIST": lambda machine, _: machine.stack.append(machine.pop_marked()),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.pop_marked())),
    "TUPLE1": lambda machine, _: machine.stack.append(machine.pop_last(1)),
    "TUPLE2": lambda machine, _: machine.stack.append(machine.pop_last(2)),
    "TUPLE3": lambda machine, _: machine.stack.append(machine.pop_last(3)),
    "DICT": lambda machine, _: machine.stack.append(_dict_of(machine.pop_marked())),
    "FROZENSET": lambda machine, _: machine.stack.append(bool(machine.pop_marked())),
    "APPEND": lambda machine, _: machine.append(machine.pop_last(1)),
    "APPENDS": lambda machine, _: machine.append(machine.pop_marked()),
    "ADDITEMS": lambda machine, _: machine.pop_marked(),
    "SETITEM": lambda machine, _: machine.set_items(machine.pop_last(2)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_marked()),
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "GET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "LONG_BINGET": lambda machine, index: machine.stack.append(machine.memo[index]),
    "GLOBAL": lambda machine, names: machine.make_global(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.make_global(*machine.pop_last(2)),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "BUILD": lambda machine, _: machine.pop_last(1),  # such as the versions of a state dict
    "BINPERSID": lambda machine, _: machine.stack.append(_storage(*machine.pop_last(1))),
}
