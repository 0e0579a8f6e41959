"""The reader of checkpoints agrees with PyTorch's, and lets objects beside the tensors lie."""

from __future__ import annotations

import argparse
import collections
import enum
import functools
import io
import pathlib
import pickle
import types
import warnings
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from atlas.network.unpickle import MALFORMED, Placeholder, read_pickle
from atlas.network.weights import open_weights

BASE = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
TYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn),
    *(torch.complex64, torch.complex128, torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint8, torch.bool, torch.uint16),
)
NEW_TYPES = (torch.float8_e4m3fn, torch.uint16)
TENSORS: dict[str, dict[str, Tensor]] = {
    "types": {str(dtype): BASE.to(dtype) for dtype in TYPES},
    "views": {
        "transposed": BASE.transpose(0, 2),
        "every second": BASE[:, :, ::2],
        "from the middle": BASE.flatten()[5:17],
        "narrow": BASE.narrow(2, 1, 2),
        "permuted": BASE.permute(2, 0, 1),
        "channels last": torch.rand(1, 3, 4, 4).to(memory_format=torch.channels_last),
    },
    "shared": {"whole": BASE, "row": BASE[0], "again": BASE},
    "shapes": {
        "a number": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "ones": torch.ones(1, 1, 1),
        "six": torch.rand(1, 2, 1, 3, 1, 2),
    },
    "parameters": {"p": nn.Parameter(BASE.clone()), "frozen": nn.Parameter(BASE + 1, False)},
}


class Colour(enum.Enum):
    RED = 1


class Settings(dict):
    """A dict with attributes, as many configurations are."""


def assert_as_pytorch_reads(path: Path, protocol: int = 2) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its restricted reader is made for protocol 2
        truth = torch.load(path, weights_only=protocol < 4)
    with open_weights(path) as weights:
        assert list(weights.tensors) == list(truth)
        for key, tensor in truth.items():
            read = weights.read(key)
            assert (read.dtype, read.shape) == (tensor.dtype, tensor.shape), key
            assert torch.equal(as_bytes(read), as_bytes(tensor)), key


def as_bytes(tensor: Tensor) -> Tensor:
    """Numbers as bytes, since those of some types cannot be compared."""
    packed = tensor.detach().clone(memory_format=torch.contiguous_format)
    return packed.reshape(-1).view(torch.uint8)


