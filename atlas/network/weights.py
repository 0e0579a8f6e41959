"""Weights files: download them, and read them without executing code in them."""

from __future__ import annotations

import math
import os
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlparse

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from atlas.digest import MAX_WEIGHTS_BYTES
from atlas.errors import NetworkError
from atlas.files import is_regular, open_regular
from atlas.memory import is_out_of_memory
from atlas.network.arrays import PickledArray
from atlas.network.checkpoint import open_checkpoint
from atlas.network.foreign import (
    HEAD_BYTES,
    NO_TENSORS,
    ForeignFileError,
    about_contents,
    about_folder,
    about_foreign,
    about_part,
)
from atlas.network.several_files import Index, find_index
from atlas.network.stored import StoredStorage, StoredTensor, unusable_words
from atlas.network.unpickle import MALFORMED, Placeholder
from atlas.text import displayable

MAX_DEPTH = 20  # keys on the way to a tensor
MAX_PLACES = 4  # of one container
MAX_KEY_LENGTH = 1000  # of all keys on the way to a tensor
MAX_TENSORS = 100_000
_DAMAGE = (*MALFORMED, zipfile.BadZipFile, SafetensorError, RuntimeError, OSError)
# Other types of safetensors are no types of weights.
_SAFETENSORS_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
}
IN_MEMORY = Path("the state dict")  # stands for the path of a file in messages
_Way = tuple[str, ...]  # keys of the containers around something
_CONTAINERS = (dict, list, tuple, Placeholder)
# Where a module keeps its tensors and modules; these are no part of their names.
_MODULE_PARTS = ("_parameters", "_buffers", "_modules")


@dataclass(frozen=True)
class Weights:
    """Weights whose file, or files, are open.

    Attributes:
        path: of the file, or of the index of several.
        tensors: descriptions of its tensors. The key of one is the way to it: the keys of all
            containers around it and its own, joined with dots.
        is_script: whether it is an archive of TorchScript, whose code is left alone.
        made: what makes those tensors that the file has in parts.
    """

    path: Path
    tensors: Mapping[str, StoredTensor]
    is_script: bool
    _read: Callable[[str], Tensor]
    made: Mapping[str, Callable[[], Tensor]] = field(default_factory=dict)

    def read(self, key: str) -> Tensor:
        """The numbers of a tensor that can be used, in the type that they are stored in.

        Raises:
            NetworkError: they cannot be read.
        """
        with _explained(self.path):
            return self.made[key]() if key in self.made else self._read(key)

    def renamed(self, keys: Mapping[str, str]) -> Weights:
        """The same tensors, as far as they have new keys.

        Args:
            keys: those that the tensors have here, by the new ones.
        """
        tensors = {new: self.tensors[key] for new, key in keys.items()}
        made = {new: self.made[key] for new, key in keys.items() if key in self.made}
        return Weights(self.path, tensors, self.is_script, lambda new: self.read(keys[new]), made)


def download(url: str, other_ways: str) -> Path:
    """The path of a published weights file's local copy, downloaded if there is none yet.

    Args:
        url: address of the file.
        other_ways: what a user can do if the download fails, as the end of the error message.

    Raises:
        NetworkError: the file cannot be downloaded.
    """
    name = Path(urlparse(url).path).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / name
    if is_regular(path):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stem_hash = path.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(url, str(path), hash_prefix=stem_hash)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise NetworkError(f"cannot download {name} ({reason}); {other_ways}") from error
    return path


@contextmanager
def open_weights(path: Path) -> Iterator[Weights]:
    """A `.safetensors` file or a PyTorch checkpoint, or several, open while the context lasts.

    Nothing in a file is executed, and no numbers are read before they are asked for. Tensors are
    found in containers of any kind and depth, in whole modules too.

    Args:
        path: of the file, or of what stands for several (`several_files.py`).

    Raises:
        NetworkError: a file is something else, is damaged, or has no tensors in it.
    """
    with ExitStack() as files:
        if index := find_index(path):
            parts = [files.enter_context(_opened(part)) for part in index.parts]
            yield _joined(index, parts)
        else:
            with _explained(path):
                if about := about_part(path.name):
                    raise ForeignFileError(about)
            yield files.enter_context(_opened(path))


@contextmanager
def _opened(path: Path) -> Iterator[Weights]:
    try:
        file = open_regular(path, MAX_WEIGHTS_BYTES)
    except IsADirectoryError as error:
        with _explained(path):
            raise NetworkError(f"{path} {about_folder(path)}") from error
    except OSError as error:
        raise NetworkError.unreadable(path, error) from error
    with file:
        with _explained(path):
            weights = _open(path, file)
        yield weights


def _joined(index: Index, parts: Sequence[Weights]) -> Weights:
    """The tensors of several files; what is in more than one is taken from where the index says."""
    owners: dict[str, Weights] = {}
    for part in parts:
        for key in part.tensors:
            if index.file_names.get(key, part.path.name) == part.path.name:
                owners[key] = part
    return Weights(
        index.path,
        {key: part.tensors[key] for key, part in owners.items()},
        any(part.is_script for part in parts),
        lambda key: owners[key].read(key),
    )


