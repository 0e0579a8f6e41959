"""The build record: what the writer wrote, from what, so that it need not be written again."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FILE_NAME = ".atlas-files.json"
VERSION = 1
PART_PREFIX = ".atlas-part-"  # of files that a killed build may leave behind


@dataclass(frozen=True)
class Made:
    """A file of the site. An empty digest: about to be written, so not to be trusted."""

    digest: str
    n_bytes: int


def load(out_dir: Path) -> dict[str, Made]:
    """The record in `out_dir`; empty if there is none that can be read."""
    try:
        data = json.loads((out_dir / FILE_NAME).read_bytes())
        if data["version"] != VERSION:
            return {}
        return {path: Made(*made) for path, made in data["files"].items() if _inside(path)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def save(out_dir: Path, files: Mapping[str, Made]) -> None:
    """Write the record whole or not at all."""
    data = {path: [made.digest, made.n_bytes] for path, made in sorted(files.items())}
    text = json.dumps({"version": VERSION, "files": data}, separators=(",", ":"))
    write_whole(out_dir / FILE_NAME, text.encode())


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
    part = path.with_name(f"{PART_PREFIX}{path.name}")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _inside(path: str) -> bool:
    """Whether a recorded path stays inside the site, whoever wrote the record."""
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts
