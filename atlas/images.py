"""Sets of images, and single images cropped and resized for a network.

Image files of any mode and orientation are accepted. Files that cannot be decoded are skipped and
counted; they do not stop a build. Files that cannot be read at the moment do.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from atlas.decoding import Skipped, load
from atlas.errors import SpecError
from atlas.image_tars import ImageTree, find_images
from atlas.pixels import Pixels
from atlas.progress import SILENT, Progress, counted
from atlas.reading import Stored, content_sha256, patiently
from atlas.text import displayable_name, unique
from atlas.tree import FileState, Parts
from atlas.units import Preprocessing

N_AHEAD = 3  # batches that are decoded in advance
N_READERS = 4  # threads that read files to compute their digests
N_PER_CHUNK = 256  # files handed to these threads at once
PATIENCE_S = 2.0  # reading that takes longer is shown


class ImageSet(ABC):
    """Images in a fixed order, named like files, and perhaps sorted into classes.

    Attributes:
        files: names of the images, as relative paths with forward slashes, fit to be shown.
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
    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | Skipped:
        """One image as the network takes it, (size_px, size_px, 3), or why it is skipped.

        Raises:
            ImagesError: it cannot be read now, though it may be a good image.
        """

    @property
    def left_out(self) -> str:
        """What was found beside the images and is none of them, in words; empty if nothing was."""
        return ""

    def batches(
        self, preprocessing: Preprocessing, n_images: int, first: int = 0, end: int | None = None
    ) -> Iterator[Sequence[tuple[int, Pixels | Skipped]]]:
        """All images in order, or some of them, in batches that are decoded in advance.

        Args:
            preprocessing: how the network expects images.
            n_images: images per batch.
            first: position in `files` to start at.
            end: position in `files` to stop before; at the end if left out.

        Yields:
            For each image of a batch, its position in `files`, and its pixels or why it is skipped.

        Raises:
            ImagesError: an image cannot be read now.
        """
        files = self.files[:end]
        starts = range(first, len(files), n_images)
        pool = ThreadPoolExecutor(thread_name_prefix="images")
        try:
            ahead: deque[Iterator[Pixels | Skipped]] = deque()
            for position, start in enumerate(starts):
                while len(ahead) < N_AHEAD and position + len(ahead) < len(starts):
                    begin = starts[position + len(ahead)]
                    chunk = files[begin : begin + n_images]
                    ahead.append(pool.map(lambda file: self.load(file, preprocessing), chunk))
                yield list(enumerate(ahead.popleft(), start))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class ImagesOf(ImageSet):
    """The images of another set, for sets that differ from it in one way."""

    def __init__(self, images: ImageSet) -> None:
        self.files, self.sha256 = images.files, images.sha256
        self._images = images

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes of the other set."""
        return self._images.labels

    def label(self, file: str) -> str | None:
        """The class of an image."""
        return self._images.label(file)

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | Skipped:
        """One image, or why it is skipped."""
        return self._images.load(file, preprocessing)


@dataclass(frozen=True)
class ImageFolder(ImageSet):
    """The image files below a folder, in order of their paths.

    A folder without any may have tar archives of images (`atlas.image_tars`); each is as a folder.
    """

    folder: Path
    files: tuple[str, ...]
    sha256: str  # of the files' names and contents, and of unusual classes
    paths: Mapping[str, str] = field(default_factory=dict, hash=False)  # of files shown otherwise
    classes: Mapping[str, str] = field(default_factory=dict, hash=False)  # by file
    left_out: str = ""
    stored: Mapping[str, Stored] = field(default_factory=dict, hash=False)  # those in archives

    @classmethod
    def of(
        cls,
        folder: Path,
        known: MutableMapping[FileState, str] | None = None,
        leave_out: Iterable[Path] = (),
        progress: Progress = SILENT,
    ) -> ImageFolder:
        """Find the images in a folder and its subfolders, or in tar archives.

        Args:
            folder: the folder, or a single archive.
            known: digests of files that were read before, by their state; digests of files that
                are read now are added to it.
            leave_out: folders that are not entered, such as those of the build.
            progress: shows how far the reading of files has got.

        Raises:
            SpecError: there is no such folder, it holds no image, or an archive is damaged.
            ImagesError: a folder or a file in it cannot be read now.
        """
        tree = find_images(folder, leave_out)
        states = {state: tree.stored.get(parts) for parts, state in tree.files.items()}
        digests = _digests(states, {} if known is None else known, progress)
        return cls._of_tree(folder, tree, digests)

    @classmethod
    def _of_tree(
        cls, folder: Path, tree: ImageTree, digests: Mapping[FileState, str]
    ) -> ImageFolder:
        paths = ["/".join(parts) for parts in tree.files]
        files = unique([displayable_name(path) for path in paths])
        parts_of = dict(zip(files, tree.files, strict=True))
        classes = {
            file: tree.classes[parts] for file, parts in parts_of.items() if parts in tree.classes
        }
        identity: object = [
            (path, digests[state]) for path, state in zip(paths, tree.files.values(), strict=True)
        ]
        if _are_unusual(classes, parts_of):
            identity = (identity, sorted(classes.items()))
        return cls(
            folder,
            tuple(files),
            hashlib.sha256(repr(identity).encode()).hexdigest(),
            {file: path for file, path in zip(files, paths, strict=True) if file != path},
            classes,
            tree.left_out_words,
            {file: tree.stored[parts] for file, parts in parts_of.items() if parts in tree.stored},
        )

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the folders that are classes; empty if there are none."""
        return tuple(sorted(set(self.classes.values())))

    def label(self, file: str) -> str | None:
        """The class of an image: the folder that it is in; None if that is no class."""
        return self.classes.get(file)

    def load(self, file: str, preprocessing: Preprocessing) -> Pixels | Skipped:
        """One photograph as the network takes it, or why it is skipped.

        Raises:
            ImagesError: it cannot be read now.
        """
        stored = self.stored.get(file) or self.folder / self.paths.get(file, file)
        return load(stored, preprocessing)


