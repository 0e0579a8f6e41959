"""`atlas like`, `caricature`, `mix` and `variants`: pages that somebody asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from atlas.asked import AtlasSpec
from atlas.commands.options import atlas_options
from atlas.commands.program import sub_command
from atlas.console import say
from atlas.errors import SpecError
from atlas.on_demand import ON_DEMAND, OnDemand, caricature, like, mix, variants
from atlas.on_demand.page import Request, pages_of
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.progress import Progress
from atlas.selection import select_layers, unit_named


@sub_command(like.KIND.name, short_help="Which units an image drives hardest, and a page of them.")
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@atlas_options
def look_up(photos: tuple[Path, ...], spec: AtlasSpec, places: Places, progress: Progress) -> None:
    """Show PHOTOS to the network: which units does each drive hardest, layer by layer?

    Prints the strongest of each layer, in sigmas, and adds a page for each photo to the site, with
    the photo itself on it: mind that before you publish. `clean likes` forgets them all. Takes the
    options of a build; give the same ones, as the site is brought up to date with them.
    """
    with Atlas(spec, places, progress=progress) as atlas:
        _answer(atlas, [like.request(photo, atlas.facts) for photo in photos])


@sub_command(
    caricature.KIND.name, short_help="What layers keep of a photograph, as pictures on a page."
)
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@atlas_options
def draw_caricatures(
    photos: tuple[Path, ...], spec: AtlasSpec, places: Places, progress: Progress
) -> None:
    """Draw what layers keep of PHOTOS: pictures that a layer answers to as it does to the photo.

    --layers says at which layers; left out, it is the last one of each stage. Prints how like the
    layer's answers are, and adds a page for each photo to the site, with the photo itself on it:
    mind that before you publish. `clean caricatures` forgets them all. Takes the options of a
    build; give the same ones, as the site is brought up to date with them.
    """
    _refuse_progressive(spec, caricature.KIND)
    with Atlas(spec, places, progress=progress) as atlas:
        asked, facts = spec.selection.layers, atlas.facts
        layers = select_layers(asked, facts) if asked else caricature.last_of_stages(facts)
        _answer(
            atlas,
            [each for photo in photos for each in caricature.requests(photo, layers, spec, facts)],
        )


@sub_command(mix.KIND.name, short_help="Two units in one picture, and the steps between them.")
@click.argument("first", metavar="UNIT")
@click.argument("second", metavar="UNIT")
@atlas_options
def mix_units(first: str, second: str, spec: AtlasSpec, places: Places, progress: Progress) -> None:
    """Draw two units in one picture, and the steps from one to the other.

    A UNIT is layer:index, such as layer3.2.conv2:17, or a class, by label or index. They may be of
    different layers. Prints what each unit answers to each picture, and adds a page to the site.
    `clean mixes` forgets them all. Takes the options of a build; give the same ones, as the site is
    brought up to date with them.
    """
    _refuse_progressive(spec, mix.KIND)
    with Atlas(spec, places, progress=progress) as atlas:
        one, other = (unit_named(each, atlas.facts) for each in (first, second))
        _answer(atlas, [mix.request(one, other, spec, atlas.facts)])


@sub_command(variants.KIND.name, short_help="Several pictures of one unit that are pushed apart.")
@click.argument("unit", metavar="UNIT")
@click.option(
    "--count",
    type=click.IntRange(1, variants.MAX_COUNT),
    default=variants.COUNT,
    show_default=True,
    help="How many, beside the unit's own picture.",
)
@atlas_options
def draw_variants(
    unit: str, count: int, spec: AtlasSpec, places: Places, progress: Progress
) -> None:
    """Draw several pictures of one UNIT, each unlike the others: its facets.

    A UNIT is layer:index, such as layer4.1.conv2:100, or a class, by label or index. Prints what
    the unit answers to each picture and how like its own picture that is, and adds a page to the
    site. `clean variants` forgets them all. Takes the options of a build; give the same ones, as
    the site is brought up to date with them.
    """
    _refuse_progressive(spec, variants.KIND)
    with Atlas(spec, places, progress=progress) as atlas:
        asked = unit_named(unit, atlas.facts)
        _answer(atlas, [variants.request(asked, count, spec, atlas.facts)])


def _answer(atlas: Atlas, requests: Sequence[Request]) -> None:
    """Make what was asked for, write the site, and say what came out and where it is."""
    pages = pages_of(atlas.on_demand(requests), ON_DEMAND)
    report = atlas.write()
    for page in pages:
        say(page.title)
        for entry in page.entries:
            for line in page.kind.lines(page.kind.record_of(entry), atlas.facts):
                say(f"  {line}".rstrip())
        say(f"Page: {atlas.places.out_dir / page.path}")
    say(f"{report.n_written:,} files written, {report.n_unchanged:,} unchanged.", err=True)


def _refuse_progressive(spec: AtlasSpec, kind: OnDemand[Any]) -> None:
    if spec.recipe != "fourier":
        raise SpecError(f"{kind.name} is made with the recipe fourier only; leave out --recipe")
