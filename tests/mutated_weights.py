"""Weights files as an attacker or an accident makes them, from a seed: structure, not only bytes.

    python tests/mutated_weights.py [N]

loads N (10,000) of them into a tiny network and says what became of them. Each must load, or be
refused in one line, within seconds and with little memory.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import pickle
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from atlas.asked import AtlasSpec
from atlas.errors import NetworkError
from atlas.families.family import Family, PublishedWeights
from atlas.labels import ClassLabels
from atlas.network.load import load_network
from atlas.units import Preprocessing

LIMIT_S = 10  # for one file
SLOW_S = 2  # files that take longer are named
LIMIT_MB = 1000  # of memory, above what was used before
HUGE = 1 << 33


class Tiny(nn.Module):
    """Two convolutions with BatchNorm, and a classifier."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 5, 3, padding=1)
        self.fc = nn.Linear(5, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv2(self.bn1(self.conv1(images)).relu()).relu()
        return self.fc(maps.mean((2, 3)))


def tiny_family(file: Path) -> Family:
    """The family of the tiny network, with published weights in a file."""
    preprocessing = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    return Family(
        name="tiny",
        title="TinyNet",
        about="For tests.",
        build=Tiny,
        classifier="fc",
        weights={"tiny": PublishedWeights(lambda: preprocessing, file=file)},
        default_weights="tiny",
        labels=lambda: ClassLabels(("a", "b", "c"), "a list"),
    )


def state_of(n_classes: int = 3) -> dict[str, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return dict(Tiny(n_classes).state_dict())


class Code:
    """Runs something when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/atlas-weights-ran",)


class Opaque:
    """An object of a class that nobody else has."""


# Tensors in place of a tensor


def strange_tensor(tensor: Tensor, rng: random.Random) -> object:
    numbers = tensor.float()
    flat = numbers.flatten()
    choices: list[Callable[[], object]] = [
        lambda: numbers.to("meta"),
        numbers.to_sparse,
        lambda: numbers.reshape(1, -1).to_sparse_csr(),
        lambda: torch.quantize_per_tensor(numbers, 0.1, 0, torch.qint8),
        lambda: torch.quantize_per_tensor(numbers, 0.1, 3, torch.quint8),
        lambda: torch.nested.nested_tensor([flat, flat]),
        lambda: numbers.to(torch.complex64),
        lambda: numbers.to(torch.complex64).conj(),
        lambda: numbers.to(torch.complex64).imag,
        lambda: numbers.to(rng.choice([torch.int8, torch.uint8, torch.int64, torch.bool])),
        lambda: numbers.to(rng.choice([torch.float16, torch.bfloat16, torch.float64])),
        lambda: numbers.to(torch.float8_e4m3fn),
        lambda: numbers * float(rng.choice(["nan", "inf", "-inf", "1e38"])),
        lambda: -numbers.abs() - 1,
        lambda: numbers.double() * 1e300,
        lambda: torch.zeros(()).expand(tensor.shape),
        lambda: torch.zeros(1).expand(HUGE),
        lambda: torch.zeros(1, 5).expand(400_000, 5),
        lambda: torch.zeros(0, 5),
        lambda: torch.zeros(5, 0),
        lambda: torch.empty(0),
        lambda: numbers.unsqueeze(0),
        lambda: flat[: max(1, len(flat) // 2)],
        lambda: numbers.transpose(0, -1) if numbers.ndim else numbers,
        lambda: flat[::2],
        lambda: torch.zeros([1] * rng.randrange(70)),
        lambda: nn.Parameter(numbers),
        lambda: None,
        lambda: rng.choice(["text", 7, 1.5, b"bytes", [], {}, (), True, 10**400]),
        lambda: [numbers, numbers],
        lambda: {"weight": numbers},
        numbers.numpy,
        numbers.untyped_storage,
        Code,
        Opaque,
    ]
    return rng.choice(choices)()


# Containers around and inside the state dict


def itself(state: dict[object, object]) -> object:
    state["state_dict"] = state
    return state


def deep(
    state: dict[object, object], rng: random.Random, step: Callable[[object], object]
) -> object:
    value: object = state
    for _ in range(rng.choice([3, 50, 2000, 10_000])):
        value = step(value)
    return value


def whole(state: dict[object, object], rng: random.Random) -> object:
    """A module with strange things among its parameters."""
    model = nn.Sequential(Tiny(3))
    for key, value in state.items():
        if rng.random() < 0.2:
            model[0]._parameters[str(key).replace(".", rng.choice([".", "_"]))] = value
    return rng.choice([model, {"model": model}])


def strange_container(state: dict[object, object], rng: random.Random) -> object:
    wrapper = rng.choice(["state_dict", "model", "net", "model_ema", "model_state_dict"])
    choices: list[Callable[[], object]] = [
        lambda: itself(state),
        lambda: {wrapper: state, "epoch": 3},
        lambda: deep(state, rng, lambda value: {wrapper: value}),
        lambda: deep(state, rng, lambda value: [value]),
        lambda: deep(state, rng, lambda value: (value,)),
        lambda: {**state, (1, 2): 3, 5: torch.zeros(2), None: None, 1.5: 1, b"k": 2},
        lambda: {**state, "\ud800\x1b[31m\u202e\n" + "k" * rng.choice([1, 10_000]): torch.ones(1)},
        lambda: {f"module.{key}": value for key, value in state.items()},
        lambda: {f"{key}\0": value for key, value in state.items()},
        lambda: OrderedDict(state),
        lambda: list(state.items()),
        lambda: set(map(str, state)),
        lambda: {wrapper: state, "optimizer": {"state": {0: {"m": torch.ones(3)}}, "lr": 1e-3}},
        lambda: {**state, "code": Code()},
        lambda: {**state, "namespace": argparse.Namespace(lr=1, more=state)},
        lambda: {"args": argparse.Namespace(d=Path("d")), "epoch": 3, "network": state},
        lambda: {"student": state, "teacher": dict(state)},
        lambda: {f"backbone.{key}": value for key, value in state.items()},
        lambda: whole(state, rng),
        lambda: {"a." * rng.choice([3, 400]) + str(key): value for key, value in state.items()},
        lambda: {str(key).replace("fc", "head.fc"): value for key, value in state.items()},
        lambda: {**state, **{f"more{nth}.weight": torch.ones(2, 5) for nth in range(300)}},
        lambda: {key: value for key, value in state.items() if rng.random() < 0.7},
        lambda: {**state, **{f"extra{nth}": torch.ones(1) for nth in range(rng.randrange(300))}},
        lambda: next(iter(state.values()), None),
        lambda: {wrapper: {wrapper: {}}},
        lambda: {},
    ]
    return rng.choice(choices)()


# Files


def saved(content: object, rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    is_zip = rng.random() < 0.7
    protocol = rng.choice([2, 2, 2, 3, 4, 5])
    old = sys.getrecursionlimit()
    sys.setrecursionlimit(60_000)
    try:
        torch.save(content, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
    except (NotImplementedError, RuntimeError, RecursionError, TypeError, ValueError):
        return pickle.dumps(repr(type(content)), 2)  # PyTorch itself cannot save it
    finally:
        sys.setrecursionlimit(old)
    return buffer.getvalue()


def repacked(data: bytes, rng: random.Random) -> bytes:
    """The archive written anew, with something wrong with its records."""
    if data[:2] != b"PK":
        return data
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = [(record.filename, archive.read(record)) for record in archive.infolist()]
    how = rng.randrange(9)
    victim = rng.randrange(len(records))
    name, content = records[victim]
    method = zipfile.ZIP_STORED
    if how == 0:
        method = zipfile.ZIP_DEFLATED
    elif how == 1:
        records[victim] = (name, content[: len(content) // 2])
    elif how == 2:
        del records[victim]
    elif how == 3:
        records[victim] = (
            rng.choice(["../../x", "/etc/x", "a/data.pkl", "x" * 5000, "\u202e"]),
            content,
        )
    elif how == 4:
        records[victim] = (name, content + bytes(2000))
    elif how == 5:  # 200 MB in 200 kB
        method = zipfile.ZIP_DEFLATED
        records[victim] = (name, bytes(20_000_000))
    elif how == 6:
        records.append((name, b"again"))
    elif how == 7:
        records += [(f"archive/data/{nth}x", b"") for nth in range(3000)]
    else:
        records = [(each.replace("archive", "other"), part) for each, part in records]
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", method) as archive:
        warnings.simplefilter("ignore")
        for each, part in records:
            archive.writestr(zipfile.ZipInfo(each), part, method)
    return out.getvalue()


def repickled(data: bytes, rng: random.Random) -> bytes:
    """The archive with changes inside its pickle, such as sizes that are far larger."""
    if data[:2] != b"PK":
        return with_other_bytes(data, rng)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = {record.filename: archive.read(record) for record in archive.infolist()}
    (name,) = (each for each in records if each.endswith("/data.pkl"))
    pickled = bytearray(records[name])
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(len(pickled))
        how = rng.randrange(6)
        if how == 0:  # a small number becomes a large one
            spots = [i for i in range(len(pickled) - 1) if pickled[i] == ord("K")]
            if spots:
                spot = rng.choice(spots)
                number = rng.choice([2**31 - 1, -1, 100_000, 400_000])
                pickled[spot : spot + 2] = b"J" + struct.pack("<i", number)
        elif how == 1:  # or one that is larger still
            spots = [i for i in range(len(pickled) - 1) if pickled[i] == ord("K")]
            if spots:
                spot = rng.choice(spots)
                pickled[spot : spot + 2] = b"\x8a\x08" + struct.pack(
                    "<q", rng.choice([HUGE, -HUGE])
                )
        elif how == 2:
            pickled[at] = rng.randrange(256)
        elif how == 3:
            del pickled[at : at + rng.randrange(1, 9)]
        elif how == 4:
            pickled[at:at] = rng.choice(
                [
                    b"}",
                    b"]",
                    b"(",
                    b"t",
                    b"R",
                    b"2",
                    b"0",
                    b"r\xff\xff\xff\xff",
                    b"\x8b\xff\xff\xff\x7f",
                    b"\x8e\xff\xff\xff\xff\xff\xff\xff\x00",
                    b"c__builtin__\neval\n",
                    b"\x85" * 20_000,
                    b"I" + b"9" * 5000 + b"\n",
                    b"cos\nsystem\n",
                    b"Q",
                    b"b",
                    b"\x81",
                    b"s",
                    b"u",
                    b"e",
                ]
            )
        else:
            pickled[at:at] = pickled[at : at + rng.randrange(1, 200)]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for each, part in records.items():
            archive.writestr(zipfile.ZipInfo(each), bytes(pickled) if each == name else part)
    return out.getvalue()


def with_other_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 3, 30])):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def safe(state: dict[str, Tensor], rng: random.Random) -> bytes:
    """A `.safetensors` file, its header changed."""
    data = safetensors.torch.save({key: value.contiguous() for key, value in state.items()})
    (n_header,) = struct.unpack("<Q", data[:8])
    header, numbers = data[8 : 8 + n_header], data[8 + n_header :]
    changes: list[Callable[[], bytes]] = [
        lambda: header,
        lambda: header.replace(
            b"F32", rng.choice([b"I8", b"F16", b"C64", b"BOOL", b"F4", b"F8_E4M3"])
        ),
        lambda: header.replace(b"[4", rng.choice([b"[400000", b"[-1", b"[0", b"[1e9", b"[4,1"])),
        lambda: header.replace(b"[5", b"[" + b"9" * 5000),
        lambda: b'{"a":' + b"[" * 30_000,
        lambda: b'{"a":' * 30_000,
        lambda: header.replace(
            b"conv1.weight", rng.choice([b"\\ud800", b"\\u001b[31m", b"fc.bias"])
        ),
        lambda: with_other_bytes(header, rng),
        lambda: b"{}",
    ]
    header = rng.choice(changes)()
    length = rng.choice([len(header)] * 6 + [HUGE, 0, 2**64 - 1, len(header) + 9])
    return struct.pack("<Q", length) + header + numbers


def _is_checkpoint(data: bytes) -> bool:
    """Whether it is a whole archive with a pickle, which can be changed once more."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            return not archive.testzip() and sum(n.endswith("/data.pkl") for n in names) == 1
    except Exception:
        return False


def mutated_bytes(seed: int) -> bytes:
    """One weights file; the same for the same seed, but for addresses in the form before 1.6."""
    rng = random.Random(seed)
    state = state_of(rng.choice([1, 3, 3, 3, 7]))
    if rng.random() < 0.15:
        return with_other_bytes(safe(state, rng), rng) if rng.random() < 0.3 else safe(state, rng)
    content: object = dict(state)
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        key = rng.choice(list(state))
        try:
            content[key] = strange_tensor(state[key], rng)
        except (RuntimeError, NotImplementedError):
            content[key] = None
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        if isinstance(content, dict):
            content = strange_container(content, rng)
    data = saved(content, rng)
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        data = rng.choice([repacked, repickled, with_other_bytes, cut])(data, rng)
        if not _is_checkpoint(data):
            break
    return data


# What becomes of them


class TooLongError(Exception):
    """A file took longer than a reader may take."""


def _too_long(*_: object) -> None:
    raise TooLongError


def outcome(path: Path, family: Family) -> str:
    """ "loaded", or the message; an error if it is not one line, or took too long."""
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(LIMIT_S)
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # what is said of files that load
            load_network(AtlasSpec(weights=str(path)), family, [family])
    except NetworkError as error:
        message = str(error)
        assert "\n" not in message and len(message) < 1000, message
        return message
    finally:
        signal.alarm(0)
    return "loaded"


def used_mb() -> float:
    """The most memory that this process has used."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def main(n_files: int) -> int:
    """Try that many files; returns the number of faults."""
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    slowest_s = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.pth"
        torch.save(state_of(), path)
        family = tiny_family(path)
        outcome(path, family)
        mutated_bytes(0)
        before_mb = used_mb()
        for seed in range(n_files):
            path.write_bytes(mutated_bytes(seed))
            begun = time.perf_counter()
            try:
                found = outcome(path, family)
                kind = found if found == "loaded" else "refused in one line"
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                kind = f"FAULT {type(error).__name__}"
                print(f"seed {seed}: {type(error).__name__}: {str(error)[:200]!a}")
            counts[kind] += 1
            seconds = time.perf_counter() - begun
            if seconds > SLOW_S:
                print(f"seed {seed}: {seconds:.1f} s")
            slowest_s = max(slowest_s, seconds)
        more_mb = used_mb() - before_mb
    n_faults = sum(count for kind, count in counts.items() if kind.startswith("FAULT"))
    print(
        f"{n_files:,} files: {dict(counts)}; slowest {slowest_s:.2f} s; "
        f"at most {more_mb:,.0f} MB more memory, with that of making the files"
    )
    return n_faults


if __name__ == "__main__":
    sys.exit(min(1, main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)))
