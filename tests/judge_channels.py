#!/usr/bin/env python3
"""How well the pictures of channels stand for their units, layer by layer.

    python build.py --weights WEIGHTS --units 0-31 --images FOLDER \
        --kinds excitatory,field,border,natural
    python build.py --weights WEIGHTS --units 0-31 --kinds excitatory --seed 1
    python tests/judge_channels.py --weights WEIGHTS

The pictures are read from the cache of those builds. Left out are units that are dead, because
nothing moved them. So are those that training has all but switched off, which vary less than a
twentieth as much as the layer's median unit after their BatchNorm, and those that respond to the
border of images, which pictures of channels leave out or hardly count (`--all-units` judges both
too). Units are compared with the others of their group: units 0 to 31, 32 to 63 and so on
(`--group-size`); a unit that is alone in its group is left out. Told of every layer is the share of
its units

- for which no other picture of the group scores more than their own (`own`), with the score that
  their picture was made for;
- for which the same is true of the picture from the second seed (`again`);
- whose picture they answer to more than the group's other units do (`named`): the mean over the
  picture, in sigmas. Units that are seldom active have small sigmas, and win this on many pictures;
- whose pictures from the two seeds move the layer's other units more alike than the picture of the
  group's next unit does (`agree`): the correlation of their mean responses;
- whose picture reaches a higher peak than the best photograph (`above photographs`);
- whose picture does, or else that of a single receptive field (`field`), where it has one
  (`above with fields`).
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from atlas.asked import AtlasSpec, Selection
from atlas.commands.values import items_of
from atlas.errors import AtlasError
from atlas.kinds.border import KIND as BORDER
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.field import KIND as FIELD
from atlas.kinds.filter import is_switched_off
from atlas.kinds.natural import KIND as NATURAL
from atlas.network.network import Network
from atlas.network.taps import Tap
from atlas.pictures.finished import all_responses
from atlas.pictures.fourier import objective
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.recipes import Fourier, PresetName, fourier_recipe
from atlas.selection import parse_ranges, select_units
from atlas.site.contents import Contents
from atlas.units import Layer, Unit

SEEDS = (0, 1)
BATCH_SIZE = 8


@dataclass(frozen=True)
class LayerFigures:
    """Of the units of a group, a layer or all layers, how many pass each test; None: not known."""

    name: str
    n_units: int
    n_own: int
    n_again: int | None  # with the second seed
    n_named: int
    n_agree: int | None  # between the seeds
    n_above_photographs: int | None
    n_above_with_fields: int | None


COUNTS = dataclasses.fields(LayerFigures)[2:]


@dataclass(frozen=True)
class Answers:
    """How a layer's units answer to some images, (B, n_units) each."""

    mean: Tensor  # in sigmas
    score: Tensor  # what the recipe's objective gives


@torch.inference_mode()
def answers_to(tap: Tap, images: Sequence[Tensor], recipe: Fourier) -> Answers:
    """How all units of a layer answer to B images, (3, H, W) each."""
    means, scores = [], []
    channels = torch.arange(tap.layer.n_units, device=tap.device)
    for first in range(0, len(images), BATCH_SIZE):
        batch = torch.stack(list(images[first : first + BATCH_SIZE])).to(tap.device)
        z = all_responses(tap, batch)  # (B, n_units, h, w)
        means.append(z.mean((2, 3)))
        scores.append(torch.stack([objective(tap, of_image, channels, recipe) for of_image in z]))
    return Answers(torch.cat(means), torch.cat(scores))


def n_named(means: Tensor, units: Sequence[Unit]) -> int:
    """How many pictures no other unit answers to more, from (len(units), n_units) responses."""
    among = means[:, [unit.index for unit in units]]  # (B, B): pictures, units
    return int((among.argmax(1) == torch.arange(len(units))).sum())


def n_own(scores: Tensor, units: Sequence[Unit]) -> int:
    """For how many units their own picture scores most, from (len(units), n_units) scores."""
    among = scores[:, [unit.index for unit in units]]
    return int((among.argmax(0) == torch.arange(len(units))).sum())


