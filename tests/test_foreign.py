"""What is given as weights and is none is called what it is, with the way on."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mutated_weights import Tiny, tiny_family
from PIL import Image

from atlas.asked import AtlasSpec
from atlas.errors import NetworkError
from atlas.network.load import load_network


def refusal(path: Path | str) -> str:
    family = tiny_family(Path("tiny.pth"))
    with pytest.raises(NetworkError) as refused:
        load_network(AtlasSpec(weights=str(path)), family, [family])
    message = str(refused.value)
    assert "\n" not in message
    assert message.count(";") == 1  # the cause, then the remedy
    return message


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "content")
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.pth"))
    return buffer.getvalue()


def written(write: object, *arguments: object) -> bytes:
    buffer = io.BytesIO()
    write(buffer, *arguments)
    return buffer.getvalue()


FILES = {
    "nothing": (b"", "is empty; download"),
    "zeros": (bytes(5000), "nothing but zeros"),
    "text": (b"these are no weights\n" * 50, "is no weights file"),
    "a web page": (b"\n<!doctype html>\n<p>404", "is a web page"),
    "an error of S3": (b'<?xml version="1.0"?><Error>AccessDenied</Error>', "is an XML document"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
    "an index": (
        b'{"metadata": {}, "weight_map": {"a": "1.safetensors"}}',
        "not beside it; copy or download",
    ),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file, as Keras"),
    "npy": (written(np.save, np.zeros(3)), "is an array of NumPy"),
    "npz": (zipped("conv1.weight.npy", "fc.bias.npy"), "is a compressed archive of NumPy arrays"),
    "npz of words": (
        written(np.savez, ["cat"]),
        "is an archive of NumPy arrays (.npz)",
    ),
    "ONNX": (b"\x08\x08\x12\x07pytorch\x1a\x052.0.0", "is an ONNX model"),
    "TFLite": (b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite"),
    "Keras 3": (zipped("metadata.json", "config.json", "model.weights.h5"), "an archive of Keras"),
    "gzip": (gzip.compress(b"x"), "packed with gzip"),
    "tar": (tarred(), "is a tar archive"),
    "an image": (written(lambda file: Image.new("RGB", (9, 9)).save(file, "PNG")), "is an image"),
    "packed weights": (zipped("run/best.pth", "run/log.txt"), "holds best.pth; unpack it and give"),
    "a zip of something else": (zipped("a.txt", "b/c.txt"), "something else (a.txt, c.txt)"),
    "an empty zip": (zipped(), "something else (nothing)"),
    "a pickle": (pickle.dumps({"conv1.weight": 1}), "is a pickle, but none of torch.save"),
    "a pickle of arrays": (
        pickle.dumps({"fc.bias": np.zeros(2)}),
        "no tensor of TinyNet, but fc.b",
    ),
    "a pickle of tensors": (pickle.dumps({"a": torch.ones(2)}), "a pickle, but none of"),
}


@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_a_file_of_something_else_is_called_what_it_is(tmp_path, content, words):
    (tmp_path / "a.pth").write_bytes(content)
    assert words in refusal(tmp_path / "a.pth")


def test_an_archive_of_torch_export_is_told_with_its_way_on(tmp_path):
    program = torch.export.export(Tiny(3).eval(), (torch.zeros(1, 3, 16, 16),))
    torch.export.save(program, tmp_path / "a.pt2")
    message = refusal(tmp_path / "a.pt2")
    assert "is an archive of torch.export" in message
    torch.save(torch.export.load(tmp_path / "a.pt2").state_dict, tmp_path / "b.pth")
    assert "torch.save(torch.export.load(FILE).state_dict, NEW_FILE)" in message
    family = tiny_family(Path("tiny.pth"))
    load_network(AtlasSpec(weights=str(tmp_path / "b.pth")), family, [family])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("model.safetensors", "is a folder; give a file in it, such as model.safetensors"),
        ("saved_model.pb", "is a network of TensorFlow"),
        (".metadata", "is a checkpoint in several files"),
        ("model-00001-of-00002.safetensors", "has weights in several files (model-00001-of-"),
        ("readme.txt", "is a folder; give a .pth or .safetensors file"),
    ],
)
def test_a_folder_is_looked_into(tmp_path, name, words):
    (tmp_path / name).write_bytes(b"")
    assert words in refusal(tmp_path)


def test_a_part_of_the_weights_is_refused_with_the_way_on(tmp_path):
    state = Tiny(3).state_dict()
    for name in ("model-00001-of-00002.pth", "model-00001-of-00001.pth", "run-1-of-5.pth"):
        torch.save(state, tmp_path / name)
    message = refusal(tmp_path / "model-00001-of-00002.pth")
    assert (
        "is one of 2 files of weights; put their index (.index.json) beside them, or the tensors"
        in message
    )
    family = tiny_family(Path("tiny.pth"))
    for name in ("model-00001-of-00001.pth", "run-1-of-5.pth"):
        load_network(AtlasSpec(weights=str(tmp_path / name)), family, [family])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("https://example.org/resnet50.pth", "is an address; download the file"),
        ("s3://bucket/weights.pth", "is an address; download the file"),
        ("hf-hub:timm/resnet50.a1_in1k", "the name of a network on a hub; download"),
        ("hf_hub:timm/resnet50.a1_in1k", "the name of a network on a hub; download"),
        ("ResNet18_Weights.IMAGENET1K_V1", "use --model resnet18 --weights IMAGENET1K_V1"),
        ("ResNeXt50_32X4D_Weights.DEFAULT", "use --model resnext50_32x4d --weights DEFAULT"),
        ("Tiny_Weights.OTHER", "are no weights that are published; give others, or a file"),
        ("gone.pth", "cannot read the weights gone.pth: No such file"),
        ("C:\\gone.pth", "cannot read the weights C:\\gone.pth: No such file"),
    ],
)
def test_a_name_that_is_no_file_is_called_what_it_is(name, words):
    assert words in refusal(name)


def test_a_file_of_such_a_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hf-hub:mine.pth").write_bytes(b"")
    assert "hf-hub:mine.pth is empty" in refusal("hf-hub:mine.pth")
