"""`atlas verify`: read the whole cache and site, and say what is damaged."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlas.cache import FILE_NAME, Cache, Findings
from atlas.commands.options import cache_option, out_option
from atlas.commands.program import PROGRAM, sub_command
from atlas.console import say
from atlas.text import displayable

if TYPE_CHECKING:  # --help and status load no image library
    from atlas.site.checking import SiteFindings


@sub_command(short_help="Read the whole cache and site, and say what is damaged.")
@out_option
@cache_option
@click.option("--repair", is_flag=True, help="Let the next build make anew what is damaged.")
@click.pass_context
def verify(ctx: click.Context, out: Path, cache: Path, repair: bool) -> None:
    """Read everything in the cache and the site, and say what is not as it was made.

    Ends with 0 if all is well, with 1 if anything is damaged. A build notices damage in the cache
    by itself and makes it anew; pages that were changed by hand are found only here.
    """
    from atlas.site.atlases import atlas_folders
    from atlas.site.checking import check_site, distrust

    n_bad = 0
    if (cache / FILE_NAME).exists():
        with Cache(cache, must_exist=True, alone=repair) as open_cache:
            found = open_cache.verify()
            n_bad += _show_findings(cache, found)
            if repair:
                open_cache.set_aside()
    for folder in (out, *atlas_folders(out)) if out.is_dir() else ():
        site = check_site(folder)
        n_bad += _show_site_findings(folder, site)
        if repair and site.changed:
            distrust(folder, site.changed)
    if n_bad and repair:
        say(f"Set aside; the next build with {PROGRAM} makes it anew.")
    ctx.exit(1 if n_bad else 0)


def _show_findings(cache: Path, found: Findings) -> int:
    """What was found in a cache; returns how much of it is damaged."""
    n_damaged = Counter(displayable(each.kind) for each in found.damaged)
    say(f"Cache {cache}")
    for kind in sorted({*found.n_sound, *n_damaged}):
        damaged = f"  {n_damaged[kind]:,} damaged" if n_damaged[kind] else ""
        say(f"  {kind:12} {found.n_sound.get(kind, 0):7,} sound{damaged}")
    for each in (*found.damaged, *found.others):
        say(f"  damaged: {each}")
    return len(found.damaged) + len(found.others)


def _show_site_findings(out: Path, found: SiteFindings) -> int:
    """What was found in a site; returns how many files are not as they were written."""
    unknown = f", {found.n_unknown:,} of an earlier version" if found.n_unknown else ""
    say(f"Site {out}\n  {found.n_right:,} files as they were written{unknown}")
    for word, names in (("changed", found.changed), ("missing", found.missing)):
        for path in names:
            say(f"  {word}: {displayable(path, 200)}")
    return len(found.changed) + len(found.missing)
