"""`atlas compare`: which units differ most between two weight sets."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from atlas import paths
from atlas.asked import AtlasSpec
from atlas.commands.options import atlas_options, out_option_of, refuse_unused
from atlas.commands.program import PROGRAM, sub_command
from atlas.comparing.comparison import N_PICTURED, Comparison, Ranking
from atlas.comparing.ranking import most_changed
from atlas.console import say
from atlas.places import Places
from atlas.progress import Progress

N_CHANGED = 10  # units that `compare` prints
UNUSED_IN_COMPARE = {"weights", "kinds", "names", "base_url", "leave_out", "atlas_name"}


@sub_command(short_help="Which units differ most between two weight sets, as a site.")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@functools.partial(atlas_options, out_option=out_option_of(Path("compare-site")))
@click.option(
    "--pictured",
    type=click.IntRange(min=0),
    default=N_PICTURED,
    show_default=True,
    help="Units of each layer, the most changed, that get a page with the pictures of both.",
)
@click.option(
    "--labels-b",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Class names of B, in the forms of --labels, which are those of A.",
)
def compare(
    a: str,
    b: str,
    spec: AtlasSpec,
    places: Places,
    progress: Progress,
    pictured: int,
    labels_b: Path | None,
) -> None:
    """Compare two weight sets A and B of one network: names of published weights, or files.

    Each unit of A is compared with its partner in B: their answers to the same images (--images,
    else those that come with the network, else generated ones), their weights, and what each
    answers to the other's picture. Units are ranked by their answers. Classes are compared label by
    label where the labels of both are known: published, or given with --labels and --labels-b.
    Pictures that are in the cache are used, and those that are missing are rendered for the most
    changed units. What was measured is kept: stop at any time, and the same command goes on.
    """
    ctx = click.get_current_context()
    refuse_unused(ctx, ctx.params.keys() - UNUSED_IN_COMPARE, "compare")
    sides = Comparison(spec, (a, b), places, pictured, progress=progress, labels_b=labels_b)
    with sides as comparison:
        ranking, report = comparison.build()
    _show_changes(ranking)
    say(
        f"{report.n_pages:,} pages, {report.n_files:,} files, {report.n_bytes / 1e6:,.1f} MB.\n"
        f"Open {places.out_dir / paths.INDEX}, or run: {PROGRAM} serve --out {places.out_dir}"
    )


def _show_changes(ranking: Ranking) -> None:
    """The most changed units, and what was left out."""
    if ranking.classes.words:
        say(f"Note: {ranking.classes.words}.", err=True)
    equal = sum(change.is_equal for change in ranking.layers)
    verb = "computes" if equal == 1 else "compute"
    say(f"{equal:,} of {len(ranking.layers):,} layers {verb} the same in both.")
    units = [unit for change in ranking.layers for unit in change.units if unit.change > 0]
    if units:
        answer = "unit answers" if len(units) == 1 else "units answer"
        say(f"{len(units):,} {answer} differently to {ranking.images}; most of all:")
    for unit in most_changed(units, lambda unit: unit.change)[:N_CHANGED]:
        partner = "" if unit.partner == unit.unit.index else f" (beside {unit.partner})"
        found = unit.answers
        answers = f"none, constant in {unit.constant}" if found is None else f"{found:.3f}"
        cosine = "" if unit.cosine is None else f", cosine of weights {unit.cosine:.3f}"
        say(f"  {unit.unit.id + partner:32} correlation {answers}{cosine}")
