"""Weights files: download them, and read them without executing code in them."""

from __future__ import annotations

import pickle
import warnings
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import safetensors.torch
import torch
from torch import Tensor

from atlas.errors import NetworkError

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "model_ema")
_PREFIXES = ("module.", "_orig_mod.", "model.")


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
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stem_hash = path.stem.rpartition("-")[2]
        torch.hub.download_url_to_file(url, str(path), hash_prefix=stem_hash)
    except (OSError, RuntimeError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise NetworkError(f"cannot download {name} ({reason}); {other_ways}") from error
    return path


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` file or of a PyTorch checkpoint, in float32.

    Wrappers (`state_dict`, `model`, ...) and prefixes (`module.`, ...) are removed. Only tensors
    and plain containers are unpickled; code in the file is refused, not run.

    Raises:
        NetworkError: the file is not a weights file, is damaged, or has code in it.
    """
    state = _unwrap(_read(path))
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise NetworkError(
            f"{path} has no tensors in it; save one with torch.save(model.state_dict(), FILE)"
        )
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return {key: _float32(value) for key, value in tensors.items()}


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            first_bytes = file.read(9)
    except OSError as error:
        raise NetworkError.unreadable(path, error) from error
    try:
        if first_bytes[8:] == b"{":
            return safetensors.torch.load_file(path)
        if first_bytes[:2] == b"PK" or first_bytes[:1] == b"\x80":
            with warnings.catch_warnings():  # the error message below is enough
                warnings.simplefilter("ignore")
                return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise NetworkError(
            f"{path} is damaged, or holds Python objects besides tensors, which are never "
            "executed; save the weights alone with torch.save(model.state_dict(), FILE)"
        ) from error
    except Exception as error:  # a damaged file can raise any exception, even IndexError
        raise NetworkError(
            f"{path} is truncated or damaged ({_first_line(error)}); copy or download it again"
        ) from error
    raise NetworkError(f"{path} is no weights file; give a .pth or .safetensors state dict")


def _unwrap(state: Any) -> dict[str, Any]:
    while isinstance(state, dict):
        inner = next((state[key] for key in _WRAPPERS if isinstance(state.get(key), dict)), None)
        if inner is None:
            return {str(key): value for key, value in state.items()}
        state = inner
    return {}


def _float32(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
