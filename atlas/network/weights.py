"""Weights files: download them, and read them without executing code in them."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from atlas.digest import MAX_WEIGHTS_BYTES
from atlas.errors import NetworkError
from atlas.files import is_regular, open_regular
from atlas.memory import is_out_of_memory
from atlas.network.checkpoint import open_checkpoint
from atlas.network.unpickle import MALFORMED, HoldsCodeError, StoredStorage, StoredTensor
from atlas.text import displayable

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "model_ema")
_MAX_WRAPPERS = 8  # one inside the other
_PREFIXES = ("module.", "_orig_mod.", "model.")
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


@dataclass(frozen=True)
class Weights:
    """A weights file that is open.

    Attributes:
        path: of the file.
        tensors: descriptions of its tensors, by key without wrappers and prefixes.
    """

    path: Path
    tensors: Mapping[str, StoredTensor]
    _read: Callable[[StoredTensor], Tensor]

    def read(self, key: str) -> Tensor:
        """The numbers of a tensor that can be used, in the type that they are stored in.

        Raises:
            NetworkError: they cannot be read.
        """
        with _explained(self.path):
            return self._read(self.tensors[key])


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
    """A `.safetensors` file or a PyTorch checkpoint, open while the context lasts.

    Wrappers (`state_dict`, `model`, ...) and prefixes (`module.`, ...) are removed. Nothing in the
    file is executed, and no numbers are read before they are asked for.

    Raises:
        NetworkError: the file is not a weights file, is damaged, or has code in it.
    """
    try:
        file = open_regular(path, MAX_WEIGHTS_BYTES)
    except OSError as error:
        raise NetworkError.unreadable(path, error) from error
    with file:
        with _explained(path):
            content, read = _open(path, file)
        if content is None:
            raise NetworkError(f"{path} is no weights file; give a .pth or .safetensors state dict")
        yield Weights(path, _without_prefix(_tensors(content, path)), read)


def _open(path: Path, file: BinaryIO) -> tuple[Any, Callable[[StoredTensor], Tensor]]:
    """What is in the file, None if it is no weights file, and how its tensors are read."""
    first_bytes = file.read(9)
    file.seek(0)
    if first_bytes[8:] == b"{":
        return _open_safetensors(path)
    if first_bytes[:2] == b"PK" or first_bytes[:1] == b"\x80":
        checkpoint = open_checkpoint(file, os.fstat(file.fileno()).st_size)
        return checkpoint.content if checkpoint.content is not None else {}, checkpoint.read
    return None, _never


def _open_safetensors(path: Path) -> tuple[Any, Callable[[StoredTensor], Tensor]]:
    archive: Any = safe_open(path, framework="pt")  # it checks that all numbers are in the file
    content = {}
    for key in archive.keys():  # noqa: SIM118, it is no dict
        part = archive.get_slice(key)
        name = part.get_dtype()
        dtype = _SAFETENSORS_TYPES.get(name)
        shape = tuple(part.get_shape())
        storage = StoredStorage(key, dtype, math.prod(shape)) if dtype else None
        type_name = str(dtype).removeprefix("torch.") if dtype else name.lower()
        content[key] = StoredTensor(shape, type_name, dtype, storage)

    def read(tensor: StoredTensor) -> Tensor:
        assert tensor.storage
        return cast(Tensor, archive.get_tensor(tensor.storage.key))

    return content, read


def _never(_: StoredTensor) -> Tensor:
    raise AssertionError


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns what a damaged file causes into one line."""
    try:
        yield
    except HoldsCodeError as error:
        raise NetworkError(
            f"{path} is damaged, or holds Python objects besides tensors ({error}), which are "
            "never executed; save the weights alone with torch.save(model.state_dict(), FILE)"
        ) from error
    except _DAMAGE as error:
        if is_out_of_memory(error):
            raise
        raise NetworkError(
            f"{path} is truncated or damaged ({_first_line(error)}); copy or download it again"
        ) from error


def _tensors(content: Any, path: Path) -> dict[str, StoredTensor]:
    """The tensors in the innermost wrapper."""
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(content, dict):
            break
        wrapped = (content[key] for key in _WRAPPERS if isinstance(content.get(key), dict))
        inner = next(wrapped, None)
        if inner is None:
            break
        content = inner
    items = content.items() if isinstance(content, dict) else ()
    tensors = {key: value for key, value in items if isinstance(value, StoredTensor)}
    if not tensors:
        raise NetworkError(
            f"{path} has no tensors in it; save one with torch.save(model.state_dict(), FILE)"
        )
    return tensors


def _without_prefix(tensors: dict[str, StoredTensor]) -> dict[str, StoredTensor]:
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def _first_line(error: BaseException) -> str:
    lines = displayable(str(error), 120)
    return lines or type(error).__name__
