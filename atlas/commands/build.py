"""`atlas` itself: build the atlas, or one shard of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from atlas import __version__
from atlas.asked import AtlasSpec
from atlas.cluster import cluster_of
from atlas.commands.help import EPILOG
from atlas.commands.options import (
    UNUSED_WITHOUT_SITE,
    atlas_options,
    given,
    refuse_unused,
    worker_options,
)
from atlas.commands.program import PROGRAM, WITH_FAILURES, CommandGroup
from atlas.commands.status import show_status
from atlas.console import say, say_line
from atlas.errors import SpecError
from atlas.pipeline import Atlas, BuildReport, ShardReport
from atlas.places import Places
from atlas.progress import Progress, interval
from atlas.sharding import Shard

if TYPE_CHECKING:  # --help and status load no image library
    from atlas.plan import StageTime
    from atlas.site.budget import Part


@click.group(
    cls=CommandGroup,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="atlas")
@atlas_options
@click.option(
    "--shard",
    metavar="K/N",
    help="Make only the K-th of N parts of equal work, and no site: for several machines, each "
    "with a --cache of its own, which `merge` joins.",
)
@worker_options
@click.option("--dry-run", is_flag=True, help="Say what would be rendered, and render nothing.")
@click.pass_context
def main(
    ctx: click.Context,
    spec: AtlasSpec,
    places: Places,
    progress: Progress,
    shard: str | None,
    dry_run: bool,
    cluster: str | None,
    cores_per_worker: int | None,
) -> None:
    """Build the atlas of a convolutional network: a page for every unit, as a static site.

    Every conv layer and every class of the network is walked. For each unit the site shows its
    weights, pictures of what drives it up and down, and what it answers to noise and photographs.
    What was made once is kept: stop at any time, and the same command goes on where it stopped.
    While it works, the site of what is there so far is written now and then.
    """
    if ctx.invoked_subcommand:
        _hand_on(ctx, ctx.invoked_subcommand)
        return
    begun = time.perf_counter()
    part = Shard.parsed(shard) if shard is not None else None
    workers = cluster_of(cluster, places.device, cores_per_worker)
    if part:
        refuse_unused(ctx, ctx.params.keys() - UNUSED_WITHOUT_SITE, "--shard")
        if workers:
            raise SpecError(
                "--shard cannot be combined with workers, who share a build by themselves; give "
                "each device a shard of its own, with one --device, or leave out --shard"
            )
    places = dataclasses.replace(places, shard=part, cluster=workers)
    with Atlas(spec, places, progress=progress) as atlas:
        if dry_run:
            show_status(atlas.status())
            return
        if part:
            _show_shard(part, atlas.build_shard(part), places, time.perf_counter() - begun)
            return
        built = atlas.build()
    _show_build(built, places, time.perf_counter() - begun)
    if built.failures:
        ctx.exit(WITH_FAILURES)


def _hand_on(ctx: click.Context, name: str) -> None:
    """Make options that were given before a sub-command its defaults."""
    names = {parameter.name for parameter in main.commands[name].params if parameter.name}
    refuse_unused(ctx, names, name)
    ctx.default_map = {name: given(ctx)}


def _show_build(built: BuildReport, places: Places, seconds: float) -> None:
    """What was made, how large the site is and where, and what could not be made."""
    from atlas.site.atlases import parts_of_all

    report = built.site
    say(
        f"{built.n_made:,} pictures and panels made, {built.n_there:,} were there; "
        f"{interval(seconds)} in all."
    )
    if built.stages:
        say(_table_of_stages(built.stages))
    say(
        f"{report.n_pages:,} pages, {report.n_files:,} files, {report.n_bytes / 1e6:,.1f} MB: "
        f"{report.n_written:,} written, {report.n_unchanged:,} unchanged, "
        f"{report.n_removed:,} removed.\n"
        f"{_table_of_parts(report.parts)}\n"
        f"Open {places.front_page}, or run: {PROGRAM} serve"
    )
    for note in built.notes:
        say(note, err=True)
    warn_of_size(parts_of_all(places.site_dir) if places.site_dir else report.parts)
    for failure in built.failures:
        say_line(f"Not made: {failure}")


def _table_of_stages(stages: Sequence[StageTime]) -> str:
    """How long the synthesised pictures of each stage of the network took."""
    lines = [f"  {'synthesised':12} {'pictures':>8} {'time':>8} {'each':>9} {'GFLOP/s':>9}"]
    for stage in stages:
        each = f"{1000 * stage.seconds / stage.n_pictures:,.0f} ms"
        lines.append(
            f"  {stage.stage:12} {stage.n_pictures:8,} {interval(stage.seconds):>8} "
            f"{each:>9} {stage.flop_per_s / 1e9:9,.0f}"
        )
    return "\n".join(lines)


def _table_of_parts(parts: Sequence[Part]) -> str:
    return "\n".join(
        f"  {part.name:12} {part.n_files:7,} files {part.n_bytes / 1e6:8,.1f} MB" for part in parts
    )


def warn_of_size(parts: Sequence[Part]) -> None:
    """Warn of a site that is too large for where it may be published."""
    from atlas.site.budget import warnings

    for warning in warnings(parts):
        say(f"Warning: {warning}.", err=True)


def _show_shard(shard: Shard, report: ShardReport, places: Places, seconds: float) -> None:
    say(
        f"Shard {shard}: {report.n_made:,} pictures and panels made, {report.n_there:,} were "
        f"there; {interval(seconds)} in all."
    )
    if report.stages:
        say(_table_of_stages(report.stages))
    say(f"When all shards are done: {PROGRAM} merge {places.cache_dir} ...")
