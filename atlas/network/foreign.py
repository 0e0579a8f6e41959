"""Files that are given as weights but are something else: what each is, and the way on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from atlas.text import displayable

HEAD_BYTES = 1024  # of a file, which tell what it is
STATE_DICT = "torch.save(model.state_dict(), FILE)"
ARRAY_SUFFIX = ".npy"  # of the arrays in an archive
PACKED_ARRAYS = (
    "is a compressed archive of NumPy arrays (.npz); save it again with numpy.savez(NEW_FILE, "
    "**numpy.load(FILE))"
)
_CONVERT = f"load it where it was made, and save the network as PyTorch has it with {STATE_DICT}"
_UNPACK = "unpack it and give the .pth or .safetensors file in it"
_DOWNLOAD = "download the file itself again"
_MERGE = (
    "put their index (.index.json) beside them, or the tensors of all of them into one dict, and "
    "save it with torch.save(DICT, NEW_FILE)"
)
# As Hugging Face's libraries name the parts: model-00001-of-00002.safetensors
_PART = re.compile(r".*-\d{5}-of-(?P<n_parts>\d{5})\.\w+", re.ASCII)
_GIVE = "give a .pth or .safetensors state dict"
# By how a file begins. Sources: the formats' specifications, and file(1). An ONNX model begins with
# its version, then the producer's name, the domain or the graph:
# https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
_BEGINNINGS: Sequence[tuple[bytes, str]] = [
    (rb"\Z", f"is empty; {_DOWNLOAD}"),
    (rb"\0+\Z", f"begins with nothing but zeros, as a broken download does; {_DOWNLOAD}"),
    (rb"version https://git-lfs", "is a Git LFS pointer, not the file; run `git lfs pull`"),
    (rb"\s*<(?i:!doctype|html|head|body)", f"is a web page, not the file it links to; {_DOWNLOAD}"),
    (rb"\s*<\?xml", f"is an XML document, perhaps a server's error message; {_DOWNLOAD}"),
    (rb"\x89HDF\r\n\x1a\n", f"is an HDF5 file, as Keras writes them; {_CONVERT}"),
    (rb"\x93NUMPY", f"is an array of NumPy; {_CONVERT}"),
    (rb".{4}TFL3", f"is a network of TensorFlow Lite; {_CONVERT}"),
    (rb"\x08[\x01-\x20][\x12\x1a\x3a\x42]", f"is an ONNX model; {_CONVERT}"),
    (rb"GGUF", f"is a GGUF file, as llama.cpp reads them; {_CONVERT}"),
    (rb"\x1f\x8b", f"is packed with gzip; {_UNPACK}"),
    (rb"BZh", f"is packed with bzip2; {_UNPACK}"),
    (rb"\xfd7zXZ\0", f"is packed with xz; {_UNPACK}"),
    (rb"\x28\xb5\x2f\xfd", f"is packed with zstd; {_UNPACK}"),
    (rb"7z\xbc\xaf\x27\x1c", f"is a 7z archive; {_UNPACK}"),
    (rb"Rar!", f"is a RAR archive; {_UNPACK}"),
    (rb".{257}ustar", f"is a tar archive; {_UNPACK}"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF.{4}WEBP", f"is an image; {_GIVE}"),
]
# By what the names of an archive's records end with.
_ARCHIVES: Sequence[tuple[str, str]] = [
    (
        "/archive_format",
        "is an archive of torch.export; save the state dict in it with "
        "torch.save(torch.export.load(FILE).state_dict, NEW_FILE)",
    ),
    (".weights.h5", f"is an archive of Keras; {_CONVERT}"),
    ("saved_model.pb", f"is a zip archive with a network of TensorFlow in it; {_CONVERT}"),
    (ARRAY_SUFFIX, f"is an archive of NumPy arrays (.npz) that are no plain numbers; {_CONVERT}"),
]
_WEIGHTS_ENDINGS = (".pth", ".pt", ".safetensors", ".bin", ".ckpt", ".pkl", ".tar", ".th")
PLAIN_PICKLE = f"is a pickle, but none of torch.save; {_CONVERT}"
LARGE_PICKLE = "holds too much beside tensors; save arrays of NumPy with numpy.savez"
NO_TENSORS = f"has no tensors in it; save a network's with {STATE_DICT}"


class ForeignFileError(ValueError):
    """A file that is no weights file. Its text says what it is, and the way on."""


def about_foreign(head: bytes) -> str:
    """What a file is that begins so and is no weights file, and the way on."""
    matching = (text for start, text in _BEGINNINGS if re.match(start, head, re.DOTALL))
    return next(matching, f"is no weights file; {_GIVE}")


def about_archive(names: Sequence[str]) -> str:
    """What a zip archive is that torch.save did not write, and the way on."""
    for ending, text in _ARCHIVES:
        if any(name.endswith(ending) for name in names):
            return text
    files = [name for name in names if not name.endswith("/")]
    inside = [name for name in files if name.lower().endswith(_WEIGHTS_ENDINGS)]
    if inside:
        return f"is a zip archive that holds {few(inside)}; unpack it and give that file"
    return f"is a zip archive of something else ({few(files) or 'nothing'}); {_UNPACK}"


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
    if parts := [name for name in names if about_part(name)]:
        return f"has weights in several files ({few(parts)}); {_MERGE}"
    if inside := [name for name in names if name.lower().endswith(_WEIGHTS_ENDINGS)]:
        return f"is a folder; give a file in it, such as {few(inside)}"
    return "is a folder; give a .pth or .safetensors file"


def about_part(file_name: str) -> str:
    """What a file is whose name says that it has a part of the weights; empty if it does not."""
    part = _PART.fullmatch(file_name)
    n_parts = int(part["n_parts"]) if part else 1
    return f"is one of {n_parts} files of weights; {_MERGE}" if n_parts > 1 else ""


def about_name(name: str, model: str) -> str:
    """What a name is that is given as weights of a model and is no file; empty if nobody knows."""
    if re.match(r"[a-z][a-z0-9+.-]+://", name, re.IGNORECASE):
        return "is an address; download the file, and give its path"
    if re.match(r"(hf[-_]hub|hf|timm|torchhub|local-dir):", name, re.IGNORECASE):
        return (
            "is the name of a network on a hub; download its .safetensors or .bin file, and give "
            "its path"
        )
    if enum := re.fullmatch(r"(\w+)_Weights\.(\w+)", name, re.ASCII):
        other, weights = enum[1].lower(), enum[2]
        if other == model:
            return "are no weights that are published; give others, or a file"
        return f"are weights of another network; use --model {other} --weights {weights}"
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


def few(names: Sequence[str]) -> str:
    """The names of some files, to be shown."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(displayable(PurePosixPath(name).name, 60) for name in names[:3]) + more
