"""Which files of a folder are photographs, what is counted beside them, and what is a class."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import seen_as
from PIL import Image

from atlas.decoding import suffixes
from atlas.images import ImageFolder
from atlas.labels import class_names
from atlas.text import MARK
from atlas.tree import classes_of


def plant(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(folder / name)
    return folder


def labels(folder: Path) -> dict[str, str | None]:
    found = ImageFolder.of(folder)
    return {file: found.label(file) for file in found.files}


# Classes


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("cat/1.png", "dog/1.png"), ["cat", "dog"]),
        (("train/cat/1.png", "val/dog/1.png", "val/cat/2.png"), ["cat", "cat", "dog"]),
        (("Train/cat/1.png", "test/dog/1.png", "test/loose.png"), ["cat", "dog", None]),
        (("data/train/cat/1.png", "data/valid/dog/1.png", "cover.png"), [None, "cat", "dog"]),
        (("all/cat/1.png", "all/dog/1.png"), ["cat", "dog"]),
        (("a/b/c/cat/1.png", "a/b/c/dog/1.png", "a/readme.png"), ["cat", "dog", None]),
        (("train/1.png", "car/1.png"), ["car", "train"]),  # vehicles
        (("cat/white/1.png", "dog/white/1.png"), ["cat/white", "dog/white"]),
        (("pets/cat/1.png", "farm/cow/1.png"), ["cow", "cat"]),
        (("1.png", "2.png"), [None, None]),
        (("cat/1.png",), [None]),  # one folder tells nothing apart
    ],
)
def test_classes_are_the_folders_that_hold_images(tmp_path, names, expected):
    found = labels(plant(tmp_path, *names))
    assert [found[name] for name in sorted(names, key=lambda name: name.split("/"))] == expected


def test_folders_of_a_subset_by_wordnet_id_get_their_labels(tmp_path):
    folder = plant(tmp_path, "train/n01440764/1.png", "val/n01443537/1.png")
    ids, names = ("n01440764", "n01443537", "n01484850"), ("tench", "goldfish", "great white shark")
    assert class_names(ImageFolder.of(folder).labels, names, ids) == ("tench", "goldfish")


def test_classes_of_nothing_are_none():
    assert classes_of([]) == {}


def test_an_identity_is_as_before_where_classes_are_as_before_and_else_another(tmp_path):
    usual = ImageFolder.of(plant(tmp_path / "usual", "cat/1.png", "dog/1.png"))
    deeper = ImageFolder.of(plant(tmp_path / "deeper", "x/cat/1.png", "x/dog/1.png"))
    assert usual.labels == deeper.labels and usual.sha256 != deeper.sha256


# What is no photograph


def test_hidden_and_system_folders_are_left_out_and_counted(tmp_path):
    hidden = (".git", "@eaDir", "__MACOSX", ".ipynb_checkpoints", "lost+found", "$RECYCLE.BIN")
    plant(tmp_path, "cat/1.png", "dog/1.png", "cat/._1.png", *(f"{name}/1.png" for name in hidden))
    (tmp_path / "cat/Thumbs.db").write_bytes(b"")
    found = ImageFolder.of(tmp_path)
    assert (found.files, found.labels) == (("cat/1.png", "dog/1.png"), ("cat", "dog"))
    assert found.left_out == "8 hidden or of the system"


def test_every_file_that_is_not_taken_is_counted(tmp_path):
    plant(tmp_path, "cat/1.png")
    for name in ("1.heic", "2.HEIC", "notes.txt", "noted", "3.pdf", "4.eps", "5.\x1b[2Jx"):
        (tmp_path / "cat" / name).write_bytes(b"%!PS")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    found = ImageFolder.of(tmp_path)
    assert found.files == ("cat/1.png",)
    parts = set(found.left_out.split(", "))
    assert {"2 .heic", "2 links to nothing", "1 .txt", "1 without a suffix", "1 .pdf"} < parts
    assert f"1 .{MARK}[2jx" in parts


def test_the_builds_own_folders_are_left_out(tmp_path):
    plant(tmp_path, "1.png", "site/conv1/0.png", "cache/2.png")
    own = (tmp_path / "site", tmp_path / "cache", tmp_path / "not made yet")
    assert ImageFolder.of(tmp_path, None, own).files == ("1.png",)


def test_suffixes_are_those_that_pillow_reads_and_never_programs():
    assert {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".pgm", ".tga", ".tif"} <= suffixes()
    assert not suffixes() & {".eps", ".ps", ".pdf", ".wmf", ".psd", ".txt"}


# Links


def test_class_folders_that_are_links_are_followed(tmp_path):
    plant(tmp_path / "pool", "a/1.png", "b/1.png")
    plant(tmp_path / "photos", "dog/1.png")
    (tmp_path / "photos/cat").symlink_to(tmp_path / "pool/a")
    (tmp_path / "photos/cow").symlink_to(tmp_path / "pool/b")
    found = labels(tmp_path / "photos")
    assert found == {"cat/1.png": "cat", "cow/1.png": "cow", "dog/1.png": "dog"}


def test_loops_and_second_ways_are_seen_and_each_folder_is_read_once(tmp_path):
    folder = plant(tmp_path / "photos", "cat/1.png", "dog/1.png")
    plant(tmp_path, "beside.png")
    for link, target in (
        ("cat/up", folder),
        ("a", folder / "cat"),
        ("out", tmp_path),
        ("root", "/"),
    ):
        (folder / link).symlink_to(target)
    (tmp_path / "round").mkdir()
    (tmp_path / "round/back").symlink_to(tmp_path / "round")
    (folder / "round").symlink_to(tmp_path / "round")
    assert ImageFolder.of(folder).files == ("cat/1.png", "dog/1.png")


# Names that are not UTF-8


@pytest.mark.parametrize("name", [b"caf\xe9", b"new\nline", "\u202egnp".encode(), b"\x1b[2J"])
def test_names_that_cannot_be_shown_are_opened_all_the_same(tmp_path, name):
    source = plant(tmp_path / "source", "1.png") / "1.png"
    folder = bytes(tmp_path / "photos")
    for path in (b"dog/1.png", name + b"/" + name + b".png"):
        (tmp_path / "photos/dog").mkdir(parents=True, exist_ok=True)
        made = Path((folder + b"/" + path).decode("utf-8", "surrogateescape"))
        made.parent.mkdir(exist_ok=True)
        made.write_bytes(source.read_bytes())
    found = ImageFolder.of(tmp_path / "photos")
    for file in found.files:
        file.encode()
        assert file.isprintable() and found.load(file, seen_as(8)).shape == (8, 8, 3)
    assert len(found.labels) == 2 and all(label.isprintable() for label in found.labels)


def test_names_that_look_alike_are_told_apart(tmp_path):
    for index, name in enumerate((b"caf\xe8.png", b"caf\xe9.png")):
        path = Path((bytes(tmp_path) + b"/" + name).decode("utf-8", "surrogateescape"))
        Image.new("RGB", (8, 8), (100 * index,) * 3).save(path, "PNG")
    found = ImageFolder.of(tmp_path)
    assert found.files == (f"caf{MARK}.png", f"caf{MARK}.png (2)")
    assert [found.load(file, seen_as(8)).max() for file in found.files] == [0, 100]
