"""Files that are given as weights but are something else: what each is, and the way on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from atlas.text import displayable

HEAD_BYTES = 1024  # of a file, which tell what it is
STATE_DICT = "torch.save(model.state_dict(), FILE)"
_CONVERT = f"load it where it was made, and save the network as PyTorch has it with {STATE_DICT}"
_UNPACK = "unpack it and give the .pth or .safetensors file in it"
_DOWNLOAD = "download it again"
# By what a file has at an offset. Sources: the formats' specifications, and file(1).
_MAGIC: Sequence[tuple[int, bytes, str]] = [
    (0, b"version https://git-lfs", "is a Git LFS pointer, not the file; run `git lfs pull`"),
    (0, b"\x89HDF\r\n\x1a\n", f"is an HDF5 file, as Keras writes them; {_CONVERT}"),
    (0, b"\x93NUMPY", f"is an array of NumPy; {_CONVERT}"),
    (4, b"TFL3", f"is a network of TensorFlow Lite; {_CONVERT}"),
    (0, b"GGUF", f"is a GGUF file, as llama.cpp reads them; {_CONVERT}"),
    (0, b"\x1f\x8b", f"is packed with gzip; {_UNPACK}"),
    (0, b"BZh", f"is packed with bzip2; {_UNPACK}"),
    (0, b"\xfd7zXZ\0", f"is packed with xz; {_UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"is packed with zstd; {_UNPACK}"),
    (0, b"7z\xbc\xaf\x27\x1c", f"is a 7z archive; {_UNPACK}"),
    (0, b"Rar!", f"is a RAR archive; {_UNPACK}"),
    (257, b"ustar", f"is a tar archive; {_UNPACK}"),
    (0, b"\x89PNG", "is an image; give a .pth or .safetensors state dict"),
    (0, b"\xff\xd8\xff", "is an image; give a .pth or .safetensors state dict"),
    (0, b"%PDF", "is a PDF; give a .pth or .safetensors state dict"),
]
_WEB_PAGE = re.compile(rb"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
# Fields of an ONNX model, as protocol buffers number them: its version, then the producer's name,
# the domain or the graph. Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_ONNX = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x3a\x42]", re.DOTALL)
# By what the names of an archive's records end with.
_ARCHIVES: Sequence[tuple[str, str]] = [
    (
        "/archive_format",
        "is an archive of torch.export; save the state dict in it with "
        "torch.save(torch.export.load(FILE).state_dict, NEW_FILE)",
    ),
    (".weights.h5", f"is an archive of Keras; {_CONVERT}"),
    ("saved_model.pb", f"is a zip archive with a network of TensorFlow in it; {_CONVERT}"),
    (".npy", f"is an archive of NumPy arrays (.npz); {_CONVERT}"),
]
_WEIGHTS_ENDINGS = (".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".pkl", ".tar", ".th")
PLAIN_PICKLE = f"is a pickle, but none of torch.save; {_CONVERT}"
NO_TENSORS = f"has no tensors in it; save a network's with {STATE_DICT}"
_NOTHING = "is no weights file; give a .pth or .safetensors state dict"


class ForeignFileError(ValueError):
    """A file that is no weights file. Its text says what it is, and the way on."""


def about_foreign(head: bytes) -> str:
    """What a file is that begins so and is no weights file, and the way on."""
    if not head:
        return f"is empty; {_DOWNLOAD}"
    if not head.strip(b"\0"):
        return f"begins with nothing but zeros, as a broken download does; {_DOWNLOAD}"
    for offset, magic, text in _MAGIC:
        if head[offset:].startswith(magic):
            return text
    if _WEB_PAGE.match(head):
        return "is a web page, not the file it links to; download the file itself"
    if b'"weight_map"' in head:
        return "is the index of weights in several files; merge them into one .safetensors file"
    if _ONNX.match(head):
        return f"is an ONNX model; {_CONVERT}"
    return _NOTHING


def about_archive(names: Sequence[str]) -> str:
    """What a zip archive is that torch.save did not write, and the way on."""
    for ending, text in _ARCHIVES:
        if any(name.endswith(ending) for name in names):
            return text
    files = [name for name in names if not name.endswith("/")]
    inside = [name for name in files if name.lower().endswith(_WEIGHTS_ENDINGS)]
    if inside:
        return f"is a zip archive that holds {_few(inside)}; unpack it and give that file"
    return f"is a zip archive of something else ({_few(files) or 'nothing'}); {_UNPACK}"


def about_folder(path: Path) -> str:
    """What a folder is that was given as weights, and the way on."""
    names = sorted(entry.name for entry in path.iterdir())
    if "saved_model.pb" in names:
        return f"is a network of TensorFlow; {_CONVERT}"
    if ".metadata" in names:
        return (
            "is a checkpoint in several files; join them with `python -m "
            "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE`"
        )
    if inside := [name for name in names if name.lower().endswith(_WEIGHTS_ENDINGS)]:
        return f"is a folder; give a file in it, such as {_few(inside)}"
    return "is a folder; give a .pth or .safetensors file"


def about_name(name: str) -> str:
    """What a name is that is given as weights and is no file here; empty if nobody knows."""
    if re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
        return "is an address; download the file, and give its path"
    if re.match(r"(hf[-_]hub|hf|timm|torchhub|local-dir):", name, re.IGNORECASE):
        return (
            "is the name of a network on a hub; download its .safetensors or .bin file, and give "
            "its path"
        )
    if enum := re.fullmatch(r"(\w+)_Weights\.(\w+)", name, re.ASCII):
        model, weights = enum[1].lower(), enum[2]
        return f"are weights of another network; use --model {model} --weights {weights}"
    return ""


def about_contents(keys: Sequence[str]) -> str:
    """What a checkpoint holds that has no network's tensors; empty if nobody knows.

    Args:
        keys: its keys, those inside of others with dots.
    """
    if any("lora_" in key for key in keys):
        return (
            "has the weights of a LoRA adapter, which only change those of a network; merge them "
            f"into the network, then save it with {STATE_DICT}"
        )
    if {"state", "param_groups"} <= {key.rpartition(".")[2] for key in keys}:
        return f"has the state of an optimiser, not of a network; save that with {STATE_DICT}"
    return ""


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(displayable(PurePosixPath(name).name, 60) for name in names[:3]) + more
