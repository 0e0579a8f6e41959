"""From the bytes of an image file to pixels: which formats, how much memory, what is skipped.

Whatever is wrong with a file, it is skipped and says why. What is wrong with the machine, such as a
disk that cannot be read or a lack of memory, is an error, because it says nothing about the file.
"""

from __future__ import annotations

import errno
import functools
import io
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from atlas.heap import return_freed_memory
from atlas.memory_budget import MemoryBudget, TooMuchError
from atlas.pixels import Pixels
from atlas.reading import Stored, contents, patiently
from atlas.text import displayable
from atlas.units import Preprocessing

# The only formats that are opened: none of them is a program, as PostScript is.
SUFFIX_FORMATS: Mapping[str, str] = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".jp2": "JPEG2000",
    ".tga": "TGA",
}
OPTIONAL_CODECS = {"WEBP": "webp", "AVIF": "avif", "JPEG2000": "jpg_2000"}
UNSIGNED = "TGA"  # begins like nothing in particular, so only the suffix tells it

MAX_PIXELS = 100_000_000  # larger images are skipped, as possible decompression bombs
MEMORY = MemoryBudget(2**30)  # of all images that are decoded at once
KEPT_BYTES = 2**25  # memory of one image that may stay in the heap of its thread
STRIP_PX, STRIP_BYTES = 1 << 20, 48  # pixels that are converted at once, and memory for each
DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # bits that cameras and scanners use for a level

# Bytes per pixel while an image is decoded, in addition to the image itself, and those that the
# decoder keeps afterwards: the most of what was measured, rounded up.
DECODERS: Mapping[str, tuple[int, int]] = {"WEBP": (16, 12), "AVIF": (20, 12), "JPEG2000": (28, 4)}
READ_WHOLE = frozenset({"WEBP", "AVIF", "JPEG2000"})  # their decoders copy the file
PROGRESSIVE, PROGRESSIVE_BYTES = ("JPEG", "MPO"), 8  # bytes per pixel at the full size
PIXEL_BYTES: Mapping[str, int] = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2}

DAMAGED, TOO_LARGE = "cannot be decoded", "too large"  # groups of files that are skipped

UPRIGHT: Mapping[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112  # the tag of EXIF


@dataclass(frozen=True)
class Skipped:
    """Why a file is not used."""

    group: str  # DAMAGED or TOO_LARGE
    reason: str  # the same in every run


@functools.cache
def suffixes() -> frozenset[str]:
    """Suffixes of the files that are taken for images: those that Pillow here can read."""
    Image.init()
    registered = Image.registered_extensions()
    return frozenset(
        suffix
        for suffix, name in SUFFIX_FORMATS.items()
        if registered.get(suffix) == name
        and name in Image.OPEN
        and (name not in OPTIONAL_CODECS or features.check(OPTIONAL_CODECS[name]))
    )


@functools.cache
def formats(suffix: str) -> tuple[str, ...]:
    """Formats that a file with this suffix may have: all that are promised, whatever it says."""
    names = dict.fromkeys(SUFFIX_FORMATS[each] for each in SUFFIX_FORMATS if each in suffixes())
    return tuple(name for name in names if name != UNSIGNED or SUFFIX_FORMATS.get(suffix) == name)


def load(image: Path | Stored, preprocessing: Preprocessing) -> Pixels | Skipped:
    """An image as the network takes it, (size_px, size_px, 3), or why it is skipped.

    Args:
        image: its file, or where in a file it is.
        preprocessing: how the network expects images.

    Raises:
        ImagesError: it cannot be read now, though it may be a good image.
    """
    path = image if isinstance(image, Path) else image.path
    return patiently(lambda: _load(image, preprocessing), path)


def prepare(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """The middle of an image as the weights' own transforms crop it: (size_px, size_px, 3), sRGB.

    Those resize the short side to `resize_px` and then crop `size_px`. Here the image is cropped
    first, so that only the part that is kept is resized.
    """
    size_px, resize_px = preprocessing.size_px, preprocessing.resize_px
    share = min(1.0, size_px / resize_px)  # part of the short side that is kept
    _draft(image, preprocessing)
    is_deep = _is_deep_colour(image)
    image.load()
    method = UPRIGHT.get(_orientation(image))
    upright = _brightened(image) if is_deep else _to_rgb(image)
    if method is not None:
        upright = upright.transpose(method)
    side_px = min(upright.size)
    margin_x, margin_y = ((length - side_px * share) / 2 for length in upright.size)
    box = (margin_x, margin_y, upright.width - margin_x, upright.height - margin_y)
    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    return np.asarray(upright.resize((size_px, size_px), resampling, box))


def _load(image: Path | Stored, preprocessing: Preprocessing) -> Pixels | Skipped:
    """As `load`.

    Raises:
        OSError: the file cannot be read now.
    """
    n_bytes = image.stat().st_size if isinstance(image, Path) else image.n_bytes
    try:
        while True:
            with MEMORY.reserve(n_bytes) as reserved:
                attempt = _decode(image, preprocessing, reserved.grow)
                if reserved.n_bytes > KEPT_BYTES:  # else each thread would keep so much for itself
                    return_freed_memory()
            if not isinstance(attempt, int):
                return attempt
            n_bytes = attempt  # others are using the memory: wait for so much, without the file
    except TooMuchError as error:
        return Skipped(TOO_LARGE, str(error))
    except MemoryError as error:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)) from error