def read_photograph(path: Path, preprocessing: Preprocessing) -> Pixels:
    """One photograph as the network takes it, (size_px, size_px, 3).

    Raises:
        SpecError: there is no such file, or it is no image.
        ImagesError: it cannot be read now.
    """
    shown = displayable_name(str(path))
    try:
        is_file = path.is_file()
    except OSError as error:  # a folder that may not be entered, a name that is too long
        raise SpecError(f"cannot read {shown}: {error.strerror}; give an image") from error
    if not is_file:
        raise SpecError(f"no file {shown}; give an image, such as a JPEG or PNG")
    pixels = load(path, preprocessing)
    if isinstance(pixels, Skipped):
        raise SpecError(
            f"cannot read {shown} as an image: {pixels.reason}; give a JPEG, PNG, WebP or the like"
        )
    return pixels


def _are_unusual(classes: Mapping[str, str], parts: Mapping[str, Parts]) -> bool:
    """Whether classes are not just the uppermost folders, as earlier versions took them.

    Only then are they part of an identity, so that what was measured before is still found.
    """
    usual = {file: each[0] for file, each in parts.items() if len(each) > 1}
    if len(set(usual.values())) < 2 and len(set(classes.values())) < 2:
        return False
    return usual != classes


def _digests(
    states: Mapping[FileState, Stored | None],
    known: MutableMapping[FileState, str],
    progress: Progress,
) -> Mapping[FileState, str]:
    """Digests of the contents of all files; files with a known digest are not read.

    Args:
        states: the files by their states, with where they are if that is in another file.
        known: digests by state; new ones are added.
        progress: shows how far the reading has got.

    Raises:
        ImagesError: a file cannot be read now.
    """
    digests = {state: known[state] for state in states if state in known}
    unknown = [item for item in states.items() if item[0] not in digests]
    reading = counted(progress, "reading photographs", "files", PATIENCE_S)
    with reading as show, ThreadPoolExecutor(N_READERS, thread_name_prefix="digests") as pool:
        for start in range(0, len(unknown), N_PER_CHUNK):
            chunk = unknown[start : start + N_PER_CHUNK]
            found = dict(zip([state for state, _ in chunk], pool.map(_digest, chunk), strict=True))
            known.update(found)
            digests.update(found)
            show(start + len(chunk), len(unknown))
    return digests


def _digest(item: tuple[FileState, Stored | None]) -> str:
    (path_text, *_), stored = item
    path = Path(path_text)
    if stored:
        return patiently(stored.sha256, stored.path)
    return patiently(lambda: content_sha256(path), path)
