"""Sets of images, and single images cropped and resized for a network.

Image files of any mode and orientation are accepted. Files that cannot be read are skipped and
counted; they do not stop a build.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from atlas.digest import stream_sha256
from atlas.errors import SpecError
from atlas.pixels import Pixels
from atlas.units import Preprocessing

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"})
MAX_PIXELS = 100_000_000  # larger images are skipped, as possible decompression bombs
N_AHEAD = 3  # batches that are decoded in advance
N_READERS = 4  # threads that read files to compute their digests
N_PER_CHUNK = 256  # files handed to these threads at once
PATIENCE_S = 2.0  # reading that takes longer shows a progress bar

FileState = tuple[str, int, int]  # absolute path, size in bytes, time of the last change in ns


class ImageSet(ABC):
    """Images in a fixed order, named like files, and perhaps sorted into classes.

    Attributes:
        files: names of the images, as relative paths with forward slashes.
        sha256: digest that identifies the whole set.
    """

    files: tuple[str, ...]
    sha256: str

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in order; empty if the images are not sorted into classes."""

    @abstractmethod
    def label(self, file: str) -> str | None:
        """The class of an image, one of `labels`; None if it has no class."""

    @abstractmethod
    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | None:
        """One image as the network takes it, (size_px, size_px, 3); None if it is unreadable."""

    def batches(
        self, preprocessing: Preprocessing, n_images: int, first: int = 0
    ) -> Iterator[Sequence[tuple[int, Pixels | None]]]:
        """All images in order, in batches that are decoded in advance.

        Args:
            preprocessing: how the network expects images.
            n_images: images per batch.
            first: position in `files` to start at.

        Yields:
            For each image of a batch, its position in `files`, and its pixels or None if it is
            unreadable.
        """
        starts = range(first, len(self.files), n_images)
        with ThreadPoolExecutor(thread_name_prefix="images") as pool:
            ahead: deque[Iterator[Pixels | None]] = deque()
            for position, start in enumerate(starts):
                while len(ahead) < N_AHEAD and position + len(ahead) < len(starts):
                    begin = starts[position + len(ahead)]
                    chunk = self.files[begin : begin + n_images]
                    ahead.append(pool.map(lambda file: self.load(file, preprocessing), chunk))
                yield list(enumerate(ahead.popleft(), start))