@pytest.mark.parametrize("tensors", TENSORS.values(), ids=TENSORS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before 1.6"])
def test_tensors_are_those_that_pytorch_reads(tmp_path, tensors, protocol, is_zip):
    path = tmp_path / "a.pth"
    if not is_zip:  # PyTorch cannot read what it writes of these in the old format
        tensors = {key: t for key, t in tensors.items() if t.dtype not in NEW_TYPES}
    torch.save(tensors, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
    assert_as_pytorch_reads(path, protocol)


@pytest.mark.parametrize("seed", range(30))
def test_random_views_of_shared_storages_are_those_that_pytorch_reads(tmp_path, seed):
    generator = np.random.default_rng(seed)
    storages = [torch.from_numpy(generator.normal(size=60)).float() for _ in range(3)]
    tensors = collections.OrderedDict()
    for index in range(20):
        shape = tuple(int(n) for n in generator.integers(1, 4, size=generator.integers(0, 4)))
        strides = [1]
        for size in shape[:0:-1]:
            strides.insert(0, strides[0] * size + int(generator.integers(0, 2)))
        strides = strides[: len(shape)] if shape else []
        base = storages[generator.integers(3)]
        view = torch.as_strided(base, shape, strides, int(generator.integers(0, 8)))
        tensors[f"t{index}"] = view.transpose(0, -1) if shape and seed % 2 else view
    torch.save(tensors, tmp_path / "a.pth", _use_new_zipfile_serialization=seed % 3 > 0)
    assert_as_pytorch_reads(tmp_path / "a.pth")


BESIDE = {
    "a Namespace": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("x")),
    "a path": pathlib.Path("runs") / "1",
    "a scalar of NumPy": np.float64(0.76),
    "an array of NumPy": np.arange(6).reshape(2, 3),
    "an enum": Colour.RED,
    "a function": np.mean,
    "a partial": functools.partial(int, base=2),
    "a class": nn.Conv2d,
    "a module": nn.ReLU(),
    "a defaultdict": collections.defaultdict(list, {"a": [1]}),
    "a counter": collections.Counter("abca"),
    "a dict with attributes": Settings(a=1),
    "a namespace": types.SimpleNamespace(a=[1, {2}]),
    "a set": {1, 2},
    "a frozenset": frozenset("ab"),
    "a complex number": 1 + 2j,
    "bytes": b"bytes",
    "a bytearray": bytearray(b"bytes"),
    "a device": torch.device("cuda:1"),
    "a dtype": torch.bfloat16,
    "a size": torch.Size([1, 2]),
    "a slice": slice(1, 2),
    "a range": range(3),
    "a large number": 10**400,
    "an optimiser": torch.optim.SGD([nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9),
}


@pytest.mark.parametrize("thing", BESIDE.values(), ids=BESIDE)
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before 1.6"])
def test_objects_beside_the_tensors_are_let_lie(tmp_path, thing, protocol, is_zip):
    content = {"before": thing, "state_dict": {"a": BASE, "thing": thing, "b": BASE + 1}}
    path = tmp_path / "a.pth"
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
    with open_weights(path) as weights:
        assert torch.equal(weights.read("state_dict.a"), BASE)
        assert torch.equal(weights.read("state_dict.b"), BASE + 1)


def test_tensors_inside_of_objects_are_found_by_their_attributes(tmp_path):
    thing = types.SimpleNamespace(ema=Settings({"conv.weight": BASE}))
    thing.ema.best = BASE + 1
    torch.save({"trainer": thing, "net": nn.Sequential(nn.Linear(2, 3))}, tmp_path / "a.pth")
    with open_weights(tmp_path / "a.pth") as weights:
        assert set(weights.tensors) == {
            *("trainer.ema.conv.weight", "trainer.ema.best", "net.0.weight", "net.0.bias")
        }


class Trap:
    """Would do something at every step of being unpickled."""

    touched: ClassVar[list[str]] = []

    def __new__(cls, *_: object) -> Trap:
        cls.touched.append("new")
        return super().__new__(cls)

    def __reduce_ex__(self, _: object) -> tuple[object, ...]:
        return Trap, (1,), {"a": BASE}, iter([1]), iter([("k", 2)])

    def __setstate__(self, _: object) -> None:
        self.touched.append("state")

    def append(self, _: object) -> None:
        self.touched.append("append")

    def extend(self, _: object) -> None:
        self.touched.append("extend")

    def __setitem__(self, *_: object) -> None:
        self.touched.append("item")


def test_nothing_of_an_object_is_called(tmp_path):
    torch.save({"trap": Trap()}, tmp_path / "a.pth")
    Trap.touched.clear()
    with open_weights(tmp_path / "a.pth") as weights:
        assert list(weights.tensors) == ["trap.a"]
    assert Trap.touched == []
    with (tmp_path / "a.pth").open("rb") as file:  # so would PyTorch's own reader
        torch.load(file, weights_only=False)
    assert {"new", "state", "item"} <= set(Trap.touched)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_names_that_cannot_be_imported_are_placeholders(protocol):
    data = pickle.dumps([Colour.RED, argparse.Namespace(a=1)], protocol)
    data = data.replace(b"argparse", b"argparsf")
    first, second = read_pickle(io.BytesIO(data)).value
    assert isinstance(first, Placeholder) and isinstance(second, Placeholder)
    assert second.attributes == {"a": 1}


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02i.",  # INST without its mark
        b"\x80\x02(o.",  # OBJ of nothing
        b"\x80\x02K\x01)R.",  # a number called
        b"\x80\x02cos\nsystem\nQ.",  # a function as the id of a storage
        b"\x80\x02}K\x01b",  # no end
        b"\x80\x02\x82\x01.",  # a code from a registry
        b"\x80\x02K\x01K\x02\x93.",  # names that are numbers
    ],
)
def test_programs_that_make_no_sense_are_malformed(data):
    with pytest.raises(MALFORMED):
        read_pickle(io.BytesIO(data))


def test_many_places_of_one_container_take_no_time(tmp_path):
    """A list of the same list ten times, twenty levels deep: 10^20 ways to one tensor."""
    value: object = {"a": BASE}
    for _ in range(20):
        value = [value] * 10
    torch.save(value, tmp_path / "a.pth")
    with open_weights(tmp_path / "a.pth") as weights:
        assert 1 <= len(weights.tensors) < 100