def n_agree(first: Tensor, second: Tensor, units: Sequence[Unit]) -> int:
    """For how many units two seeds' pictures move the other units alike, (len(units), n_units)."""
    return sum(
        _correlation(first[row], second[row], unit)
        > _correlation(first[(row + 1) % len(units)], second[row], unit)
        for row, unit in enumerate(units)
    )


def _correlation(first: Tensor, second: Tensor, without: Unit) -> float:
    others = torch.arange(len(first)) != without.index
    return float(torch.corrcoef(torch.stack([first[others], second[others]]))[0, 1])


def images_of(contents: Contents, units: Sequence[Unit]) -> list[Tensor]:
    """The units' pictures as the network was shown them, (3, H, W) in 0..1 each."""
    return [_image(contents, unit) for unit in units]


def _image(contents: Contents, unit: Unit) -> Tensor:
    entry, record = contents.entry(unit, EXCITATORY), contents.excitatory(unit)
    assert entry is not None and record is not None
    with Image.open(io.BytesIO(contents.read(entry.key))) as image:
        pixels = np.array(image.convert("RGB").reduce(record.enlargement or 1))
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def peak_of(contents: Contents, unit: Unit) -> float:
    """The highest response on a unit's picture, in sigmas."""
    record = contents.excitatory(unit)
    return -math.inf if record is None or record.peak is None else record.peak


def peak_with_field(contents: Contents, unit: Unit) -> float:
    """The highest response on a unit's picture, or on that of a single field, in sigmas."""
    field = contents.record(unit, FIELD)
    in_field = -math.inf if field is None or field.score is None else field.score
    return max(peak_of(contents, unit), in_field)


def n_above_photographs(
    contents: Contents, layer: Layer, peaks: Mapping[Unit, float]
) -> int | None:
    """How many units have a higher peak than the best photograph."""
    record = contents.layer_record(layer, NATURAL)
    if record is None or record.highest is None:
        return None
    return sum(peak > record.highest[unit.index] for unit, peak in peaks.items())


def pictured_units(network: Network, layer: Layer, contents: Contents) -> list[Unit]:
    """The units of a layer that have pictures and are not dead."""
    return [unit for unit in contents.pictured(layer) if _is_alive(contents, unit)]


def ordinary_units(network: Network, layer: Layer, contents: Contents) -> list[Unit]:
    """Those of them that are not switched off and do not respond to borders.

    Raises:
        ClickException: it was not measured which units respond to borders.
    """
    units = pictured_units(network, layer, contents)
    shares, border = network.norm_shares(layer), contents.layer_record(layer, BORDER)
    if units and border is None and BORDER.is_possible(contents.spec, layer, contents.facts):
        raise click.ClickException(
            f"no record of the kind border for {layer.name}; make it, or give --all-units"
        )
    return [
        unit
        for unit in units
        if not (shares is not None and is_switched_off(float(shares[unit.index])))
        and not (border and border.place[unit.index])
    ]


def figures(
    network: Network, layer: Layer, units: Sequence[Unit], by_seed: Mapping[int, Contents]
) -> LayerFigures:
    """What the pictures of a group of units come to."""
    first, second = (by_seed[seed] for seed in SEEDS)
    tap = network.tap(layer)
    recipe = fourier_recipe(first.spec.preset, layer, first.facts, first.spec.seed)
    one = answers_to(tap, images_of(first, units), recipe)
    is_twice = set(second.pictured(layer)) >= set(units)
    two = answers_to(tap, images_of(second, units), recipe) if is_twice else None
    return LayerFigures(
        layer.name,
        len(units),
        n_own(one.score, units),
        n_own(two.score, units) if two else None,
        n_named(one.mean, units),
        n_agree(one.mean, two.mean, units) if two else None,
        n_above_photographs(first, layer, {unit: peak_of(first, unit) for unit in units}),
        n_above_photographs(first, layer, {unit: peak_with_field(first, unit) for unit in units}),
    )


