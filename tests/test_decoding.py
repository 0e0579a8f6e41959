"""Which formats are opened, how much memory that takes, and what becomes of levels and tags."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import seen_as
from PIL import Image, ImageOps

from atlas import decoding
from atlas.decoding import DAMAGED, TOO_LARGE, Skipped, load, suffixes

TESTS = Path(__file__).parent
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="wants the files of /proc")
UNIFORM = seen_as(32)


def read(folder: Path, name: str, image: Image.Image, **options: object) -> np.ndarray:
    image.save(folder / name, **options)
    pixels = load(folder / name, UNIFORM)
    assert not isinstance(pixels, Skipped), pixels
    return pixels


# Formats


@pytest.mark.parametrize("suffix", sorted(decoding.SUFFIX_FORMATS))
def test_every_promised_format_is_read_if_pillow_can(tmp_path, suffix):
    if suffix not in suffixes():
        pytest.skip("this Pillow cannot read it")
    mode = "L" if suffix == ".pgm" else "RGB"
    pixels = read(tmp_path, f"image{suffix}", Image.new(mode, (40, 40), "white"))
    assert pixels.min() > 250


def test_the_content_decides_between_the_promised_formats(tmp_path):
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert (load(tmp_path / "a.jpg", UNIFORM) == (255, 0, 0)).all()


def test_pictures_of_a_camera_with_two_lenses_are_jpegs(tmp_path):
    first, second = Image.new("RGB", (40, 40), "red"), Image.new("RGB", (40, 40), "blue")
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    assert np.abs(load(tmp_path / "a.jpg", UNIFORM).astype(int) - (255, 0, 0)).max() < 4


@pytest.mark.parametrize("name", ["photo.jpg", "photo.eps", "photo"])
def test_postscript_starts_no_program_whatever_it_is_called(tmp_path, monkeypatch, name):
    """A Ghostscript that leaves a trace takes the place of any that is installed."""
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(ghostscript.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{ghostscript.parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")
    assert load(tmp_path / name, UNIFORM) == Skipped(DAMAGED, "no image of a known format")
    assert not (tmp_path / "started").exists()


def test_a_text_is_no_targa(tmp_path):
    """Only the suffix tells a TGA from other files, so nothing else is taken for one."""
    Image.new("RGB", (40, 40), "red").save(tmp_path / "a.tga")
    (tmp_path / "a.tga").rename(tmp_path / "a.jpg")
    assert isinstance(load(tmp_path / "a.jpg", UNIFORM), Skipped)


# Orientation


def exif_of_phone(orientation: int) -> bytes:
    """Orientation beside tag 700 whose type says ASCII, which Pillow cannot write again."""
    entries = struct.pack("<HHII", 0x112, 3, 1, orientation)
    entries += struct.pack("<HHI", 700, 2, 4) + b"<x>\0"
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)


def quarters() -> Image.Image:
    image = Image.new("RGB", (80, 80), "white")
    for colour, corner in (("red", (0, 0)), ("green", (40, 0)), ("blue", (0, 40))):
        image.paste(colour, (*corner, corner[0] + 40, corner[1] + 40))
    return image


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_photographs_are_turned_as_pillow_turns_them(tmp_path, orientation, suffix):
    exif = Image.Exif()
    exif[0x112] = orientation
    pixels = read(tmp_path, f"a.{suffix}", quarters(), exif=exif, quality=95)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        image.draft("RGB", (round(UNIFORM.resize_px),) * 2)
        expected = decoding.prepare(ImageOps.exif_transpose(image), UNIFORM)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_strange_tags_beside_an_orientation_do_no_harm(tmp_path, orientation):
    quarters().save(tmp_path / "plain.png")
    pixels = read(tmp_path, "a.jpg", quarters(), exif=exif_of_phone(orientation), quality=95)
    exif = Image.Exif()
    exif[0x112] = orientation
    expected = read(tmp_path, "b.jpg", quarters(), exif=exif, quality=95)
    np.testing.assert_array_equal(pixels, expected)


@pytest.mark.parametrize("orientation", [0, 9, 700])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, orientation):
    pixels = read(tmp_path, "a.jpg", quarters(), exif=exif_of_phone(orientation))
    np.testing.assert_array_equal(pixels, read(tmp_path, "b.jpg", quarters()))


# Levels


def test_real_levels_from_0_to_1_are_black_to_white(tmp_path):
    for level in (0, 7, 128, 255):
        pixels = read(tmp_path, "a.tif", Image.new("F", (40, 40), level / 255))
        assert (pixels == level).all()


def test_real_levels_from_0_to_255_are_kept_and_others_stretched(tmp_path):
    ramp = np.linspace(0, 1, 80, dtype=np.float32)[None].repeat(80, 0)
    for levels in (ramp * 255, ramp * 5000 - 2000, ramp * 1e-3 - 7):
        pixels = read(tmp_path, "a.tif", Image.fromarray(levels))
        assert pixels[:, 0].mean() < 25 and pixels[:, -1].mean() > 230
        assert (np.diff(pixels[0, :, 0].astype(int)) >= 0).all()


def test_levels_that_are_no_numbers_do_no_harm(tmp_path):
    levels = np.full((40, 40), np.nan, np.float32)
    assert read(tmp_path, "a.tif", Image.fromarray(levels)).max() == 0
    levels[:20], levels[0, 0] = 1, np.inf
    assert read(tmp_path, "a.tif", Image.fromarray(levels))[8].min() == 255


@pytest.mark.parametrize(("bits", "suffix"), [(12, "png"), (14, "png"), (16, "png"), (12, "tif")])
def test_deep_levels_are_scaled_by_the_bits_that_are_used(tmp_path, bits, suffix):
    levels = np.full((40, 40), 2**bits - 1, np.uint16)
    assert (read(tmp_path, f"a.{suffix}", Image.fromarray(levels)) == 255).all()
    levels[:20] = 2 ** (bits - 1)
    pixels = read(tmp_path, f"a.{suffix}", Image.fromarray(levels))
    assert pixels[0].mean() == pytest.approx(127.5, abs=1) and pixels[-1].mean() == 255


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_colours_are_scaled_by_the_bits_that_are_used(tmp_path, bits, suffix):
    white = 2**bits - 1
    levels = np.zeros((40, 40, 3), np.uint16)
    levels[:, 20:] = white, white // 3, 0
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), levels[:, :, ::-1])
    pixels = load(tmp_path / f"a.{suffix}", UNIFORM)
    assert isinstance(pixels, np.ndarray)
    assert (pixels[:, 0] == 0).all()
    assert pixels[16, -1] == pytest.approx((255, 85, 0), abs=1)


# Memory


def deep(path: Path) -> None:
    Image.new("I;16", (8000, 8000), 40000).save(path.with_suffix(".png"), compress_level=1)


def with_alpha(path: Path) -> None:
    image = Image.new("RGBA", (8000, 8000), (1, 200, 3, 100))
    image.save(path.with_suffix(".png"), compress_level=1)


def palette(path: Path) -> None:
    Image.new("P", (9000, 9000), 3).save(path.with_suffix(".gif"))


def web(path: Path) -> None:
    Image.new("RGB", (6500, 6500), "red").save(path.with_suffix(".webp"), method=0)


def real(path: Path) -> None:
    image = Image.new("F", (8000, 8000), 0.5)
    image.save(path.with_suffix(".tif"), compression="tiff_lzw")


def printed(path: Path) -> None:
    image = Image.new("CMYK", (9000, 9000), (1, 200, 3, 9))
    image.save(path.with_suffix(".jpg"), progressive=True)


PEAK = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from fuzz_photographs import peak_bytes
from atlas import decoding
from atlas.heap import keep_freed_memory
if sys.argv[1] == "kept": keep_freed_memory()  # as a build on a CPU does
decoding.suffixes()
before = peak_bytes()
with ThreadPoolExecutor(16) as pool:
    seen_as = decoding.Preprocessing(224, 256, (0.5,) * 3, (0.5,) * 3)
    loaded = list(pool.map(lambda name: decoding.load(Path(name), seen_as), sys.argv[2:]))
for each in loaded: assert each.shape == (224, 224, 3), each
print(peak_bytes() - before)
"""


