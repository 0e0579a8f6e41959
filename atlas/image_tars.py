"""The images of a folder, or of tar archives: those of a set of shards as WebDataset has them.

In an archive, files whose names are equal up to their first dot are one sample: `0017.jpg` is the
image of sample `0017`, and `0017.cls`, `0017.txt` or `0017.json` has its class. Where no sample has
any, the folders in the archives are the classes, as they are of a folder that is unpacked.

Source: https://github.com/webdataset/webdataset#the-webdataset-format
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from atlas.decoding import suffixes
from atlas.errors import SpecError
from atlas.files import open_regular
from atlas.reading import Stored, patiently
from atlas.tars import Member, members
from atlas.text import displayable_name, unique
from atlas.tree import (
    HIDDEN,
    LABEL_LENGTH,
    NO_FILES,
    NO_SUFFIX,
    SYSTEM_NAMES,
    FileState,
    Parts,
    Tree,
    classes_of,
    read_tree,
)

ARCHIVES = frozenset({".tar"})
CLASS_SUFFIXES = (".cls", ".txt", ".json")  # the first of them that gives a class counts
CLASS_NAMES = ("cls", "label", "class", "class_name")  # in a JSON object, likewise
MAX_CLASS_BYTES = 1 << 16  # of a file with a class; longer ones have none
MAX_ARCHIVE_BYTES = 1 << 50


@dataclass(frozen=True)
class ImageTree(Tree):
    """A tree with the classes of its files, and where they are if they are in archives."""

    classes: Mapping[Parts, str] = field(default_factory=dict)
    stored: Mapping[Parts, Stored] = field(default_factory=dict)


def find_images(path: Path, leave_out: Iterable[Path] = ()) -> ImageTree:
    """Find the images in a folder and its subfolders; if there are none, those in its archives.

    Args:
        path: the folder, or a single archive.
        leave_out: folders that are not entered.

    Raises:
        SpecError: there is no such folder, it holds no image, or an archive is damaged.
        ImagesError: a folder or a file in it cannot be read now.
    """
    shown = displayable_name(str(path))
    if _is_archive(path):
        tree = _in_archives({(): path})
    elif _is_folder(path):
        tree = _in_folder(path, tuple(leave_out))
    else:
        raise SpecError(f"no folder {shown}; give a folder of images with --images")
    if not tree.files:
        found = f" (there are {tree.left_out_words})" if tree.left_out else ""
        raise SpecError(
            f"no image in {shown}{found}; --images takes {', '.join(sorted(suffixes()))}, and .tar "
            "archives of them"
        )
    return tree


def _in_folder(folder: Path, leave_out: tuple[Path, ...]) -> ImageTree:
    tree = read_tree(folder, suffixes(), leave_out)
    if not tree.files and any(suffix in ARCHIVES for suffix in tree.left_out):
        archives = read_tree(folder, ARCHIVES, leave_out)
        return _in_archives({parts: folder.joinpath(*parts) for parts in archives.files})
    of_folder = classes_of(parts[:-1] for parts in tree.files)
    classes = {parts: of_folder[parts[:-1]] for parts in tree.files if parts[:-1] in of_folder}
    return ImageTree(tree.files, tree.left_out, classes)


def _in_archives(archives: Mapping[Parts, Path]) -> ImageTree:
    """The images in archives, each of which is as a folder."""
    found = _Found()
    for parts, path in archives.items():
        patiently(lambda parts=parts, path=path: found.add(parts, path), path)  # type: ignore[misc]
    files = dict(sorted(found.files.items()))
    return ImageTree(files, found.left_out, found.classes(files), found.stored)


@dataclass
class _Found:
    """What was found in archives."""

    files: dict[Parts, FileState] = field(default_factory=dict)
    stored: dict[Parts, Stored] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    labels: dict[Parts, str] = field(default_factory=dict)  # by sample
    folders: dict[Parts, Parts] = field(default_factory=dict)  # of files, in their archives

    def add(self, archive: Parts, path: Path) -> None:
        """Take the images of an archive.

        Raises:
            SpecError: it is damaged.
            OSError: it cannot be read now.
        """
        ranks: dict[Parts, int] = {}
        counts: Counter[str] = Counter()
        with open_regular(path, MAX_ARCHIVE_BYTES) as file:
            mtime_ns = os.fstat(file.fileno()).st_mtime_ns
            for member in members(file, path):
                parts = _parts(member.name) if member else ()
                suffix = os.path.splitext(parts[-1])[1].lower() if parts else ""  # noqa: PTH122
                if member is None or not parts:
                    counts[NO_FILES] += 1
                elif any(_is_hidden(part) for part in parts):
                    counts[HIDDEN] += 1
                elif suffix in suffixes():
                    self._take(
                        archive,
                        parts,
                        Stored(path, parts[-1], member.first, member.n_bytes),
                        mtime_ns,
                    )
                elif suffix in CLASS_SUFFIXES:
                    rank, sample = CLASS_SUFFIXES.index(suffix), (*archive, *_sample(parts))
                    label = _label(file, member, suffix)
                    if label and rank <= ranks.get(sample, rank):
                        ranks[sample], self.labels[sample] = rank, label
                else:
                    counts[displayable_name(suffix, 12) or NO_SUFFIX] += 1
        self.left_out += counts

    def _take(self, archive: Parts, parts: Parts, stored: Stored, mtime_ns: int) -> None:
        name = (*archive, *parts)
        state = (f"{stored.path.absolute()}/{'/'.join(parts)}", stored.n_bytes, mtime_ns)
        self.files[name], self.stored[name] = state, stored
        self.folders[name] = parts[:-1]

    def classes(self, files: Iterable[Parts]) -> dict[Parts, str]:
        """The class of each file that has one."""
        of_sample = {name: (*name[:-1], _key(name[-1])) for name in files}
        labels = {name: self.labels[key] for name, key in of_sample.items() if key in self.labels}
        if labels:
            distinct = sorted(set(labels.values()))
            shown = unique([displayable_name(label, LABEL_LENGTH) for label in distinct])
            of_label = dict(zip(distinct, shown, strict=True))
            return {name: of_label[label] for name, label in labels.items()}
        of_folder = classes_of(self.folders.values())
        return {
            name: of_folder[self.folders[name]]
            for name in of_sample
            if self.folders[name] in of_folder
        }


def _is_archive(path: Path) -> bool:
    try:
        return path.suffix.lower() in ARCHIVES and path.is_file()
    except OSError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _parts(name: str) -> Parts:
    """The folders and the name of a member, which are never used as a path."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _is_hidden(part: str) -> bool:
    return part.startswith(".") or part.lower() in SYSTEM_NAMES


def _sample(parts: Parts) -> Parts:
    return (*parts[:-1], _key(parts[-1]))


def _key(name: str) -> str:
    """The name of a sample: that of its files up to the first dot."""
    return name.partition(".")[0]


def _label(file: BinaryIO, member: Member, suffix: str) -> str:
    """The class in a member; empty if there is none.

    Raises:
        OSError: it cannot be read now.
    """
    if member.n_bytes > MAX_CLASS_BYTES:
        return ""
    file.seek(member.first)
    text = file.read(member.n_bytes).decode("utf-8", "replace").strip()
    return _label_in(text) if suffix == ".json" else text


def _label_in(text: str) -> str:
    """The class in JSON: a text or number, or an object that has one."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return next(filter(None, map(_as_label, _candidates(content))), "")


def _candidates(content: Any) -> Iterator[Any]:
    yield from (
        (content.get(name) for name in CLASS_NAMES) if isinstance(content, dict) else [content]
    )


def _as_label(value: Any) -> str:
    is_label = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value).strip() if is_label else ""
