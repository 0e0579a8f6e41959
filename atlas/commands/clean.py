"""`atlas clean`: remove the site, the cache, or some of what is in it."""

from __future__ import annotations

from pathlib import Path

import click

from atlas.cache import Cache, remove_cache
from atlas.commands.options import atlas_option, cache_option, out_option
from atlas.commands.program import sub_command
from atlas.console import say
from atlas.errors import SiteError, SpecError
from atlas.on_demand import ON_DEMAND
from atlas.on_demand.page import pages_of
from atlas.text import displayable


@sub_command(short_help="Remove the site, the cache, or some of what is in it.")
@click.argument(
    "what", type=click.Choice(["site", "cache", "damaged", *(kind.plural for kind in ON_DEMAND)])
)
@out_option
@atlas_option
@cache_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def clean(what: str, out: Path, atlas_name: str | None, cache: Path, yes: bool) -> None:
    """Remove the built SITE, the CACHE of everything rendered, or what is DAMAGED in it.

    Of several atlases in a site all are removed, or the one that --atlas names.
    LIKES are the images that were looked up; CARICATURES, MIXES and VARIANTS are what these
    commands drew. Their pages go with the next build. Only files that a build made are removed.
    """
    if atlas_name and what != "site":
        raise SpecError(f"clean {what} has no use for --atlas; leave it out")
    if what not in ("site", "cache"):
        with Cache(cache, must_exist=True, alone=True) as open_cache:
            n_removed, noun = _clean_inside(open_cache, what)
            open_cache.free_space()
        say(f"{n_removed:,} {noun} removed.")
        return
    if atlas_name:
        _refuse_missing_atlas(out, atlas_name)
    folder = cache if what == "cache" else out / atlas_name if atlas_name else out
    if not yes:
        click.confirm(f"Remove the {what} in {folder}?", abort=True)
    n_files = remove_cache(cache) if what == "cache" else _remove_site(out, atlas_name)
    say(f"{n_files:,} files removed from {folder}.")


def _refuse_missing_atlas(out: Path, name: str) -> None:
    from atlas.site.atlases import atlas_folders

    if not (out / name).is_dir():
        names = [folder.name for folder in atlas_folders(out)] if out.is_dir() else []
        there = f"there is {', '.join(names)}" if names else "there is none"
        raise SiteError(f"no atlas {displayable(name)!r} in {out}; {there}")


def _clean_inside(cache: Cache, what: str) -> tuple[int, str]:
    """Remove some of what is in a cache; returns how many of what."""
    if what == "damaged":
        return len(cache.set_aside()), "damaged pictures"
    (kind,) = (kind for kind in ON_DEMAND if kind.plural == what)
    entries = cache.of_kind(kind.name)
    cache.remove(entry.key for entry in entries)
    return len(pages_of(entries, ON_DEMAND)), kind.noun


def _remove_site(out: Path, atlas_name: str | None) -> int:
    """Remove the site, or one of its atlases; returns how many files."""
    from atlas.site.landing import remove_one, remove_whole, write_landing

    if atlas_name is None:
        return remove_whole(out)
    n_files = remove_one(out / atlas_name)
    write_landing(out)
    return n_files
