"""Photographs of every make are read as people see them, and bad ones do no harm."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import seen_as
from PIL import Image

from atlas.decoding import DAMAGED, TOO_LARGE, Skipped, prepare
from atlas.errors import SpecError
from atlas.families import find_family
from atlas.images import FileState, ImageFolder, read_photograph
from atlas.units import Preprocessing

RED, GREEN, WHITE = (254, 0, 0), (0, 255, 1), (255, 255, 255)


def save(folder: Path, name: str, image: Image.Image, **options: object) -> ImageFolder:
    image.save(folder / name, **options)
    return ImageFolder.of(folder)


def load(photographs: ImageFolder, size_px: int = 32) -> np.ndarray:
    pixels = photographs.load(photographs.files[0], seen_as(size_px))
    assert not isinstance(pixels, Skipped), pixels
    return pixels


def half_and_half(mode: str = "RGB") -> Image.Image:
    """Red above green."""
    image = Image.new("RGB", (64, 64), RED)
    image.paste(GREEN, (0, 32, 64, 64))
    return image.convert(mode)


def test_the_centre_is_cut_out_at_the_size_that_networks_are_tested_at():
    image = Image.new("RGB", (200, 80), RED)
    image.paste(GREEN, (60, 0, 140, 80))  # the middle square
    pixels = prepare(image, seen_as(70))  # short side to 80: nothing is resized
    assert pixels.shape == (70, 70, 3)
    assert (pixels == GREEN).all()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr"])
def test_every_colour_mode_keeps_its_colours(tmp_path, mode):
    suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
    pixels = load(save(tmp_path, f"image.{suffix}", half_and_half(mode)))
    assert np.abs(pixels[4, 16].astype(int) - RED).max() < 40
    assert np.abs(pixels[-4, 16].astype(int) - GREEN).max() < 40


def test_grey_sixteen_bits_and_bitmaps_become_colour(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    pixels = load(save(tmp_path, "deep.png", Image.fromarray(ramp)))
    assert pixels[2].mean() < 40 and pixels[-2].mean() > 215
    for mode in ("L", "1", "LA"):
        save(tmp_path, "deep.png", Image.new("L", (40, 40), 255).convert(mode))
        assert (load(ImageFolder.of(tmp_path)) == WHITE).all()


def test_what_is_transparent_is_white(tmp_path):
    image = Image.new("RGBA", (40, 40), (*RED, 0))
    assert (load(save(tmp_path, "clear.png", image)) == WHITE).all()


def test_a_photograph_on_its_side_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    photographs = save(tmp_path, "turned.jpg", half_and_half(), exif=exif, quality=95)
    assert np.abs(load(photographs)[4, 16].astype(int) - GREEN).max() < 40


def test_a_jpeg_in_printers_colours_is_seen_in_its_colours(tmp_path):
    image = Image.new("CMYK", (64, 64), (0, 255, 255, 0))  # red on paper
    pixels = load(save(tmp_path, "print.jpg", image, quality=95))
    assert np.abs(pixels[16, 16].astype(int) - RED).max() < 10


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
def test_a_sliver_is_enlarged_only_where_it_is_seen(tmp_path, size):
    """Enlarging all of it, as its short side needs, would take half a terabyte."""
    assert (load(save(tmp_path, "sliver.png", Image.new("RGB", size, RED)), 224) == RED).all()


def test_a_small_image_is_enlarged(tmp_path):
    assert load(save(tmp_path, "small.png", Image.new("RGB", (3, 5), RED))).shape == (32, 32, 3)


def truncated() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(buffer, "JPEG")
    return buffer.getvalue()[:400]


def bomb() -> bytes:
    """A PNG that claims 50,000 x 50,000 pixels."""
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    chunks = b""
    for name, data in ((b"IHDR", head), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        chunks += struct.pack(">I", len(data)) + name + data
        chunks += struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize(
    "data", [b"", b"text", truncated(), bomb()], ids=["empty", "text", "truncated", "bomb"]
)
def test_what_cannot_be_decoded_is_skipped_with_its_reason_and_no_error(tmp_path, data):
    (tmp_path / "bad.jpg").write_bytes(data)
    skipped = ImageFolder.of(tmp_path).load("bad.jpg", seen_as(32))
    assert isinstance(skipped, Skipped) and skipped.reason
    assert skipped.group == (TOO_LARGE if data == bomb() else DAMAGED)


def test_batches_hold_all_in_order_and_why_one_is_skipped(tmp_path):
    for index in range(10):
        Image.new("RGB", (8, 8), (20 * index,) * 3).save(tmp_path / f"{index}.png")
    (tmp_path / "4.png").write_bytes(b"broken")
    batches = list(ImageFolder.of(tmp_path).batches(seen_as(8), 3))
    assert [[index for index, _ in batch] for batch in batches] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9],
    ]
    loaded = dict(pair for batch in batches for pair in batch)
    assert loaded.pop(4) == Skipped(DAMAGED, "no image of a known format")
    assert all((pixels == 20 * index).all() for index, pixels in loaded.items())


def test_a_folder_tree_is_searched_and_known_by_names_and_contents(tmp_path):
    (tmp_path / "b").mkdir()
    save(tmp_path, "z.PNG", Image.new("RGB", (4, 4)))
    (tmp_path / "notes.txt").write_text("no image")
    first = save(tmp_path, "b/a.jpg", Image.new("RGB", (4, 4)))
    assert first.files == ("b/a.jpg", "z.PNG")
    assert ImageFolder.of(tmp_path) == first
    assert save(tmp_path, "b/c.jpg", Image.new("RGB", (4, 4))).sha256 != first.sha256


def test_a_folder_that_is_not_there_or_empty_is_explained(tmp_path):
    with pytest.raises(SpecError, match=r"no folder .*--images"):
        ImageFolder.of(tmp_path / "nowhere")
    with pytest.raises(SpecError, match=r"no image in .*--images takes"):
        ImageFolder.of(tmp_path)


# What identifies a folder of images


def same_size_files(folder: Path) -> Path:
    for name, content in (("a.jpg", b"one"), ("b/c.jpg", b"two")):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_an_identity_is_told_from_names_and_digests_and_not_from_where_the_folder_is(tmp_path):
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    one, other = (ImageFolder.of(same_size_files(folder)) for folder in folders)
    digests = [hashlib.sha256(content).hexdigest() for content in (b"one", b"two")]
    expected = repr(list(zip(("a.jpg", "b/c.jpg"), digests, strict=True)))
    assert one.sha256 == other.sha256 == hashlib.sha256(expected.encode()).hexdigest()


@pytest.mark.parametrize("known", [None, {}])
def test_an_image_that_was_edited_in_place_is_noticed(tmp_path, known):
    before = ImageFolder.of(same_size_files(tmp_path), known)
    (tmp_path / "a.jpg").write_bytes(b"six")
    os.utime(tmp_path / "a.jpg", ns=(0, 1))
    after = ImageFolder.of(tmp_path, known)
    assert before.files == after.files
    assert before.sha256 != after.sha256


def test_two_images_that_change_places_are_noticed(tmp_path):
    before = ImageFolder.of(same_size_files(tmp_path))
    (tmp_path / "a.jpg").write_bytes(b"two")
    (tmp_path / "b/c.jpg").write_bytes(b"one")
    assert ImageFolder.of(tmp_path).sha256 != before.sha256


def test_a_second_look_reads_nothing(tmp_path, monkeypatch):
    known: dict[FileState, str] = {}
    first = ImageFolder.of(same_size_files(tmp_path), known)
    status = (tmp_path / "a.jpg").stat()
    state = (str(tmp_path / "a.jpg"), status.st_size, status.st_mtime_ns)
    assert known[state] == hashlib.sha256(b"one").hexdigest()
    assert len(known) == 2
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a file was read"))
    assert ImageFolder.of(tmp_path, known) == first


def test_links_to_nowhere_and_folders_with_the_name_of_an_image_are_no_images(tmp_path):
    same_size_files(tmp_path)
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder.jpg").mkdir()
    assert ImageFolder.of(tmp_path).files == ("a.jpg", "b/c.jpg")


# What the weights' own transforms cut out


def noise_image(width: int, height: int) -> Image.Image:
    """Blurred noise: detail of every size."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return Image.blend(noise, noise.resize((9, 9)).resize((width, height)), 0.7)


def before_there_were_weights_to_ask(image: Image.Image, size_px: int) -> np.ndarray:
    """The formula that everything was prepared by: the middle 7/8, bilinear."""
    side_px = min(image.size)
    margin_x, margin_y = ((length - side_px * 7 / 8) / 2 for length in image.size)
    box = (margin_x, margin_y, image.width - margin_x, image.height - margin_y)
    return np.asarray(image.resize((size_px, size_px), Image.Resampling.BILINEAR, box))


def of_weights(family: str, name: str) -> Preprocessing:
    return find_family(family).weights[name].preprocessing()


@pytest.mark.parametrize("size", [(320, 240), (199, 501), (80, 80), (31, 17), (500, 375)])
@pytest.mark.parametrize(("family", "name"), [("resnet50", "IMAGENET1K_V1"), ("demo", "demo")])
def test_what_was_prepared_before_is_prepared_alike_to_the_bit(family, name, size):
    preprocessing, image = of_weights(family, name), noise_image(*size)
    expected = before_there_were_weights_to_ask(image, preprocessing.size_px)
    np.testing.assert_array_equal(prepare(image, preprocessing), expected)


@pytest.mark.parametrize("name", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
@pytest.mark.parametrize("size", [(464, 464), (580, 464), (300, 300), (190, 190)])
def test_torchvisions_own_transforms_see_the_same(name, size):
    from torchvision.models import ResNet50_Weights

    transforms = ResNet50_Weights[name].transforms()
    image, preprocessing = noise_image(*size), of_weights("resnet50", name)
    mean, std = (np.array(values) for values in (preprocessing.mean, preprocessing.std))
    expected = (transforms(image).numpy().transpose(1, 2, 0) * std + mean) * 255
    difference = np.abs(prepare(image, preprocessing) - expected)
    assert difference.max() < 1.6  # PIL rounds once for each of the two directions
    assert difference.mean() < 0.3


def test_other_interpolations_and_uncut_images_are_as_the_weights_want():
    image = noise_image(64, 64)
    whole = Preprocessing(32, 32, (0.5,) * 3, (0.5,) * 3, interpolation="bicubic")
    expected = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(prepare(image, whole), expected)


def test_one_photograph_is_read_like_those_of_a_folder(tmp_path):
    folder = save(tmp_path, "one.png", noise_image(60, 50))
    np.testing.assert_array_equal(
        read_photograph(tmp_path / "one.png", seen_as(32)), folder.load("one.png", seen_as(32))
    )
    with pytest.raises(SpecError, match=r"no file .*; give an image"):
        read_photograph(tmp_path / "two.png", seen_as(32))
    (tmp_path / "bad.png").write_bytes(b"text")
    with pytest.raises(SpecError, match=r"cannot read .* as an image"):
        read_photograph(tmp_path / "bad.png", seen_as(32))
