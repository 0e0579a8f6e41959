"""Sets of images: what is in one, and each image as a network would get it.

Whatever people have in their folders is taken if it can be: any mode, any orientation. What
cannot be read is skipped and counted, never fatal.
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
MAX_PIXELS = 100_000_000  # of a photograph; more is taken for an attack
N_AHEAD = 3  # batches being decoded
N_READERS = 4  # files being read at once, to tell their digests
N_PER_CHUNK = 256  # files handed to the readers at once
PATIENCE_S = 2.0  # reading that takes longer shows a bar

FileState = tuple[str, int, int]  # absolute path, size in bytes, time of the last change in ns


class ImageSet(ABC):
    """Images with names like files, in a fixed order, each perhaps of a class.

    Attributes:
        files: names, relative and with forward slashes.
        sha256: identity of all the images.
    """

    files: tuple[str, ...]
    sha256: str

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in order; none where the images are not sorted."""

    @abstractmethod
    def label(self, file: str) -> str | None:
        """The class of an image, one of `labels`; None where it is in none."""

    @abstractmethod
    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | None:
        """One image as the network gets it, (size_px, size_px, 3); None if it is unreadable."""

    def batches(
        self, preprocessing: Preprocessing, n_images: int, first: int = 0
    ) -> Iterator[Sequence[tuple[int, Pixels | None]]]:
        """All in order, in batches decoded ahead: (position in `files`, pixels if readable).

        Args:
            preprocessing: what the network expects.
            n_images: of a batch.
            first: position to begin at.
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
        """Look through a folder tree.

        Args:
            folder: what to look through.
            known: digests of files that were read before, by their state; those of files that are
                read now are added.

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
            # A file that cannot be read counts by its size.
            (name, digests.get(state, f"{state[1]} bytes"))
            for name, state in states.items()
        ]
        return cls(folder, tuple(states), hashlib.sha256(repr(contents).encode()).hexdigest())

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The folders that the images are sorted into, one per class; none where there are none."""
        return tuple(sorted({label for label in map(self.label, self.files) if label}))

    def label(self, file: str) -> str | None:
        """The class of an image: the first folder on the way to it."""
        return file.partition("/")[0] if "/" in file else None

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | None:
        """One photograph as the network gets it; None if it is unreadable."""
        try:
            with Image.open(self.folder / file) as image:
                if image.width * image.height > MAX_PIXELS:
                    return None
                return prepare(image, preprocessing)
        except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
            return None  # Pillow raises any of these on damaged files


def read_photograph(path: Path, preprocessing: Preprocessing) -> Pixels:
    """One photograph as the network gets it, (size_px, size_px, 3).

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
    """The middle of an image as the weights' own transforms cut it: (size_px, size_px, 3), sRGB.

    They resize the short side to `resize_px` and cut out `size_px`; here only what is cut out is
    resized.
    """
    size_px, resize_px = preprocessing.size_px, preprocessing.resize_px
    share = min(1.0, size_px / resize_px)  # of the short side that is seen
    # A JPEG may be decoded at a fraction of its size.
    image.draft("RGB", (round(resize_px), round(resize_px)))
    upright = _rgb(ImageOps.exif_transpose(image))
    side_px = min(upright.size)
    margin_x, margin_y = ((length - side_px * share) / 2 for length in upright.size)
    box = (margin_x, margin_y, upright.width - margin_x, upright.height - margin_y)
    resampling = Image.Resampling[preprocessing.interpolation.upper()]
    return np.asarray(upright.resize((size_px, size_px), resampling, box))


def _image_states(folder: Path) -> dict[str, FileState]:
    """The image files below a folder by their names, in order."""
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
    except OSError:  # a link to nowhere, or in a folder that may not be entered
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _digests(
    states: Sequence[FileState], known: MutableMapping[FileState, str]
) -> Mapping[FileState, str]:
    """Digests of the contents of all files that can be read; those that are known are not read."""
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
