"""The build record: the files of a site and digests of what each was made from."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

FILE_NAME = ".atlas-files.json"
VERSION = 2
PART_PREFIX = ".atlas-part-"  # of half-written files, which a killed build may leave behind


class Made(NamedTuple):
    """A file of the site; its digest is empty while a build may be writing or removing it."""

    digest: str
    n_bytes: int


class Record(NamedTuple):
    """The files of a site, and a digest of everything they were made from once all are made."""

    files: Mapping[str, Made]
    inputs: str | None = None


def load(out_dir: Path) -> Record:
    """The record in `out_dir`; empty if it is missing or cannot be read."""
    try:
        data = json.loads((out_dir / FILE_NAME).read_bytes())
        if data["version"] != VERSION:
            return Record({})
        files = {path: Made(*made) for path, made in data["files"].items() if _inside(path)}
        return Record(files, data["inputs"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Record({})


def save(out_dir: Path, record: Record) -> None:
    """Replace the record in one step."""
    files = {path: [made.digest, made.n_bytes] for path, made in sorted(record.files.items())}
    data = {"version": VERSION, "inputs": record.inputs, "files": files}
    write_whole(out_dir / FILE_NAME, json.dumps(data, separators=(",", ":")).encode())


def sizes(out_dir: Path, paths: Iterable[str]) -> dict[str, int]:
    """Size in bytes of every file in the folders that hold `paths`, by path relative to the site.

    Folders are scanned, because looking up 57,000 files one by one takes seconds.
    """
    by_path: dict[str, int] = {}
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        prefix = f"{folder}/" if folder else ""
        with contextlib.suppress(FileNotFoundError), os.scandir(out_dir / folder) as items:
            by_path.update(
                (prefix + item.name, item.stat().st_size) for item in items if item.is_file()
            )
    return by_path


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step: it holds either its old or its new bytes, even after a kill."""
    folder, name = os.path.split(path)
    part = os.path.join(folder, PART_PREFIX + name)  # noqa: PTH118, pathlib is slower than the write
    try:
        with open(part, "wb") as file:  # noqa: PTH123
            file.write(data)
        os.replace(part, path)  # noqa: PTH105
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _inside(path: str) -> bool:
    """Whether a recorded path stays inside the site; the record may have been tampered with."""
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts
