"""What a build must not touch: files that it did not make, and everything outside its folder."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from atlas import paths
from atlas.console import say_above
from atlas.errors import SiteError
from atlas.files import is_regular
from atlas.locks import BusyError, Lock, patient_lock
from atlas.site import record
from atlas.site.record import Record
from atlas.text import displayable

GENERATOR = b'name="generator" content="network-atlas"'
HEAD_BYTES = 4096  # of a page, in which its generator is named
N_NAMED = 3


def refuse_unsafe(asked: Iterable[str]) -> None:
    """Refuse paths that are none of a site's: names in them may come from a cache of others.

    Raises:
        SiteError: a path leads out of the site, or has a name that some system does not take.
    """
    for path in asked:
        if not paths.is_ours(path):
            raise SiteError(
                f"the name {displayable(path)} cannot be a file of a site; a cache with such names "
                "was not made by this program: give another folder with --cache"
            )


def is_of_several(site_dir: Path) -> bool:
    """Whether a folder is a site of several atlases."""
    return _has_made(site_dir, paths.ATLASES)


def _has_made(out_dir: Path, path: str) -> bool:
    """Whether a build has made a file; the record, which can be large, is read if it is there."""
    return is_regular(out_dir / path) and path in record.load(out_dir).files


def refuse_several(out_dir: Path) -> None:
    """Refuse to write an atlas where a site of several is.

    Raises:
        SiteError: it is one.
    """
    if is_of_several(out_dir):
        raise SiteError(
            f"{out_dir} holds several atlases; name the one that you mean with --atlas, "
            "or give another folder with --out"
        )


def refuse_single(site_dir: Path) -> None:
    """Refuse to make a site of several atlases where a single one is.

    Raises:
        SiteError: it is one.
    """
    if _has_made(site_dir, paths.MANIFEST):
        raise SiteError(
            f"{site_dir} is an atlas itself, so --atlas cannot put others beside it; give another "
            "folder with --out, or remove that one with: clean site"
        )


def refuse_alike(name: str, others: Iterable[str]) -> None:
    """Refuse a name that differs in case only from that of another atlas.

    On macOS and Windows, both would be in one folder.

    Raises:
        SiteError: it does.
    """
    if same := [other for other in others if other != name and other.lower() == name.lower()]:
        raise SiteError(
            f"--atlas {name} differs in case only from {same[0]}, and macOS and Windows put both "
            f"into one folder; give another name, or --atlas {same[0]} to build that one"
        )


def refuse_links(out_dir: Path, folders: Iterable[str]) -> None:
    """Refuse folders of a site that are links, as what is written there would be elsewhere.

    Raises:
        SiteError: a folder is a link, or is none.
    """
    for folder in sorted({*folders}):
        if record.is_linked(out_dir, folder):
            raise SiteError(
                f"{out_dir / folder} leads out of the site; remove that link, "
                "or give another folder with --out"
            )


def refuse_foreign(
    out_dir: Path, asked: Collection[str], recorded: Record, sizes: Mapping[str, int]
) -> frozenset[str]:
    """Refuse to overwrite what no build made; files that may be ours are returned.

    A file is ours if the record has it. Where the record is lost but the front page says that it is
    an atlas, other files are ours if they come out the same.

    Args:
        out_dir: the site.
        asked: paths that are to be written.
        recorded: the record of earlier builds.
        sizes: of all files in the folders of `asked`.

    Raises:
        SiteError: there are files of somebody else; the first are named.
    """
    there = [path for path in asked if path in sizes and path not in recorded.files]
    if not there:
        return frozenset()
    has_front_page = is_made_by_us(out_dir / paths.INDEX)
    is_atlas = bool(recorded.files) or has_front_page
    foreign = [path for path in there if sizes[path] < 0 or not is_atlas]
    if paths.INDEX in there and not has_front_page:
        foreign.append(paths.INDEX)
    if foreign:
        raise not_ours(out_dir, sorted({*foreign}))
    return frozenset(path for path in there if path != paths.INDEX)


def not_ours(out_dir: Path, foreign: Collection[str]) -> SiteError:
    """Files in the way that no build made."""
    named = [*foreign][:N_NAMED]
    more = f" and {len(foreign) - len(named):,} more" if len(foreign) > len(named) else ""
    return SiteError(
        f"{out_dir} has files that are not an atlas and would be overwritten: {', '.join(named)}"
        f"{more}; give an empty folder with --out, or move them away"
    )


def is_made_by_us(path: Path) -> bool:
    """Whether a file is a page that says that it was made by this program."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return False
        with path.open("rb") as file:
            return GENERATOR in file.read(HEAD_BYTES)
    except OSError:
        return False


def site_lock(out_dir: Path) -> Lock:
    """The site for one's own, once no other build writes it; waiting is told on stderr."""
    return patient_lock(
        out_dir / paths.LOCK,
        lambda: say_above(f"Another build is writing {out_dir}; waiting until it is done."),
    )


def site_lock_at_once(out_dir: Path) -> Lock:
    """The site for one's own.

    Raises:
        SiteError: a build is writing it.
    """
    try:
        return Lock(out_dir / paths.LOCK)
    except BusyError as error:
        raise SiteError(
            f"a build is writing the site in {out_dir}; try again when it is done"
        ) from error