def weights_in_memory(state: Mapping[str, Any]) -> Weights:
    """The tensors of a state dict, or of what a checkpoint has around it, as if from a file.

    Raises:
        NetworkError: there are none in it.
    """
    read: dict[str, Tensor] = {}
    tensors = _tensors_in(_described(state, read, MAX_DEPTH))
    if not tensors:
        raise NetworkError(f"{IN_MEMORY} {about_contents(_outer_keys(state)) or NO_TENSORS}")

    def numbers(key: str) -> Tensor:
        storage = tensors[key].storage
        assert storage
        return read[storage.key]

    return Weights(IN_MEMORY, tensors, is_script=False, _read=numbers)


def _described(value: Any, read: dict[str, Tensor], depth: int) -> Any:
    """Containers with descriptions in place of tensors, which are collected in `read`."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, Tensor):
        return _description(value.detach(), read)
    if isinstance(value, nn.Module):
        value = value.state_dict()
    if isinstance(value, Mapping) and depth:
        return {str(key): _described(each, read, depth - 1) for key, each in value.items()}
    if isinstance(value, list | tuple) and depth:
        return [_described(each, read, depth - 1) for each in value]
    return None


def _description(tensor: Tensor, read: dict[str, Tensor]) -> StoredTensor:
    shape = tuple(tensor.shape)
    if words := unusable_words(tensor):
        return StoredTensor(shape, words)
    key = str(len(read))
    read[key] = tensor
    name = str(tensor.dtype).removeprefix("torch.")
    return StoredTensor(shape, name, tensor.dtype, StoredStorage(key, tensor.dtype, tensor.numel()))


def _open(path: Path, file: BinaryIO) -> Weights:
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head[8:9] == b"{":
        return _open_safetensors(path)
    if head[:2] == b"PK" or head[:1] == b"\x80":
        checkpoint = open_checkpoint(file, os.fstat(file.fileno()).st_size)
        tensors = _tensors_in(checkpoint.content)
        if not tensors:
            about = about_contents(_outer_keys(checkpoint.content))
            raise ForeignFileError(about or checkpoint.about_empty)
        return Weights(
            path, tensors, checkpoint.is_script, lambda key: checkpoint.read(tensors[key])
        )
    raise ForeignFileError(about_foreign(head))


def _open_safetensors(path: Path) -> Weights:
    archive: Any = safe_open(path, framework="pt")  # it checks that all numbers are in the file
    tensors = {}
    for key in archive.keys():  # noqa: SIM118, it is no dict
        part = archive.get_slice(key)
        name = part.get_dtype()
        dtype = _SAFETENSORS_TYPES.get(name)
        shape = tuple(part.get_shape())
        storage = StoredStorage(key, dtype, math.prod(shape)) if dtype else None
        type_name = str(dtype).removeprefix("torch.") if dtype else name.lower()
        tensors[key] = StoredTensor(shape, type_name, dtype, storage)
    if not tensors:
        raise ForeignFileError(NO_TENSORS)

    return Weights(path, tensors, is_script=False, _read=archive.get_tensor)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns what a damaged or foreign file causes into one line."""
    try:
        yield
    except ForeignFileError as error:
        raise NetworkError(f"{path} {error}") from error
    except _DAMAGE as error:
        if is_out_of_memory(error):
            raise
        raise NetworkError(
            f"{path} is truncated or damaged ({_first_line(error)}); copy or download it again"
        ) from error


def _tensors_in(content: Any) -> dict[str, StoredTensor]:
    """All tensors in nested containers, the least nested first, by the ways to them.

    A container that is in several places is entered in at most `MAX_PLACES` of them, since one may
    hold itself, or the same one twice, and so on for many levels.
    """
    found: dict[str, StoredTensor] = {}
    n_entered: Counter[int] = Counter()
    waiting: deque[tuple[_Way, Any]] = deque([((), content)])
    while waiting:
        way, container = waiting.popleft()
        n_entered[id(container)] += 1
        if n_entered[id(container)] > MAX_PLACES:
            continue
        for key, stored in _items_of(container):
            if key == "state" and isinstance(container, dict) and "param_groups" in container:
                continue  # an optimiser's
            item = stored.tensor if isinstance(stored, PickledArray) else stored
            if isinstance(item, StoredTensor):
                if len(found) < MAX_TENSORS and (path := _path(*way, key)):
                    found.setdefault(path, item)
            elif isinstance(item, _CONTAINERS) and len(way) < MAX_DEPTH:
                waiting.append(((*way, key) if key else way, item))
    return found


def _items_of(container: Any) -> Iterable[tuple[str, Any]]:
    """What is in a container, by keys; the parts of a module have none."""
    if isinstance(container, dict):
        yield from container.items()
    elif isinstance(container, Placeholder):
        yield from container.items.items()
        yield from _attributes(container.attributes)
    elif isinstance(container, list | tuple):
        yield from ((str(index), item) for index, item in enumerate(container))


def _outer_keys(content: Any) -> list[str]:
    """The keys of a container, and those one level further in."""
    outer = list(_items_of(content))
    return [key for key, _ in outer] + [key for _, item in outer for key, _ in _items_of(item)]


def _attributes(state: Any) -> Iterable[tuple[str, Any]]:
    """The attributes of an object, from its state: a dict, or several in a tuple."""
    for part in state if isinstance(state, tuple) else (state,):
        for name, value in part.items() if isinstance(part, dict) else ():
            yield "" if name in _MODULE_PARTS else name, value


def _path(*keys: str) -> str:
    """Keys joined with dots; empty if that would be too long for a name."""
    return ".".join(keys) if sum(map(len, keys)) < MAX_KEY_LENGTH else ""


def _first_line(error: BaseException) -> str:
    lines = displayable(str(error), 120)
    return lines or type(error).__name__
