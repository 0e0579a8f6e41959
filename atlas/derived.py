"""What is made from artifacts that are there: examples from answers, neighbours from all."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from atlas.cache import Cache, Entry
from atlas.panels.examples import Album, example_sheets
from atlas.panels.neighbours import alike_in_answers, alike_in_pictures, neighbour_panels
from atlas.panels.panel import Panel
from atlas.photographs import Photographs
from atlas.pictures.embedding import unpacked
from atlas.pictures.picture import Picture
from atlas.plan import Job
from atlas.spec import Examples, Similar
from atlas.units import Layer, NetworkFacts, Unit


def examples(
    jobs: Sequence[Job], spec: Examples, photographs: Photographs, cache: Cache
) -> Iterator[list[Picture] | list[Panel]]:
    """Sheets of examples, from what the pass over the photographs has found.

    Raises:
        CacheError: a photograph is gone.
    """
    album = Album(photographs, spec.natural.size_px)
    for job in jobs:
        (seen,) = cache.entries(job.sources).values()
        if seen.n_bytes:
            yield example_sheets(job.layer, job.units, seen.numbers, album, spec)
        else:  # no photograph could be read
            yield [Panel(unit, {}) for unit in job.units]


def neighbours(
    jobs: Sequence[Job], spec: Similar, facts: NetworkFacts, cache: Cache
) -> list[Panel]:
    """Which units are like which, of all that can be compared."""
    of_unit = {entry.unit: entry for entry in cache.entries(jobs[0].sources).values()}
    compare = _by_answers if spec.basis == "photographs" else _by_pictures
    units, directions = compare(facts.layers, of_unit, cache)
    panels = neighbour_panels(facts.layers, units, directions, spec.n_neighbours)
    asked = {job.layer.whole for job in jobs}
    return [
        Panel(panel.unit, {"basis": spec.basis, **panel.numbers})
        for panel in panels
        if panel.unit in asked
    ]


def _by_answers(
    layers: Sequence[Layer], of_unit: Mapping[str, Entry], cache: Cache
) -> tuple[list[Unit], Tensor]:
    there = [layer for layer in layers if layer.name in of_unit and of_unit[layer.name].n_bytes]
    answers = [np.load(io.BytesIO(cache.read(of_unit[layer.name].key))) for layer in there]
    whole = np.hstack(answers) if answers else np.zeros((1, 0))  # (n_images, n_units)
    units = [unit for layer in there for unit in layer.units]
    return units, alike_in_answers(torch.from_numpy(whole).float().T)


def _by_pictures(
    layers: Sequence[Layer], of_unit: Mapping[str, Entry], _: Cache
) -> tuple[list[Unit], Tensor]:
    packed = {
        unit: of_unit[unit.id].numbers.get("embedding")
        for layer in layers
        for unit in layer.units
        if unit.id in of_unit
    }
    points = {unit: unpacked(text) for unit, text in packed.items() if text}
    whole = np.stack([*points.values()]) if points else np.zeros((0, 1), np.float32)
    return [*points], alike_in_pictures(torch.from_numpy(whole))