def _is_alive(contents: Contents, unit: Unit) -> bool:
    record = contents.excitatory(unit)
    return record is not None and not record.dead


def share(n_passed: int | None, n_units: int) -> str:
    """A share, or a dash where it was not measured."""
    return "-" if n_passed is None else f"{n_passed / n_units:.3f}"


def report(rows: Sequence[LayerFigures]) -> None:
    """Print one line a layer, and the shares over all units."""
    names = [field.name.removeprefix("n_").replace("_", " ") for field in COUNTS]
    print(f"{'layer':28}{'units':>6}" + "".join(f"{name:>{len(name) + 4}}" for name in names))
    for row in [*rows, total("all", rows)]:
        shares = (share(getattr(row, field.name), row.n_units) for field in COUNTS)
        cells = (f"{text:>{len(name) + 4}}" for text, name in zip(shares, names, strict=True))
        print(f"{row.name:28}{row.n_units:6}" + "".join(cells))


def total(name: str, rows: Sequence[LayerFigures]) -> LayerFigures:
    """The figures of groups or layers together; what one of them lacks is not known."""
    counts = ([getattr(row, field.name) for row in rows] for field in COUNTS)
    sums = [None if None in each else sum(each) for each in counts]
    return LayerFigures(name, sum(row.n_units for row in rows), *sums)


def groups_of(units: Sequence[Unit], group_size: int) -> list[list[Unit]]:
    """The units, ordered by index, in groups of so many successive ones of the layer.

    A group of one unit is left out, because there is nothing to compare it with.
    """
    groups = [list(group) for _, group in groupby(units, lambda unit: unit.index // group_size)]
    return [group for group in groups if len(group) > 1]


@click.command(help=__doc__)
@click.option("--model", default="resnet50", show_default=True)
@click.option("--weights", default="", help="As for the builds.")
@click.option("--preset", default="standard", show_default=True)
@click.option("--cache", "cache_dir", default=Places.cache_dir, type=click.Path(path_type=Path))
@click.option("--layers", multiple=True, help="As for the builds; all with pictures if left out.")
@click.option("--units", default="", help="As for the builds; all with pictures if left out.")
@click.option("--all-units", is_flag=True, help="Leave out dead units alone.")
@click.option(
    "--group-size",
    default=32,
    show_default=True,
    type=click.IntRange(min=2),
    help="How many successive units are compared with each other.",
)
def main(
    model: str,
    weights: str,
    preset: PresetName,
    cache_dir: Path,
    layers: Sequence[str],
    units: str,
    all_units: bool,
    group_size: int,
) -> None:
    """Judge a cache's pictures of channels."""
    asked = AtlasSpec(family=model, weights=weights, preset=preset)
    judged = pictured_units if all_units else ordinary_units
    places = Places(cache_dir=cache_dir, device="cpu")
    try:
        with ExitStack() as stack:
            atlases = {
                seed: stack.enter_context(Atlas(dataclasses.replace(asked, seed=seed), places))
                for seed in SEEDS
            }
            network = atlases[SEEDS[0]].load_network()
            by_seed = {seed: atlas.contents() for seed, atlas in atlases.items()}
            ranges = parse_ranges(units) if units else ()
            selection = Selection(items_of("--layers", layers), units=ranges)
            chosen = set(select_units(selection, network.facts))
            groups = [
                (layer, group)
                for layer in network.layers
                if not layer.is_classifier
                for group in groups_of(
                    [unit for unit in judged(network, layer, by_seed[0]) if unit in chosen],
                    group_size,
                )
            ]
            rows = [
                figures(network, layer, group, by_seed)
                for layer, group in tqdm(groups, unit=" groups")
            ]
    except AtlasError as error:
        raise click.ClickException(str(error)) from error
    if not rows:
        raise click.ClickException(f"{cache_dir} has no pictures of {model} with this recipe")
    by_layer = groupby(rows, lambda row: row.name)
    report([total(name, list(of_layer)) for name, of_layer in by_layer])


if __name__ == "__main__":
    main()
