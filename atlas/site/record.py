"""The build record: what the writer wrote, from what, so that it need not be written again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

FILE_NAME = ".atlas-files.json"
VERSION = 2
PART_PREFIX = ".atlas-part-"  # of files that a killed build may leave behind


class Made(NamedTuple):
    """A file of the site. An empty digest: about to be written, so not to be trusted."""

    digest: str
    n_bytes: int


class Record(NamedTuple):
    """The files of a site, and the digest of all that they were made from, once they are."""

    files: Mapping[str, Made]
    inputs: str | None = None


def load(out_dir: Path) -> Record:
    """The record in `out_dir`; empty if there is none that can be read."""
    try:
        data = json.loads((out_dir / FILE_NAME).read_bytes())
        if data["version"] != VERSION:
            return Record({})
        files = {path: Made(*made) for path, made in data["files"].items() if _inside(path)}
        return Record(files, data["inputs"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Record({})


def save(out_dir: Path, record: Record) -> None:
    """Write the record whole or not at all."""
    files = {path: [made.digest, made.n_bytes] for path, made in sorted(record.files.items())}
    data = {"version": VERSION, "inputs": record.inputs, "files": files}
    write_whole(out_dir / FILE_NAME, json.dumps(data, separators=(",", ":")).encode())


def sizes(out_dir: Path, paths: Iterable[str]) -> dict[str, int]:
    """Size in bytes of every file in the folders that hold `paths`, by path relative to the site.

    One scan per folder: asking for 57,000 files one by one takes seconds.
    """
    found: dict[str, int] = {}
    for folder in sorted({path.rpartition("/")[0] for path in paths}):
        prefix = f"{folder}/" if folder else ""
        with contextlib.suppress(FileNotFoundError), os.scandir(out_dir / folder) as items:
            found.update(
                (prefix + item.name, item.stat().st_size) for item in items if item.is_file()
            )
    return found


def write_whole(path: Path, data: bytes) -> None:
    """Replace a file in one step: a reader, or a kill, finds the old bytes or the new."""
    folder, name = os.path.split(path)
    part = os.path.join(folder, PART_PREFIX + name)  # noqa: PTH118, a Path takes longer than a file
    try:
        with open(part, "wb") as file:  # noqa: PTH123
            file.write(data)
        os.replace(part, path)  # noqa: PTH105
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _inside(path: str) -> bool:
    """Whether a recorded path stays inside the site, whoever wrote the record."""
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts
