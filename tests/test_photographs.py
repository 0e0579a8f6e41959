"""Photographs of every make are read as people see them, and bad ones do no harm."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from atlas.errors import SpecError
from atlas.photographs import Photographs, prepare

RED, GREEN, WHITE = (254, 0, 0), (0, 255, 1), (255, 255, 255)


def save(folder: Path, name: str, image: Image.Image, **options: object) -> Photographs:
    image.save(folder / name, **options)
    return Photographs.of(folder)


def load(photographs: Photographs, size_px: int = 32) -> np.ndarray:
    pixels = photographs.load(photographs.files[0], size_px)
    assert pixels is not None
    return pixels


def half_and_half(mode: str = "RGB") -> Image.Image:
    """Red above green."""
    image = Image.new("RGB", (64, 64), RED)
    image.paste(GREEN, (0, 32, 64, 64))
    return image.convert(mode)


def test_the_centre_is_cut_out_at_the_size_that_networks_are_tested_at():
    image = Image.new("RGB", (200, 80), RED)
    image.paste(GREEN, (60, 0, 140, 80))  # the middle square
    pixels = prepare(image, 70)  # short side to 80: nothing is resized
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
        assert (load(Photographs.of(tmp_path)) == WHITE).all()


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
def test_what_cannot_be_read_is_none_and_no_error(tmp_path, data):
    (tmp_path / "bad.jpg").write_bytes(data)
    assert Photographs.of(tmp_path).load("bad.jpg", 32) is None


def test_batches_hold_all_in_order_and_none_for_what_cannot_be_read(tmp_path):
    for index in range(10):
        Image.new("RGB", (8, 8), (20 * index,) * 3).save(tmp_path / f"{index}.png")
    (tmp_path / "4.png").write_bytes(b"broken")
    batches = list(Photographs.of(tmp_path).batches(8, 3))
    assert [[index for index, _ in batch] for batch in batches] == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9],
    ]
    loaded = dict(pair for batch in batches for pair in batch)
    assert loaded.pop(4) is None
    assert all((pixels == 20 * index).all() for index, pixels in loaded.items())


def test_a_folder_tree_is_searched_and_known_by_names_and_sizes(tmp_path):
    (tmp_path / "b").mkdir()
    save(tmp_path, "z.PNG", Image.new("RGB", (4, 4)))
    (tmp_path / "notes.txt").write_text("no image")
    first = save(tmp_path, "b/a.jpg", Image.new("RGB", (4, 4)))
    assert first.files == ("b/a.jpg", "z.PNG")
    assert Photographs.of(tmp_path) == first
    assert save(tmp_path, "b/c.jpg", Image.new("RGB", (4, 4))).sha256 != first.sha256


def test_a_folder_that_is_not_there_or_empty_is_explained(tmp_path):
    with pytest.raises(SpecError, match=r"no folder .*--images"):
        Photographs.of(tmp_path / "nowhere")
    with pytest.raises(SpecError, match=r"no image in .*--images takes"):
        Photographs.of(tmp_path)