@dataclass(frozen=True)
class ImageFolder(ImageSet):
    """The image files below a folder, in order of their paths."""

    folder: Path
    files: tuple[str, ...]
    sha256: str  # of the files' names and contents

    @classmethod
    def of(cls, folder: Path, known: MutableMapping[FileState, str] | None = None) -> ImageFolder:
        """Find the images in a folder and its subfolders.

        Args:
            folder: the folder.
            known: digests of files that were read before, by their state; digests of files that
                are read now are added to it.

        Raises:
            SpecError: there is no such folder, it cannot be read, or it holds no image.
        """
        if not folder.is_dir():
            raise SpecError(f"no folder {folder}; give a folder of images with --images")
        try:
            states = _image_states(folder)
        except OSError as error:
            raise SpecError(f"cannot read {error.filename}: {error.strerror}") from error
        if not states:
            raise SpecError(f"no image in {folder}; --images takes {', '.join(sorted(SUFFIXES))}")
        digests = _digests(tuple(states.values()), {} if known is None else known)
        contents = [
            # A file that cannot be read is identified by its size.
            (name, digests.get(state, f"{state[1]} bytes"))
            for name, state in states.items()
        ]
        return cls(folder, tuple(states), hashlib.sha256(repr(contents).encode()).hexdigest())

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the subfolders with images, one per class; empty if there are none."""
        return tuple(sorted({label for label in map(self.label, self.files) if label}))

    def label(self, file: str) -> str | None:
        """The class of an image: the first folder in its path; None if it is in no subfolder."""
        return file.partition("/")[0] if "/" in file else None

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | None:
        """One photograph as the network takes it; None if it is unreadable or too large."""
        try:
            with Image.open(self.folder / file) as image:
                if image.width * image.height > MAX_PIXELS:
                    return None
                return prepare(image, preprocessing)
        except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
            return None  # Pillow raises any of these on damaged files


def read_photograph(path: Path, preprocessing: Preprocessing) -> Pixels:
    """One photograph as the network takes it, (size_px, size_px, 3).

    Raises:
        SpecError: it cannot be read.
    """
    if not path.is_file():
        raise SpecError(f"no file {path}; give an image, such as a JPEG or PNG")
    pixels = ImageFolder(path.parent, (path.name,), "").load(path.name, preprocessing)
    if pixels is None:
        raise SpecError(f"cannot read {path} as an image; give a JPEG, PNG, WebP or the like")
    return pixels


def prepare(image: Image.Image, preprocessing: Preprocessing) -> Pixels:
    """The middle of an image as the weights' own transforms crop it: (size_px, size_px, 3), sRGB.

    Those resize the short side to `resize_px` and then crop `size_px`. Here the image is cropped
    first, so that only the part that is kept is resized.
    """
    size_px, resize_px = preprocessing.size_px, preprocessing.resize_px
    share = min(1.0, size_px / resize_px)  # part of the short side that is kept
    # Lets Pillow decode a JPEG at a reduced size, which is faster.
    image.draft("RGB", (round(resize_px), round(resize_px)))
    upright = _to_rgb(ImageOps.exif_transpose(image))
    side_px = min(upright.size)
    margin_x, margin_y = ((length - side_px * share) / 2 for length in upright.size)
    box = (margin_x, margin_y, upright.width - margin_x, upright.height - margin_y)
    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    return np.asarray(upright.resize((size_px, size_px), resampling, box))


def _image_states(folder: Path) -> dict[str, FileState]:
    """The states of the image files below a folder, by relative name, in order."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    states: dict[str, FileState] = {}
    for path in paths:
        if status := _regular_file(path):
            state = (str(path.absolute()), status.st_size, status.st_mtime_ns)
            states[path.relative_to(folder).as_posix()] = state
    return states


def _regular_file(path: Path) -> os.stat_result | None:
    try:
        status = path.stat()
    except OSError:  # a broken link, or a file in a folder without access rights
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _digests(
    states: Sequence[FileState], known: MutableMapping[FileState, str]
) -> Mapping[FileState, str]:
    """Digests of the contents of all readable files; files with a known digest are not read."""
    digests = {state: known[state] for state in states if state in known}
    unknown = [state for state in states if state not in digests]
    bar = tqdm(
        total=len(unknown),
        desc="images",
        unit="file",
        file=sys.stderr,
        leave=False,
        delay=PATIENCE_S,
    )
    with bar, ThreadPoolExecutor(N_READERS, thread_name_prefix="digests") as pool:
        for start in range(0, len(unknown), N_PER_CHUNK):
            chunk = unknown[start : start + N_PER_CHUNK]
            for state, digest in zip(chunk, pool.map(_content_sha256, chunk), strict=True):
                if digest:
                    known[state] = digests[state] = digest
                bar.update()
    return digests


def _content_sha256(state: FileState) -> str | None:
    path, _, _ = state
    try:
        with Path(path).open("rb") as file:
            return stream_sha256(file)
    except OSError:
        return None


def _to_rgb(image: Image.Image) -> Image.Image:
    """An image of any mode as RGB; transparent parts become white, 16 bits become 8."""
    if image.mode.startswith("I"):
        levels = np.asarray(image, dtype=np.float64)
        white_level = 65535 if levels.max(initial=0) > 255 else 255
        levels = levels.clip(0, white_level) * (255 / white_level)
        image = Image.fromarray(levels.astype(np.uint8))
    if image.has_transparency_data:
        transparent = image.convert("RGBA")
        image = Image.new("RGBA", transparent.size, "white")
        image.alpha_composite(transparent)
    return image.convert("RGB")
