"""Neighbours of units: the most similar units among those with finished artifacts."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atlas.cache import Entry
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.similar import SimilarRecord, SimilarSpec
from atlas.kinds.similar.neighbours import (
    alike_in_answers,
    alike_in_pictures,
    nearest_neighbours,
)
from atlas.pictures.embedding import unpacked
from atlas.pictures.panel import Panel
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Layer, Unit

N_COMPARED = 512  # photographs by the answers to which units are compared
Compared = tuple[list[Unit], Tensor]  # units, and a direction vector for each: (n_units, n_dims)


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The neighbours of all jobs' units, in one batch."""
    spec: SimilarSpec = jobs[0].spec
    layers = renderer.network.facts.layers
    by_unit = {entry.unit: entry for entry in renderer.entries(jobs[0].sources).values()}
    compare = _by_responses if spec.basis == "photographs" else _by_pictures
    units, directions = compare(renderer, layers, by_unit)
    neighbours = nearest_neighbours(layers, units, directions, spec.n_neighbours)
    yield [_panel(job.layer, neighbours, spec) for job in jobs]


def _panel(
    layer: Layer, neighbours: Mapping[Unit, tuple[list[list[float]], ...]], spec: SimilarSpec
) -> Panel:
    within, across = zip(*(neighbours.get(unit, ([], [])) for unit in layer.units), strict=True)
    return Panel(layer.whole, SimilarRecord(spec.basis, list(within), list(across)))


def _by_responses(
    renderer: Renderer, layers: Sequence[Layer], by_unit: Mapping[str, Entry]
) -> Compared:
    made = [layer for layer in layers if layer.name in by_unit and by_unit[layer.name].n_bytes]
    by_layer = [_sample(renderer.read(by_unit[layer.name].key)) for layer in made]
    responses = np.hstack(by_layer) if by_layer else np.zeros((1, 0))  # (n_images, n_units)
    units = [unit for layer in made for unit in layer.units]
    return units, alike_in_answers(torch.from_numpy(responses).float().T)


def _sample(data: bytes) -> NDArray[np.float16]:
    """Responses of a layer's units to evenly spaced photographs, (at most N_COMPARED, n_units)."""
    responses: NDArray[np.float16] = np.load(io.BytesIO(data))
    every = max(1, math.ceil(len(responses) / N_COMPARED))
    return np.array(responses[::every])


def _by_pictures(_: Renderer, layers: Sequence[Layer], by_unit: Mapping[str, Entry]) -> Compared:
    by_picture = {}
    for layer in layers:
        for unit in layer.units:
            if unit.id in by_unit:
                record = by_unit[unit.id].record(ExcitatoryRecord, layer.score_name)
                if record.embedding:
                    by_picture[unit] = unpacked(record.embedding)
    embeddings = np.stack([*by_picture.values()]) if by_picture else np.zeros((0, 1), np.float32)
    return [*by_picture], alike_in_pictures(torch.from_numpy(embeddings))
