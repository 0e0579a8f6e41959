"""The image files below a folder, and which folders are classes.

Links are followed, each folder is read once. What is hidden, belongs to the system or to the build
itself is left out. Every other file that is not taken is counted.
"""

from __future__ import annotations

import errno
import itertools
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from atlas.reading import patiently
from atlas.text import displayable_name, unique

Parts = tuple[str, ...]  # of a path relative to the folder
FileState = tuple[str, int, int]  # absolute path, size in bytes, time of the last change in ns
FolderId = tuple[object, ...]  # what a folder is told from others by

SYSTEM_NAMES = frozenset(
    {
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "__macosx",
        "desktop.ini",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
SPLITS = frozenset({"train", "val", "valid", "validation", "test"})  # names of parts of a data set
HIDDEN, NOWHERE, NO_FILES, NO_SUFFIX = (
    "hidden or of the system",
    "links to nothing",
    "no regular files",
    "without a suffix",
)
N_COUNTS_SHOWN = 8
LABEL_LENGTH = 120  # characters of the name of a class that are shown


@dataclass(frozen=True)
class Tree:
    """The image files below a folder, in the order of their paths, and how many others there are.

    Attributes:
        files: state of each image file by its path.
        left_out: number of other files, by suffix or by what they are.
    """

    files: Mapping[Parts, FileState]
    left_out: Mapping[str, int]

    @property
    def left_out_words(self) -> str:
        """`12 .heic, 3 without a suffix`; empty if everything was taken."""
        counts = Counter(self.left_out).most_common()
        shown = [f"{count:,} {what}" for what, count in counts[:N_COUNTS_SHOWN]]
        if others := sum(count for _, count in counts[N_COUNTS_SHOWN:]):
            shown.append(f"{others:,} others")
        return ", ".join(shown)


def read_tree(folder: Path, suffixes: Collection[str], leave_out: Iterable[Path] = ()) -> Tree:
    """Find the image files below a folder.

    Args:
        folder: the folder.
        suffixes: suffixes of image files, in lower case.
        leave_out: folders that are not entered.

    Raises:
        ImagesError: a folder or the state of a file cannot be read now.
    """
    walk = _Walk(folder, suffixes)
    # A link to a folder above leads back to this one, and to much that nobody has asked for.
    walk.seen.update(_ids([*leave_out, *folder.resolve().parents]))
    walk.enter(())
    while walk.links:
        walk.enter(walk.links.pop(0))
    return Tree(dict(sorted(walk.files.items())), walk.left_out)


def classes_of(folders: Iterable[Parts]) -> dict[Parts, str]:
    """The class of each folder that holds images; folders that are no class are left out.

    Classes are the folders that hold images, by name, wherever they are. The folder that holds all
    others is none of them. Where the uppermost folders are parts of a data set, such as `train` and
    `val`, equal classes in them are one class.
    """
    holding = sorted(set(folders), key=len)
    while len(holding) > 1 and all(_is_above(holding[0], other) for other in holding[1:]):
        del holding[0]
    n_shared = _n_shared(holding)
    below = {folder: folder[n_shared:] for folder in holding}
    if any(len(parts) > 1 and _is_split(parts) for parts in below.values()):
        below = {folder: parts[_is_split(parts) :] for folder, parts in below.items()}
    return _named({folder: parts for folder, parts in below.items() if parts})


def _named(keys: Mapping[Parts, Parts]) -> dict[Parts, str]:
    """A name for each folder: the last part of its key where that is enough to tell classes."""
    distinct = sorted(set(keys.values()))
    uses = Counter(key[-1] for key in distinct)
    names = [key[-1] if uses[key[-1]] == 1 else "/".join(key) for key in distinct]
    shown = unique([displayable_name(name, LABEL_LENGTH) for name in names])
    label = dict(zip(distinct, shown, strict=True))
    return {folder: label[key] for folder, key in keys.items()}


def _n_shared(folders: Iterable[Parts]) -> int:
    """The number of first parts that are the same in all paths."""
    levels = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*folders, strict=False))
    return sum(1 for _ in levels)


def _is_above(folder: Parts, other: Parts) -> bool:
    return other[: len(folder)] == folder


def _is_split(parts: Parts) -> bool:
    return bool(parts) and parts[0].lower() in SPLITS


@dataclass
class _Walk:
    """One walk through a tree: folders first, and then what links lead to."""

    root: Path
    suffixes: Collection[str]
    files: dict[Parts, FileState] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    links: list[Parts] = field(default_factory=list)  # to folders
    seen: set[FolderId] = field(default_factory=set)

    def enter(self, top: Parts) -> None:
        """Take the files of a folder and of the folders below it."""
        waiting = [top]
        while waiting:
            parts = waiting.pop()
            path = self.root.joinpath(*parts)
            identity = _id(path, patiently(path.stat, path))
            if identity in self.seen and parts:
                continue
            self.seen.add(identity)
            folders = [(*parts, entry.name) for entry in _listing(path) if self._take(parts, entry)]
            waiting += reversed(folders)

    def _take(self, parts: Parts, entry: os.DirEntry[str]) -> bool:
        """Take a file or link, or count it; returns whether it is a folder to be entered."""
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM_NAMES:
            self.left_out[HIDDEN] += 1
            return False
        if entry.is_dir(follow_symlinks=False):
            return True
        suffix = PurePath(entry.name).suffix.lower()
        if not entry.is_symlink() and suffix not in self.suffixes:
            self._leave_out(suffix)
            return False
        state = _state(Path(entry.path))
        if state is None:
            self.left_out[NOWHERE] += 1
        elif stat.S_ISDIR(state.st_mode):
            self.links.append((*parts, entry.name))
        elif suffix not in self.suffixes:
            self._leave_out(suffix)
        elif not stat.S_ISREG(state.st_mode):
            self.left_out[NO_FILES] += 1
        else:
            path = str(Path(entry.path).absolute())
            name = (*parts, entry.name)
            self.files[name] = (path, state.st_size, state.st_mtime_ns)
        return False

    def _leave_out(self, suffix: str) -> None:
        self.left_out[displayable_name(suffix, 12) or NO_SUFFIX] += 1


def _listing(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, in order."""

    def read() -> list[os.DirEntry[str]]:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)

    return patiently(read, folder)


def _state(path: Path) -> os.stat_result | None:
    """The state of a file, or of what a link leads to; None if there is nothing."""

    def read() -> os.stat_result | None:
        try:
            return path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno == errno.ELOOP:  # the link leads to itself
                return None
            raise

    return patiently(read, path)


def _ids(folders: Iterable[Path]) -> set[FolderId]:
    states = ((folder, _state(folder)) for folder in folders)
    return {_id(folder, state) for folder, state in states if state}


def _id(folder: Path, state: os.stat_result) -> FolderId:
    """Device and number of a folder; its path where the file system has no numbers."""
    return (state.st_dev, state.st_ino) if state.st_ino else (str(folder.resolve()),)
