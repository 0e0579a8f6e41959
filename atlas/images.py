"""A folder of photographs: what is in it, and each as the network would get it.

Whatever people have in their folders is taken if it can be: any mode, any orientation. What
cannot be read is skipped and counted, never fatal.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from atlas.errors import SpecError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
MAX_PIXELS = 100_000_000  # of a photograph; more is taken for an attack
CROP_SHARE = 7 / 8  # of the short side, as ImageNet's networks are tested
N_AHEAD = 3  # batches being decoded

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Photographs:
    """The image files below a folder, in order of their paths."""

    folder: Path
    files: tuple[str, ...]  # relative to the folder, with forward slashes
    sha256: str  # of the files' names and sizes

    @classmethod
    def of(cls, folder: Path) -> Photographs:
        """Look through a folder tree.

        Raises:
            SpecError: there is no such folder, it cannot be read, or it holds no image.
        """
        if not folder.is_dir():
            raise SpecError(f"no folder {folder}; give a folder of images with --images")
        try:
            paths = sorted(
                path
                for path in folder.rglob("*")
                if path.suffix.lower() in SUFFIXES and path.is_file()
            )
            sizes = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]
        except OSError as error:
            raise SpecError(f"cannot read {error.filename}: {error.strerror}") from error
        if not paths:
            raise SpecError(f"no image in {folder}; --images takes {', '.join(sorted(SUFFIXES))}")
        digest = hashlib.sha256(repr(sizes).encode()).hexdigest()
        return cls(folder, tuple(name for name, _ in sizes), digest)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The folders that the images are sorted into, one per class; none where there are none."""
        return tuple(sorted({label for label in map(self.label, self.files) if label}))

    @staticmethod
    def label(file: str) -> str | None:
        """The class of an image: the first folder on the way to it."""
        return file.partition("/")[0] if "/" in file else None

    def batches(
        self, size_px: int, n_images: int, first: int = 0
    ) -> Iterator[Sequence[tuple[int, Pixels | None]]]:
        """All in order, in batches decoded ahead: (position in `files`, pixels if readable).

        Args:
            size_px: of the pixels.
            n_images: of a batch.
            first: position to begin at.
        """
        starts = range(first, len(self.files), n_images)
        with ThreadPoolExecutor(thread_name_prefix="photographs") as pool:
            ahead: deque[Iterator[Pixels | None]] = deque()
            for position, start in enumerate(starts):
                while len(ahead) < N_AHEAD and position + len(ahead) < len(starts):
                    begin = starts[position + len(ahead)]
                    chunk = self.files[begin : begin + n_images]
                    ahead.append(pool.map(lambda file: self.load(file, size_px), chunk))
                yield list(enumerate(ahead.popleft(), start))

    def load(self, file: str, size_px: int) -> Pixels | None:
        """One photograph as the network gets it: (size_px, size_px, 3), or None if unreadable."""
        try:
            with Image.open(self.folder / file) as image:
                if image.width * image.height > MAX_PIXELS:
                    return None
                return prepare(image, size_px)
        except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
            return None  # Pillow raises any of these on damaged files


def read_photograph(path: Path, size_px: int) -> Pixels:
    """One photograph as the network gets it, (size_px, size_px, 3).

    Raises:
        SpecError: it cannot be read.
    """
    if not path.is_file():
        raise SpecError(f"no file {path}; give an image, such as a JPEG or PNG")
    pixels = Photographs(path.parent, (path.name,), "").load(path.name, size_px)
    if pixels is None:
        raise SpecError(f"cannot read {path} as an image; give a JPEG, PNG, WebP or the like")
    return pixels


def prepare(image: Image.Image, size_px: int) -> Pixels:
    """The middle of an image, 7/8 of its short side wide and high: (size_px, size_px, 3), sRGB."""
    short_px = round(size_px / CROP_SHARE)
    image.draft("RGB", (short_px, short_px))  # a JPEG may be decoded at a fraction of its size
    upright = _rgb(ImageOps.exif_transpose(image))
    side_px = min(upright.size)
    margin_x, margin_y = ((length - side_px * CROP_SHARE) / 2 for length in upright.size)
    box = (margin_x, margin_y, upright.width - margin_x, upright.height - margin_y)
    middle = upright.resize((size_px, size_px), Image.Resampling.BILINEAR, box)
    return np.asarray(middle)


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB; what is transparent becomes white, 16 bits become 8."""
    if image.mode.startswith("I"):
        levels = np.asarray(image, dtype=np.float64)
        high = 65535 if levels.max(initial=0) > 255 else 255
        image = Image.fromarray((levels.clip(0, high) * (255 / high)).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", layer.size, "white")
        image.alpha_composite(layer)
    return image.convert("RGB")
