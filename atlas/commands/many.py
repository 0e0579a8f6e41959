"""`atlas many`: atlases of several networks, in one site."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from atlas import paths
from atlas.asked import AtlasSpec
from atlas.cluster import cluster_of
from atlas.commands.build import main, warn_of_size
from atlas.commands.options import (
    asked_by,
    atlas_options,
    given,
    out_option_of,
    worker_options,
)
from atlas.commands.program import PROGRAM, WITH_FAILURES, sub_command
from atlas.commands.status import show_work
from atlas.commands.values import atlas_name_of, items_of
from atlas.console import say, say_line
from atlas.errors import AtlasError, SpecError
from atlas.many import Line, chosen_lines, read_lines
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.progress import Progress, interval
from atlas.text import displayable

# Parameters of the command that no build has, or that are not handed to each.
OWN_PARAMETERS = {"file", "only", "dry_run"}
# Parameters that lines of the file may not have.
ONLY_FOR_ALL = {"out", "cache", "atlas_name", "quiet", "shard", "dry_run"}


@sub_command(short_help="Atlases of several networks, one after the other, in one site.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--only", metavar="NAMES", multiple=True, help="Only these of them.")
@click.option("--dry-run", is_flag=True, help="Say how much work each is, and render nothing.")
@worker_options
@functools.partial(atlas_options, out_option=out_option_of(Path("site")))
@click.pass_context
def many(
    ctx: click.Context,
    file: Path,
    only: tuple[str, ...],
    dry_run: bool,
    spec: AtlasSpec,
    places: Places,
    progress: Progress,
    cluster: str | None,
    cores_per_worker: int | None,
) -> None:
    """Build the atlases of the networks in FILE, with one cache, one site and a landing page.

    Each line of FILE is the name of an atlas and, after it, options of a build: `vgg16 --model
    vgg16 --images photos`. What follows a # is a comment. Options that are given here count for
    all lines that do not give them. Paths are relative to the folder of the command. If one cannot
    be built, the others are, and the command ends with 3.
    """
    from atlas.site.atlases import parts_of_all

    if places.site_dir:
        raise SpecError("many has no use for --atlas; the names are in the file")
    cluster_of(cluster, places.device, cores_per_worker)  # refuses what contradicts itself
    for_all = {name: value for name, value in given(ctx).items() if name not in OWN_PARAMETERS}
    chosen = chosen_lines(read_lines(file), items_of("--only", only))
    asked = [(line, *_asked_in(line, for_all, file)) for line in chosen]
    failed = [
        line.name
        for line, spec_of_line, places_of_line in asked
        if not _build_one(line, spec_of_line, places_of_line, progress, dry_run)
    ]
    if not dry_run and len(failed) < len(chosen):
        say(f"Open {places.out_dir / paths.INDEX}, or run: {PROGRAM} serve")
        warn_of_size(parts_of_all(places.out_dir))
    if failed:
        names = ", ".join(failed)
        say_line(f"Not built, or not whole: {names}; run the same command again to try again.")
        ctx.exit(WITH_FAILURES)


def _asked_in(line: Line, for_all: Mapping[str, Any], file: Path) -> tuple[AtlasSpec, Places]:
    """What a line of a file of networks asks for, with the options that were given for all."""
    try:
        _check_options(line.options)
        ctx = main.make_context(line.name, list(line.options), default_map=dict(for_all))
        params = {**ctx.params, "atlas_name": atlas_name_of(line.name)}
        spec, places, _ = asked_by(params)
        workers = cluster_of(params["cluster"], places.device, params["cores_per_worker"])
    except (click.ClickException, AtlasError) as error:
        message = error.format_message() if isinstance(error, click.ClickException) else error
        raise SpecError(f"{displayable(file.name)}, line {line.number}: {message}") from error
    return spec, dataclasses.replace(places, cluster=workers)


def _check_options(options: Sequence[str]) -> None:
    """Refuse what is no option of one build.

    Raises:
        SpecError: there is something else.
        UsageError: an option is unknown or lacks its value.
    """
    _, others, order = main.make_parser(click.Context(main)).parse_args(list(options))
    if others:
        raise SpecError(f"{displayable(others[0])!r} is no option of a build; leave it out")
    for parameter in order:
        if parameter.name in ONLY_FOR_ALL or parameter.is_eager:
            name = max(parameter.opts, key=len)
            raise SpecError(f"{name} is for all networks; give it to the command")


def _build_one(
    line: Line, spec: AtlasSpec, places: Places, progress: Progress, dry_run: bool
) -> bool:
    """Build one of several atlases, or say what it takes; returns whether that succeeded."""
    begun = time.perf_counter()
    try:
        with Atlas(spec, places, progress=progress) as atlas:
            if dry_run:
                show_work(line.name, atlas.status())
                return True
            built = atlas.build()
    except AtlasError as error:
        say_line(f"Error: {line.name}: {error}")
        return False
    report = built.site
    say(
        f"{line.name}: {built.n_made:,} pictures and panels made, {built.n_there:,} were there; "
        f"{report.n_files:,} files, {report.n_bytes / 1e6:,.1f} MB; "
        f"{interval(time.perf_counter() - begun)}."
    )
    for note in built.notes:
        say(f"{line.name}: {note}", err=True)
    for failure in built.failures:
        say_line(f"{line.name}: not made: {failure}")
    return not built.failures