def _decode(
    stored: Path | Stored, preprocessing: Preprocessing, may_use: Callable[[int], bool]
) -> Pixels | Skipped | int:
    """The pixels, or why there are none; the bytes of memory needed if they may not be used."""
    data = contents(stored) if isinstance(stored, Path) else stored.contents()
    n_bytes, image = len(data), None
    try:
        image = Image.open(io.BytesIO(data), formats=formats(stored.suffix.lower()))
        n_pixels = image.width * image.height
        if n_pixels > MAX_PIXELS:
            return _too_many_pixels(n_pixels)
        n_bytes += _bytes_to_decode(image, preprocessing, len(data))
        return prepare(image, preprocessing) if may_use(n_bytes) else n_bytes
    except TooMuchError:
        raise
    except Image.DecompressionBombError:
        return _too_many_pixels(None)
    except Exception as error:  # decoders raise anything on damaged files
        if not _has_memory(n_bytes):
            raise MemoryError from error
        return Skipped(DAMAGED, _reason(error))
    finally:
        if image is not None:
            image.close()


def _too_many_pixels(n_pixels: int | None) -> Skipped:
    size = f"{n_pixels / 1e6:,.0f} megapixels, " if n_pixels else ""
    return Skipped(TOO_LARGE, f"{size}more than {MAX_PIXELS / 1e6:.0f} megapixels")


def _reason(error: Exception) -> str:
    """What a decoder said, without anything that differs from run to run."""
    if isinstance(error, UnidentifiedImageError):
        return "no image of a known format"
    if isinstance(error, MemoryError):
        return "asks for more memory than its size explains"
    words = re.sub(r"\b0x[0-9a-fA-F]+", "", str(error)).strip() or type(error).__name__
    return displayable(words, 120)


def _has_memory(n_bytes: int) -> bool:
    """Whether so much memory can be had, or a failure says nothing about the file."""
    try:
        np.empty(n_bytes, np.uint8)
    except MemoryError:
        return False
    return True


def _draft(image: Image.Image, preprocessing: Preprocessing) -> None:
    """Let Pillow decode a JPEG at a reduced size, which is faster."""
    image.draft("RGB", (round(preprocessing.resize_px), round(preprocessing.resize_px)))


def _bytes_to_decode(image: Image.Image, preprocessing: Preprocessing, n_file_bytes: int) -> int:
    """The most memory that `prepare` needs for an image beside its file, before it is decoded."""
    full_px = image.width * image.height
    _draft(image, preprocessing)
    n_pixels = image.width * image.height
    name, pixel_bytes = image.format, PIXEL_BYTES.get(image.mode, 4)
    while_decoding, afterwards = DECODERS.get(name or "", (0, 0))
    converted = 0 if _is_plain(image) and not _is_deep_colour(image) else 4
    turned = 4
    needed = n_pixels * pixel_bytes + n_pixels * max(
        while_decoding, afterwards + converted + turned
    )
    if not _is_plain(image):
        needed += min(n_pixels, STRIP_PX) * STRIP_BYTES
    if name in PROGRESSIVE and "progressive" in image.info:
        needed += full_px * PROGRESSIVE_BYTES
    if name in READ_WHOLE:
        needed += n_file_bytes
    return needed + (_largest_part_bytes(image) if name == "TIFF" else 0)


def _largest_part_bytes(image: Image.Image) -> int:
    """Bytes of a strip or tile of a TIFF, which its decoder holds at once."""
    (tile_width, *_), (tile_height, *_) = _tag(image, 322), _tag(image, 323)
    (n_rows, *_) = _tag(image, 278)
    width = tile_width or image.width
    height = tile_height or min(n_rows or image.height, image.height)
    n_bits = max(_tag(image, 258)) or 8
    return width * height * max(1, *_tag(image, 277)) * n_bits // 8


