#!/usr/bin/env python3
"""How well the pictures of channels stand for their units, layer by layer.

    python build.py --weights WEIGHTS --units 0-31 --kinds excitatory,natural --images FOLDER
    python build.py --weights WEIGHTS --units 0-31 --kinds excitatory --seed 1
    python tests/judge_channels.py --weights WEIGHTS

The pictures are read from the cache of those builds. Of every layer are told: for how many units
the network answers to a unit's picture most with that unit, among all units that have one (the mean
over the picture, in sigmas); the same for the pictures of the second seed; and for how many units
the picture reaches a higher peak than the best photograph.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from atlas.asked import AtlasSpec
from atlas.errors import AtlasError
from atlas.kinds.excitatory import KIND as EXCITATORY
from atlas.kinds.natural import KIND as NATURAL
from atlas.network.network import Network
from atlas.network.taps import Tap
from atlas.pictures.finished import all_responses
from atlas.pipeline import Atlas, Places
from atlas.recipes import PresetName
from atlas.site.contents import Contents
from atlas.units import Layer, Unit

SEEDS = (0, 1)
BATCH_SIZE = 8


@dataclass(frozen=True)
class LayerFigures:
    """Of the units of one layer that have pictures, how many pass each test."""

    layer: str
    n_units: int
    n_named: int
    n_named_again: int | None  # with the second seed; None without its pictures
    n_above_photographs: int | None  # None without photographs


@torch.inference_mode()
def mean_responses(tap: Tap, images: Sequence[Tensor]) -> Tensor:
    """Each image's mean response of every unit, in sigmas: B x (3, H, W) -> (B, n_units)."""
    batches = [
        torch.stack(list(images[first : first + BATCH_SIZE])).to(tap.device)
        for first in range(0, len(images), BATCH_SIZE)
    ]
    return torch.cat([all_responses(tap, batch).mean((2, 3)) for batch in batches])


def n_named(means: Tensor, units: Sequence[Unit]) -> int:
    """How many units answer most to their own pictures, from (len(units), n_units) responses.

    A picture names its unit if no other of these units answers to it more.
    """
    among = means[:, [unit.index for unit in units]]  # (B, B)
    return int((among.argmax(1) == torch.arange(len(units))).sum())


def images_of(contents: Contents, units: Sequence[Unit]) -> list[Tensor]:
    """The units' pictures as the network was shown them, (3, H, W) in 0..1 each."""
    return [_image(contents, unit) for unit in units]


def _image(contents: Contents, unit: Unit) -> Tensor:
    entry, record = contents.entry(unit, EXCITATORY), contents.excitatory(unit)
    assert entry is not None and record is not None
    with Image.open(io.BytesIO(contents.read(entry.key))) as image:
        pixels = np.array(image.convert("RGB").reduce(record.enlargement or 1))
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def n_above_photographs(contents: Contents, layer: Layer, units: Sequence[Unit]) -> int | None:
    """How many units' pictures have a higher peak than the best photograph."""
    record = contents.layer_record(layer, NATURAL)
    if record is None or record.highest is None:
        return None
    peaks = {unit: contents.excitatory(unit) for unit in units}
    return sum(
        peak is not None and peak.peak is not None and peak.peak > record.highest[unit.index]
        for unit, peak in peaks.items()
    )


def figures(network: Network, layer: Layer, by_seed: Mapping[int, Contents]) -> LayerFigures | None:
    """What the pictures of a layer come to; None if it has none."""
    first, second = (by_seed[seed] for seed in SEEDS)
    units = first.pictured(layer)
    if not units:
        return None
    tap = network.tap(layer)
    again = second.pictured(layer)
    return LayerFigures(
        layer.name,
        len(units),
        n_named(mean_responses(tap, images_of(first, units)), units),
        n_named(mean_responses(tap, images_of(second, units)), units) if again == units else None,
        n_above_photographs(first, layer, units),
    )


def share(n_passed: int | None, n_units: int) -> str:
    """A share, or a dash where it was not measured."""
    return "-" if n_passed is None else f"{n_passed / n_units:.3f}"


def report(rows: Sequence[LayerFigures]) -> None:
    """Print one line a layer, and the shares over all units."""
    print(f"{'layer':28}{'units':>6}{'named':>8}{'again':>8}{'above photographs':>20}")
    for row in [*rows, total(rows)]:
        counts = (row.n_named, row.n_named_again, row.n_above_photographs)
        named, again, above = (share(count, row.n_units) for count in counts)
        print(f"{row.layer:28}{row.n_units:6}{named:>8}{again:>8}{above:>20}")


def total(rows: Sequence[LayerFigures]) -> LayerFigures:
    """The figures over all layers; what one of them lacks is not known."""
    again = [row.n_named_again for row in rows if row.n_named_again is not None]
    above = [row.n_above_photographs for row in rows if row.n_above_photographs is not None]
    return LayerFigures(
        "all",
        sum(row.n_units for row in rows),
        sum(row.n_named for row in rows),
        sum(again) if len(again) == len(rows) else None,
        sum(above) if len(above) == len(rows) else None,
    )


@click.command(help=__doc__)
@click.option("--model", default="resnet50", show_default=True)
@click.option("--weights", default="", help="As for the builds.")
@click.option("--preset", default="standard", show_default=True)
@click.option("--cache", "cache_dir", default=Places.cache_dir, type=click.Path(path_type=Path))
def main(model: str, weights: str, preset: PresetName, cache_dir: Path) -> None:
    """Judge a cache's pictures of channels."""
    asked = AtlasSpec(family=model, weights=weights, preset=preset)
    places = Places(cache_dir=cache_dir, device="cpu")
    try:
        with ExitStack() as stack:
            atlases = {
                seed: stack.enter_context(Atlas(dataclasses.replace(asked, seed=seed), places))
                for seed in SEEDS
            }
            network = atlases[SEEDS[0]].load_network()
            by_seed = {seed: atlas.contents() for seed, atlas in atlases.items()}
            layers = [layer for layer in network.layers if not layer.is_classifier]
            rows = [figures(network, layer, by_seed) for layer in tqdm(layers, unit=" layers")]
    except AtlasError as error:
        raise click.ClickException(str(error)) from error
    if not any(rows):
        raise click.ClickException(f"{cache_dir} has no pictures of {model} with this recipe")
    report([row for row in rows if row])


if __name__ == "__main__":
    main()
