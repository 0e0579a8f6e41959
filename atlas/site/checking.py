"""Compares the files of a site with what the build recorded of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import SiteError, remedy_for
from atlas.site import guard, record
from atlas.site.record import Made, Record


@dataclass(frozen=True)
class SiteFindings:
    """What was found in a site that was read as a whole."""

    n_right: int
    missing: tuple[str, ...]
    changed: tuple[str, ...]  # not as they were written, whatever their size
    n_unknown: int  # written by an earlier version, which kept no digests of bytes


def check_site(out_dir: Path) -> SiteFindings:
    """Read every file of a site.

    Raises:
        SiteError: a file cannot be read.
    """
    files = record.load(out_dir).files
    sizes = record.sizes(out_dir, files)
    missing = tuple(path for path in files if path not in sizes)
    unknown = [path for path, made in files.items() if path in sizes and not made.of_bytes]
    known = [path for path, made in files.items() if path in sizes and made.of_bytes]
    changed = tuple(path for path in known if not _is_right(out_dir, path, files[path], sizes))
    return SiteFindings(len(known) - len(changed), missing, changed, len(unknown))


def distrust(out_dir: Path, changed: Collection[str]) -> None:
    """Let the next build write some files anew.

    Raises:
        SiteError: a build is writing the site, or the record cannot be written.
    """
    try:
        with guard.site_lock_at_once(out_dir):
            files = dict(record.load(out_dir).files)
            files |= {path: Made("", 0) for path in changed if path in files}
            record.save(out_dir, Record(files))
    except OSError as error:
        raise SiteError(
            f"cannot write {error.filename}: {error.strerror}; {remedy_for(error, '--out')}"
        ) from error


def _is_right(out_dir: Path, path: str, made: Made, sizes: dict[str, int]) -> bool:
    if sizes[path] != made.n_bytes:
        return False
    try:
        return record.digest_of_bytes((out_dir / path).read_bytes()) == made.of_bytes
    except OSError as error:
        raise SiteError(
            f"cannot read {out_dir / path}: {error.strerror}; check its permissions and the disk"
        ) from error