@ON_LINUX
@pytest.mark.parametrize(
    ("kinds", "heap"),
    [
        pytest.param((deep,) * 4, "returned", id="deep"),
        pytest.param((deep, with_alpha, palette, web, real, printed), "kept", id="all"),
    ],
)
def test_large_images_are_decoded_one_after_the_other_in_about_a_gigabyte(tmp_path, kinds, heap):
    for kind in set(kinds):
        kind(tmp_path / kind.__name__)
    paths = [str(next(tmp_path.glob(f"{kind.__name__}.*"))) for kind in kinds]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PEAK, heap, *paths],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), *sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1.3e9


def test_one_that_needs_more_than_all_memory_is_skipped_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "MEMORY", decoding.MemoryBudget(10**6))
    Image.new("RGB", (1000, 1000)).save(tmp_path / "a.png")
    skipped = load(tmp_path / "a.png", UNIFORM)
    assert skipped == Skipped(
        TOO_LARGE, "needs 0.01 GB of memory, more than the 0.00 GB for photographs"
    )


def test_tiles_that_are_larger_than_their_image_count(tmp_path):
    """A TIFF of 4 kB whose single tile would be 13 GB."""
    Image.new("RGB", (64, 64)).save(tmp_path / "a.tif", compression="tiff_lzw", tile=(64, 64))
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with Image.open(tmp_path / "a.tif") as image:
        n_rows = image.tag_v2.get(278)
    assert n_rows
    entry = struct.pack("<HHI", 278, 3, 1)
    at = data.index(entry)
    data[at : at + 12] = struct.pack("<HHII", 322, 4, 1, 65536)
    (tmp_path / "b.tif").write_bytes(data)
    assert isinstance(load(tmp_path / "b.tif", UNIFORM), Skipped)


# Damage


def fuzz(n_files: int, seed: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, str(TESTS / "fuzz_photographs.py"), str(n_files), str(seed)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


@ON_LINUX
def test_damaged_photographs_are_used_or_skipped_and_never_an_error():
    """More of them: ATLAS_FUZZ=20000 ATLAS_FUZZ_SEED=7."""
    n_files, seed = (
        int(os.environ.get(name, default))
        for name, default in (("ATLAS_FUZZ", 200), ("ATLAS_FUZZ_SEED", 0))
    )
    found = fuzz(n_files, seed)
    assert found["escaped"] == []
    assert found["tried"] == n_files and found["used"] > 0.2 * n_files
    assert found[DAMAGED] > 0.2 * n_files
    assert found["peak_bytes"] < 1.3e9


def test_a_reason_is_the_same_in_every_run(tmp_path):
    image = io.BytesIO()
    Image.effect_noise((200, 100), 50).convert("RGB").save(image, "JPEG")
    (tmp_path / "a.jpg").write_bytes(image.getvalue()[:-500])
    first, second = (load(tmp_path / "a.jpg", UNIFORM) for _ in range(2))
    assert first == second and "0x" not in first.reason and "truncated" in first.reason
