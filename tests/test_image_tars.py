"""Archives of images are sets as folders are, with the classes that stand beside them."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import seen_as
from PIL import Image

from atlas.decoding import DAMAGED, Skipped
from atlas.errors import ImagesError, SpecError
from atlas.images import FileState, ImageFolder
from atlas.reading import Stored


def image(level: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), (level, 250 - level, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def unpack(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


FILES = {f"{name}/{nth}.png": image(20 * nth + 5) for name in ("cat", "dog") for nth in range(3)}


def test_an_archive_of_a_folder_is_the_same_set_as_the_folder(tmp_path):
    folder = ImageFolder.of(unpack(tmp_path / "photos", FILES))
    packed = ImageFolder.of(write(tmp_path / "photos.tar", dict(reversed(FILES.items()))))
    assert (packed.files, packed.sha256, packed.labels) == (
        folder.files,
        folder.sha256,
        folder.labels,
    )
    for file in folder.files:
        np.testing.assert_array_equal(
            packed.load(file, seen_as(32)), folder.load(file, seen_as(32))
        )
        assert packed.label(file) == folder.label(file)


def test_a_folder_of_shards_is_read_in_order_and_shards_are_no_classes(tmp_path):
    write(tmp_path / "b-001.tar", {"x.png": image(1)})
    write(tmp_path / "b-000.tar", {"z.png": image(2), "y.png": image(3)})
    found = ImageFolder.of(tmp_path)
    assert found.files == ("b-000.tar/y.png", "b-000.tar/z.png", "b-001.tar/x.png")
    assert found.labels == ()
    assert [int(found.load(file, seen_as(32))[0, 0, 0]) for file in found.files] == [3, 2, 1]


def test_classes_stand_beside_images(tmp_path):
    samples = {
        "0.png": image(0),
        "0.cls": b"7\n",
        "1.png": image(1),
        "1.txt": b" tench ",
        "2.png": image(2),
        "2.json": json.dumps({"id": 5, "label": "goldfish"}).encode(),
        "3.left.png": image(3),  # its sample is 3
        "3.json": b'"ray"',
        "4.png": image(4),
        "4.json": b"[" * 5000,
        "4.txt": b"x" * 70_000,
        "5.png": image(5),
        "5.txt": b"not this",
        "5.cls": b"7",
        "deep/5.png": image(6),
        "6.json": json.dumps({"cls": 3, "label": "not this"}).encode(),
        "6.png": image(7),
    }
    found = ImageFolder.of(write(tmp_path / "set.tar", samples))
    labels = {file: found.label(file) for file in found.files}
    assert labels == {
        "0.png": "7",
        "1.png": "tench",
        "2.png": "goldfish",
        "3.left.png": "ray",
        "4.png": None,
        "5.png": "7",
        "6.png": "3",
        "deep/5.png": None,
    }
    assert found.labels == ("3", "7", "goldfish", "ray", "tench")
    samples["0.cls"] = b"8"
    assert ImageFolder.of(write(tmp_path / "set.tar", samples)).sha256 != found.sha256


def test_what_is_hidden_or_no_image_is_counted_and_nothing_leaves_the_archive(tmp_path):
    files = {
        "../../up.png": image(1),
        "/root.png": image(2),
        "._copy.png": b"x",
        ".git/a.png": b"x",
        "notes.md": b"x",
    }
    found = ImageFolder.of(write(tmp_path / "in" / "set.tar", files))
    assert found.files == ("root.png",)
    assert found.left_out == "3 hidden or of the system, 1 .md"
    assert isinstance(found.load("root.png", seen_as(32)), np.ndarray)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "set.tar"]


def test_of_equal_names_the_last_counts_as_when_unpacked(tmp_path):
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as tar:
        for level in (10, 90):
            info = tarfile.TarInfo("a.png")
            info.size = len(image(level))
            tar.addfile(info, io.BytesIO(image(level)))
    found = ImageFolder.of(path)
    assert found.files == ("a.png",)
    assert found.load("a.png", seen_as(32))[0, 0, 0] == 90


def test_images_beside_archives_are_taken_and_the_archives_counted(tmp_path):
    write(tmp_path / "set.tar", FILES)
    (tmp_path / "a.png").write_bytes(image(1))
    found = ImageFolder.of(tmp_path)
    assert found.files == ("a.png",) and found.left_out == "1 .tar"


def test_a_damaged_image_is_skipped_and_a_damaged_archive_refused(tmp_path):
    path = write(tmp_path / "set.tar", {"a.png": image(1)[:40], "b.png": image(2)})
    found = ImageFolder.of(path)
    skipped = found.load("a.png", seen_as(32))
    assert isinstance(skipped, Skipped) and skipped.group == DAMAGED
    path.write_bytes(path.read_bytes()[:530])
    with pytest.raises(SpecError, match=r"set\.tar is damaged .* it ends in the middle"):
        ImageFolder.of(path)
    with pytest.raises(ImagesError, match=r"set\.tar now: it is shorter than it was"):
        found.load("b.png", seen_as(32))
    with pytest.raises(SpecError, match=r"no image in .*notes\.tar.*\.tar archives of them"):
        ImageFolder.of(write(tmp_path / "notes.tar", {"a.md": b"x"}))


def test_digests_are_known_by_archive_member_and_time(tmp_path, monkeypatch):
    known: dict[FileState, str] = {}
    path = write(tmp_path / "set.tar", FILES)
    first = ImageFolder.of(path, known)
    assert len(known) == len(FILES)
    assert {str(path / name) for name in FILES} == {state[0] for state in known}
    monkeypatch.setattr(Stored, "sha256", lambda *_: pytest.fail("an image was read"))
    assert ImageFolder.of(path, known) == first


def test_batches_of_an_archive_hold_all_in_order(tmp_path):
    found = ImageFolder.of(write(tmp_path / "set.tar", FILES))
    batches = list(found.batches(seen_as(8), 2, first=2, end=5))
    assert [[index for index, _ in batch] for batch in batches] == [[2, 3], [4]]
