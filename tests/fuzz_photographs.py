"""Damaged photographs by the thousand: python tests/fuzz_photographs.py [N] [SEED].

Good files of every format are changed at random, in their bytes or in their EXIF, and read as a
build reads them. A file may be used or skipped. Prints, as JSON, how many were, the exceptions that
came through (none should), and the most memory that was used.
"""

from __future__ import annotations

import io
import json
import random
import struct
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from atlas import decoding
from atlas.units import Preprocessing

SEEN_AS = Preprocessing(32, 36, (0.5,) * 3, (0.5,) * 3)
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
TAGS = (0x112, 0x112, 0x112, 700, 0x8769, 0x8825, 0xA005, 0x927C, 0x10E, 0x132, 0x14A, 0x9286, 258)
EXTREMES = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
EXIF_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")


def picture() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 4), dtype=np.uint8)
    return Image.fromarray(pixels).resize((64, 48))


def good_files() -> list[tuple[str, bytes]]:
    """One file of each format and variety, with its suffix."""
    rgba = picture()
    rgb, grey = rgba.convert("RGB"), rgba.convert("L")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    real = Image.fromarray(np.asarray(grey).astype(np.float32) / 255)
    made = [
        (".jpg", rgb, "JPEG", {"exif": random_exif(random.Random(0))}),
        (".jpg", rgb, "JPEG", {"progressive": True, "subsampling": 0}),
        (".jpg", rgb.convert("CMYK"), "JPEG", {}),
        (".png", rgba, "PNG", {}),
        (".png", rgb.convert("P"), "PNG", {"transparency": 3}),
        (".png", deep, "PNG", {}),
        (".webp", rgb, "WEBP", {}),
        (".webp", rgba, "WEBP", {"lossless": True}),
        (".gif", rgb.convert("P"), "GIF", {}),
        (".gif", rgb, "GIF", {"save_all": True, "append_images": [rgb.rotate(90)]}),
        (".bmp", rgb, "BMP", {}),
        (".bmp", grey, "BMP", {}),
        (".tif", rgb, "TIFF", {}),
        (".tif", rgba, "TIFF", {"compression": "tiff_deflate"}),
        (".tif", deep, "TIFF", {"compression": "tiff_lzw"}),
        (".tif", real, "TIFF", {}),
        (".tif", rgb, "TIFF", {"compression": "jpeg"}),
        (".ppm", rgb, "PPM", {}),
        (".pgm", grey, "PPM", {}),
        (".avif", rgb, "AVIF", {}),
        (".avif", rgba, "AVIF", {}),
        (".jp2", rgb, "JPEG2000", {}),
        (".jp2", rgba, "JPEG2000", {"irreversible": True}),
        (".tga", rgba, "TGA", {"compression": "tga_rle"}),
        (".tga", rgb, "TGA", {}),
    ]
    files = []
    for suffix, image, name, options in made:
        if suffix in decoding.suffixes():
            buffer = io.BytesIO()
            image.save(buffer, name, **options)
            files.append((suffix, buffer.getvalue()))
    return files


def random_exif(chance: random.Random) -> bytes:
    """A directory of tags of any type, count and place, some of them in circles."""
    order = chance.choice("<>")
    n_entries = chance.randrange(1, 6)
    entries = b""
    for _ in range(n_entries):
        tag = chance.choice(TAGS) if chance.random() < 0.8 else chance.randrange(65536)
        kind = chance.choice(list(SIZES)) if chance.random() < 0.9 else chance.randrange(65536)
        count = chance.choice((0, 1, 1, 1, 2, 4, 100, 0x7FFFFFFF))
        entries += struct.pack(order + "HHI", tag, kind, count)
        if chance.random() < 0.5:
            entries += struct.pack(order + "HH", chance.randrange(10), 0)
        else:
            entries += struct.pack(order + "I", chance.choice((0, 8, 14, 40, 0xFFFFFFF0)))
    head = b"II*\0" if order == "<" else b"MM\0*"
    following = chance.choice((0, 0, 8, 9999))
    body = struct.pack(order + "IH", 8, n_entries) + entries + struct.pack(order + "I", following)
    tail = bytes(chance.randrange(256) for _ in range(chance.randrange(40)))
    return b"Exif\0\0" + head + body + tail


def with_random_exif(chance: random.Random) -> tuple[str, bytes]:
    """A good picture with tags that no camera writes."""
    name = chance.choice(EXIF_FORMATS)
    suffix = {"JPEG": ".jpg", "TIFF": ".tif"}.get(name, f".{name.lower()}")
    buffer = io.BytesIO()
    try:
        picture().convert("RGB").save(buffer, name, exif=random_exif(chance))
    except Exception:  # the encoder reads some of it, and fails
        return with_random_exif(chance)
    return suffix, buffer.getvalue()


def flipped(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        data[chance.randrange(len(data))] = chance.randrange(256)


def with_extreme(data: bytearray, chance: random.Random) -> None:
    """A number near the start, where sizes and counts are, becomes very small or large."""
    reach = len(data) if chance.random() < 0.3 else min(len(data), 200)
    for _ in range(chance.choice((1, 1, 2))):
        n_bytes, at = chance.choice((1, 2, 4)), chance.randrange(reach)
        value = chance.choice(EXTREMES) & (256**n_bytes - 1)
        data[at : at + n_bytes] = value.to_bytes(n_bytes, chance.choice(("big", "little")))


def cut_off(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def cut_out(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.randrange(1, 64)]


def repeated(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    part = data[at : at + chance.randrange(1, 200)]
    data[at:at] = part * chance.choice((1, 1, 5))


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped,
    with_extreme,
    with_extreme,
    cut_off,
    cut_out,
    repeated,
)


def mutant(good: list[tuple[str, bytes]], chance: random.Random) -> tuple[str, bytes]:
    """A damaged file, with a suffix that may be another format's."""
    if chance.random() < 0.25:
        suffix, data = with_random_exif(chance)
    else:
        suffix, original = chance.choice(good)
        damaged = bytearray(original)
        for _ in range(chance.choice((1, 1, 2))):
            if damaged:
                chance.choice(MUTATIONS)(damaged, chance)
        data = bytes(damaged)
    return (".jpg" if chance.random() < 0.1 else suffix), data


def peak_bytes() -> int:
    """The most memory that this process has used."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def main(n_files: int, seed: int) -> None:
    warnings.simplefilter("ignore")
    chance = random.Random(seed)
    good = good_files()
    counts: Counter[str] = Counter()
    escaped: list[str] = []
    begun = peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        for nth in range(n_files):
            suffix, data = mutant(good, chance)
            path = Path(folder, f"photograph{suffix}")
            path.write_bytes(data)
            try:
                loaded = decoding.load(path, SEEN_AS)
            except Exception as error:
                escaped.append(f"{nth}: {type(error).__name__}: {error}")
                continue
            is_skipped = isinstance(loaded, decoding.Skipped)
            counts[loaded.group if is_skipped else "used"] += 1
            assert is_skipped or loaded.shape == (32, 32, 3)
            path.unlink()
    counted = {"tried": n_files, **counts, "escaped": escaped}
    print(json.dumps({**counted, "peak_bytes": peak_bytes() - begun}))


if __name__ == "__main__":
    main(*(int(argument) for argument in (*sys.argv[1:], *("200", "0")[len(sys.argv) - 1 :])))