def _tag(image: Image.Image, number: int) -> tuple[int, ...]:
    """The numbers of a tag of a TIFF; 0 if it has none."""
    found = getattr(image, "tag_v2", {}).get(number)
    numbers = found if isinstance(found, tuple) else (found or 0,)
    return tuple(map(int, numbers)) or (0,)


def _is_plain(image: Image.Image) -> bool:
    return image.mode == "RGB" and "transparency" not in image.info


def _is_deep_colour(image: Image.Image) -> bool:
    """Whether an image that is not loaded yet has 16 bits a colour, of which Pillow reads 8."""
    raw_modes = [str(tile.args) for tile in getattr(image, "tile", ())]
    return _is_plain(image) and any("RGB;16" in raw_mode for raw_mode in raw_modes)


def _brightened(image: Image.Image) -> Image.Image:
    """An image with 16 bits a colour; one that uses the lower 10, 12 or 14 bits is scaled."""
    highest = max(index % 256 for index, count in enumerate(image.histogram()) if count)
    bits = next(bits for bits in DEPTHS if bits > 8 and highest < 2 ** (bits - 8))
    if bits == 16:
        return image
    white = 2 ** (bits - 8) - 1
    return image.point([min(255, round(level * 255 / white)) for level in range(256)] * 3)


def _orientation(image: Image.Image) -> int:
    """How a camera was held, 1 to 8; 1 where that cannot be read."""
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
        return int(orientation)
    except Exception:  # what cameras and programs write there is read by nobody else
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB; transparent parts become white, other depths become 8 bits."""
    if _is_plain(image):
        return image
    levels = _levels(image) if image.mode[0] in "IF" else None
    rgb = Image.new("RGB", image.size)
    for corner, strip in _strips(image):
        rgb.paste(_strip_to_rgb(strip, levels), corner)
    return rgb


def _strips(image: Image.Image) -> Iterator[tuple[tuple[int, int], Image.Image]]:
    """Parts of an image with their upper left corners, so that copies of them are small."""
    width = min(image.width, STRIP_PX)
    height = max(1, STRIP_PX // width)
    for top in range(0, image.height, height):
        for left in range(0, image.width, width):
            right, bottom = min(left + width, image.width), min(top + height, image.height)
            yield (left, top), image.crop((left, top, right, bottom))


class _Levels(NamedTuple):
    """Which levels of an image are black and white."""

    black: float
    white: float
    are_real: bool = False

    def to_8_bits(self, strip: NDArray[np.float64]) -> NDArray[np.uint8]:
        """Levels of a strip as 0 to 255."""
        inside = np.nan_to_num(strip, nan=self.black).clip(self.black, self.white)
        span = (self.white - self.black) or 1.0
        levels = (inside - self.black) * (255 / span)
        return (np.rint(levels) if self.are_real else levels).astype(np.uint8)


def _strip_to_rgb(strip: Image.Image, levels: _Levels | None) -> Image.Image:
    if levels:
        return Image.fromarray(levels.to_8_bits(_as_floats(strip))).convert("RGB")
    if strip.has_transparency_data:
        transparent = strip.convert("RGBA")
        strip = Image.new("RGBA", transparent.size, "white")
        strip.alpha_composite(transparent)
    return strip.convert("RGB")


def _as_floats(strip: Image.Image) -> NDArray[np.float64]:
    return np.asarray(strip, dtype=np.float64)


def _levels(image: Image.Image) -> _Levels:
    """Black and white of an image with deep or real levels."""
    lowest, highest = np.inf, -np.inf
    for _, strip in _strips(image):
        values = _as_floats(strip)
        values = values[np.isfinite(values)]
        lowest = min(lowest, float(values.min(initial=np.inf)))
        highest = max(highest, float(values.max(initial=-np.inf)))
    if lowest > highest:  # no value is finite
        return _Levels(0, 1)
    return _real_levels(lowest, highest) if image.mode == "F" else _deep_levels(image, highest)


def _real_levels(lowest: float, highest: float) -> _Levels:
    """0 to 1, which a filter may have exceeded a little; or 0 to 255; or else what is there."""
    if lowest >= -0.1 and highest <= 1.1:
        return _Levels(0, 1, are_real=True)
    if lowest >= 0 and highest <= 255:
        return _Levels(0, 255, are_real=True)
    return _Levels(lowest, highest, are_real=True)


def _deep_levels(image: Image.Image, highest: float) -> _Levels:
    """White is the highest level of the depth that the file names, or that its levels need."""
    (named, *_) = _tag(image, 258)
    needed = next((bits for bits in DEPTHS if highest < 2**bits), DEPTHS[-1])
    bits = named if named in DEPTHS and needed <= named < 16 else needed
    return _Levels(0, 2**bits - 1)
