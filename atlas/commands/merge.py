"""`atlas merge`: join the caches of shards."""

from __future__ import annotations

from pathlib import Path

import click

from atlas.asked import AtlasSpec
from atlas.commands.options import UNUSED_WITHOUT_SITE, atlas_options, refuse_unused
from atlas.commands.program import PROGRAM, sub_command
from atlas.console import say, say_line
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.progress import Progress


@sub_command(short_help="Join the caches of shards into one.")
@click.argument(
    "caches", metavar="CACHE...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@atlas_options
@click.pass_context
def merge(
    ctx: click.Context,
    caches: tuple[Path, ...],
    spec: AtlasSpec,
    places: Places,
    progress: Progress,
) -> None:
    """Join the CACHEs that builds with --shard filled, into --cache.

    Every artifact is checked against its digest. Caches of another network, recipe or photographs
    are refused. What is made from other artifacts is made then, so that a build has only the site
    to write. Takes the options of a build; give those that the shards were made with. Ends with 0
    if nothing is missing, else with 1; shards that come later can be merged into the same cache.
    """
    from atlas.merging import adopt_digests
    from atlas.merging import merge as merge_caches

    refuse_unused(ctx, ctx.params.keys() - UNUSED_WITHOUT_SITE, "merge")
    adopt_digests(caches, places.cache_dir)
    with Atlas(spec, places, progress=progress) as atlas:
        report = merge_caches(atlas, caches)
    for damaged in report.damaged:
        say_line(f"Damaged, left out: {damaged}")
    say(
        f"{report.n_copied:,} artifacts copied, {report.n_made:,} made from them; "
        f"{report.n_asked - report.n_missing:,} of {report.n_asked:,} pictures and panels are done."
    )
    if not report.n_missing:
        say(f"Now {PROGRAM} with the same options writes the site.")
        return
    absent = f" (not merged: {', '.join(report.shards)})" if report.shards else ""
    say(f"{report.n_missing:,} are missing{absent}; merge the others, or {PROGRAM} makes them.")
    ctx.exit(1)
