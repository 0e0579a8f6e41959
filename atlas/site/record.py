"""The build record: the files of a site and digests of what each was made from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from atlas.paths import is_ours

FILE_NAME = ".atlas-files.json"
VERSION = 3
KNOWN_VERSIONS = (2, 3)  # version 2 had no digests of bytes
PART_PREFIX = ".atlas-part-"  # of half-written files, which a killed build may leave behind


class Made(NamedTuple):
    """A file of the site; its digest is empty while a build may be writing or removing it."""

    digest: str
    n_bytes: int
    of_bytes: str = ""  # digest of its bytes; empty if it is not known


class Record(NamedTuple):
    """The files of a site, and a digest of everything they were made from once all are made."""

    files: Mapping[str, Made]
    inputs: str | None = None


def load(out_dir: Path) -> Record:
    """The record in `out_dir`; empty if it is missing or cannot be read."""
    try:
        data = json.loads((out_dir / FILE_NAME).read_bytes())
        if data["version"] not in KNOWN_VERSIONS:
            return Record({})
        files = {path: _made(made) for path, made in data["files"].items() if is_ours(path)}
        return Record(files, data["inputs"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Record({})


def save(out_dir: Path, record: Record) -> None:
    """Replace the record in one step."""
    files = {path: [*made] for path, made in sorted(record.files.items())}
    data = {"version": VERSION, "inputs": record.inputs, "files": files}
    write_whole(out_dir / FILE_NAME, json.dumps(data, separators=(",", ":")).encode())


def sizes(out_dir: Path, paths: Iterable[str]) -> dict[str, int]:
    """Size in bytes of every file in the folders that hold `paths`, by path relative to the site.

    Folders are scanned, because looking up 57,000 files one by one takes seconds. Links and
    devices have the size -1; folders that are links count as empty.
    """
    by_path: dict[str, int] = {}
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        prefix = f"{folder}/" if folder else ""
        if is_linked(out_dir, folder):
            continue
        with contextlib.suppress(FileNotFoundError), os.scandir(out_dir / folder) as items:
            by_path.update(
                (prefix + item.name, _size(item))
                for item in items
                if not item.is_dir(follow_symlinks=False)
            )
    return by_path


def is_linked(out_dir: Path, folder: str) -> bool:
    """Whether a folder of the site is a link, or lies in one."""
    place = out_dir
    for part in filter(None, folder.split("/")):
        place /= part
        if place.is_symlink() or getattr(os.path, "isjunction", _never)(place):
            return True
    return False


def digest_of_bytes(data: bytes) -> str:
    """The digest of a file's bytes, as it is recorded."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step: it holds either its old or its new bytes, even after a kill."""
    folder, name = os.path.split(path)
    part = os.path.join(folder, PART_PREFIX + name)  # noqa: PTH118, pathlib is slower than the write
    number = _new_file(part)
    try:
        with open(number, "wb") as file:  # noqa: PTH123
            file.write(data)
        os.replace(part, path)  # noqa: PTH105
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _new_file(path: str) -> int:
    """A file that was not there: one that was may be a link to somewhere else."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        return os.open(path, flags, 0o666)
    except FileExistsError:
        os.unlink(path)  # noqa: PTH108, what a killed build was writing
        return os.open(path, flags, 0o666)


def _size(item: os.DirEntry[str]) -> int:
    if not item.is_file(follow_symlinks=False):
        return -1
    return item.stat(follow_symlinks=False).st_size


def _made(columns: Any) -> Made:
    made = Made(*columns)
    if [*map(type, made)] != [str, int, str]:
        raise ValueError("not a record")
    return made


def _never(_: Path) -> bool:
    return False
