"""Reads the pickles in checkpoints: nested dicts with descriptions of tensors. Runs nothing.

A pickle is a program for a small machine with a stack. The machine below knows plain values,
containers, and the few functions of PyTorch and NumPy that stand for a tensor. Every other
function, class or object becomes a `Placeholder`: its name is never looked up, imported or called.

`torch.load` is not used, for three reasons. With `weights_only=True` it refuses what training
scripts put beside the tensors (an `argparse.Namespace`, a path, a scalar of NumPy), and with
`weights_only=False` it runs whatever the file says. It takes memory for all tensors in the file,
those of optimisers too, before anybody can compare them with a network. And a crafted file makes
Python's own machine take any amount of time or memory (a memo with two thousand million places, the
hash of a tuple that holds itself many times over) or has got past the restrictions
(CVE-2025-32434, CVE-2026-24747). This machine takes a bounded time and memory for each step, and
a bounded number of steps.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import torch

from atlas.network.arrays import ArrayType, PickledArray, array_in_memory
from atlas.network.stored import (
    ON_META,
    SPARSE,
    StoredStorage,
    StoredTensor,
    size_of,
    stored_tensor,
)

# Of a large network with its optimiser there are less than 2 MB, but arrays of NumPy are inside. A
# text may take five times its size while it is read.
MAX_PICKLE_BYTES = 160 << 20
MAX_OPCODES = 2_000_000  # a few seconds
MAX_KEY_BITS = 64  # of a number that is a key
MAX_ARGUMENTS = 16  # of a function that stands for a tensor
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


class Placeholder:
    """Stands for a class or function that is no part of a tensor, or for an object made by it."""

    __slots__ = ("attributes", "items", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name  # of the class or function, without its module
        self.items: dict[str, Any] = {}  # of an object that is a dict
        self.attributes: Any = None  # what the file says of its state, usually a dict


@dataclass(frozen=True)
class Pickled:
    """What one pickle holds.

    Attributes:
        value: of the pickle. Dicts have only keys that are text or were numbers, and sets are None.
        storages: all storages that its tensors are views of, by key.
    """

    value: Any
    storages: Mapping[str, StoredStorage]


def read_pickle(stream: io.BytesIO) -> Pickled:
    """Read the pickle that starts at the stream's position, to its end.

    Raises:
        MALFORMED: it is damaged or too long.
    """
    machine = _Machine()
    return Pickled(machine.run(stream), machine.storages)


@dataclass
class _Machine:
    """The pickle machine: a stack, marks on it, and a memo of values that are used again."""

    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    storages: dict[str, StoredStorage] = field(default_factory=dict)

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
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)

    def make_set(self, _: Any) -> None:
        self.pop_marked()
        self.stack.append(None)

    def set_items(self, items: Sequence[Any]) -> None:
        _set_items(self.stack[-1], items)

    def name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise TypeError("it has a name that is no text")
        self.stack.append(_named(module, name))

    def call(self, function: Any, arguments: Any, *_keywords: Any) -> None:
        self.stack.append(_call(function, arguments))

    def call_named(self, names: str) -> None:
        arguments = tuple(self.pop_marked())
        self.name(*names.split(" ", 1))
        self.call(self.stack.pop(), arguments)

    def call_marked(self, _: Any) -> None:
        function, *arguments = self.pop_marked()
        self.call(function, tuple(arguments))

    def build(self, state: Any) -> None:
        """Keep the state of an object as it is: no method that the file names is called."""
        made = self.stack[-1]
        if isinstance(made, Placeholder):
            made.attributes = state
        elif isinstance(made, ArrayType | PickledArray):
            made.build(state)

    def load_persistent(self, saved_id: Any) -> None:
        """The storage that ("storage", type, key, location, number of items) stands for.

        Files from before PyTorch 1.6 also have ("module", class, its source) for a class.
        """
        word, what, *more = saved_id
        if word == "module":
            self.stack.append(what)
            return
        key, _location, n_items, *view = more
        if word != "storage" or any(part is not None for part in view):
            raise ValueError("it has storages of an unknown form")
        if not isinstance(what, torch.dtype) or not isinstance(key, str):
            raise TypeError("it has storages of an unknown form")
        storage = self.storages[key] = StoredStorage(key, what, size_of(n_items))
        self.stack.append(storage)


def _call(function: Any, arguments: Any) -> Any:
    """Call one of the functions below; what is made by any other is a placeholder."""
    if isinstance(function, Placeholder):
        return Placeholder(function.name)
    if not isinstance(function, FunctionType) or not isinstance(arguments, tuple):
        raise TypeError("it calls what is no function")
    if len(arguments) > MAX_ARGUMENTS:
        raise ValueError("it calls a function with too much")
    return function(*arguments)


def _set_items(target: Any, items: Sequence[Any]) -> None:
    """Set keys that are text, or numbers as text; others could be slow to hash."""
    items_of = target.items if isinstance(target, Placeholder) else target
    if isinstance(items_of, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str):
                items_of[key] = value
            elif type(key) is int and key.bit_length() <= MAX_KEY_BITS:
                items_of[str(key)] = value


def _dict_of(items: Sequence[Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    _set_items(made, items)
    return made


# What stands for tensors. These functions are called with values from the file.


def _tensor(
    storage: Any,
    offset: Any,
    size: Any,
    strides: Any,
    _requires_grad: Any = None,
    _hooks: Any = None,
    metadata: Any = None,
) -> StoredTensor:
    return stored_tensor(storage, storage.dtype, offset, size, strides, bool(metadata))


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
    return stored_tensor(storage, dtype, offset, size, strides, bool(metadata))


def _first(value: Any, *_: Any) -> Any:
    """A parameter is its tensor, and a size the tuple that it is made of."""
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


def _unusable(word: str) -> Callable[..., StoredTensor]:
    """A function for tensors that hold no plain numbers."""

    def tensor(*_: Any) -> StoredTensor:
        return StoredTensor(type_name=word)

    return tensor


def _array(*_: Any) -> PickledArray:
    return PickledArray()


def _array_type(code: Any, *_: Any) -> ArrayType:
    return ArrayType(str(code))


def _array_of_buffer(data: Any, kind: Any, shape: Any, order: Any) -> StoredTensor:
    return array_in_memory(data, kind, shape, order == "F")


def _encoded(text: Any, encoding: Any = "") -> Any:
    """Bytes, which old pickles hold as text with a byte in each character."""
    is_bytes = isinstance(text, str) and encoding == "latin1"
    return text.encode("latin1") if is_bytes else None


_STORAGES: Mapping[str, torch.dtype] = {
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
_NAMES: Mapping[tuple[str, str], Any] = {
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    ("torch.storage", "UntypedStorage"): torch.uint8,
    ("torch.storage", "_UntypedStorage"): torch.uint8,
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_type,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch._tensor", "_rebuild_from_type_v2"): _rebuilt,
    ("torch._utils", "_rebuild_qtensor"): _unusable("quantised"),
    ("torch._utils", "_rebuild_sparse_tensor"): _unusable(SPARSE),
    ("torch._utils", "_rebuild_sparse_csr_tensor"): _unusable(SPARSE),
    ("torch._utils", "_rebuild_nested_tensor"): _unusable("nested"),
    ("torch._utils", "_rebuild_meta_tensor_no_storage"): _unusable(ON_META),
    ("torch._utils", "_rebuild_wrapper_subclass"): _unusable("a wrapped tensor"),
    ("torch.nn.parameter", "Parameter"): _unusable("without numbers"),
    ("numpy", "dtype"): _array_type,
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy.core.numeric", "_frombuffer"): _array_of_buffer,
    ("numpy._core.numeric", "_frombuffer"): _array_of_buffer,
    ("_codecs", "encode"): _encoded,
    ("collections", "OrderedDict"): _ordered_dict,
    ("torch", "Size"): _first,
}


def _named(module: str, name: str) -> Any:
    """What a name in a pickle stands for here."""
    if (known := _NAMES.get((module, name))) is not None:
        return known
    if module == "torch._utils":  # of tensors on devices that are not there, for example
        return _unusable("of an unknown kind")
    dtype = vars(torch).get(name) if module == "torch" else None
    return dtype if isinstance(dtype, torch.dtype) else Placeholder(name)


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
    "FROZENSET": _Machine.make_set,
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
    "GLOBAL": lambda machine, names: machine.name(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.pop_last(2)),
    "REDUCE": lambda machine, _: machine.call(*machine.pop_last(2)),
    "NEWOBJ": lambda machine, _: machine.call(*machine.pop_last(2)),
    "NEWOBJ_EX": lambda machine, _: machine.call(*machine.pop_last(3)),
    "INST": _Machine.call_named,
    "OBJ": _Machine.call_marked,
    "BUILD": lambda machine, _: machine.build(*machine.pop_last(1)),
    "BINPERSID": lambda machine, _: machine.load_persistent(*machine.pop_last(1)),
}
