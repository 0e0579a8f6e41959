"""The map of all units with an excitatory picture: places, and the tiles of its picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from atlas.cache import Entry
from atlas.console import say_above
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.map import TSNE_MACS, MapRecord, MapSpec, TsneMapSpec
from atlas.kinds.map.arrangement import arrange
from atlas.kinds.map.pyramid import Pyramid, columns_for, draw
from atlas.kinds.map.tsne import N_NEIGHBOURS, tsne_points
from atlas.kinds.similar.neighbours import alike_in_pictures
from atlas.observer import Observer
from atlas.pictures.embedding import unpacked
from atlas.pictures.panel import Panel
from atlas.plan import Job
from atlas.renderer import Renderer
from atlas.units import Layer


class Pictured(NamedTuple):
    """A unit with its picture and what the classifier reads of it."""

    place: list[int]  # index of its layer, channel
    key: str
    record: ExcitatoryRecord


class Arranged(NamedTuple):
    """Units on the map."""

    units: Sequence[Pictured]  # in reading order of its cells
    library: str  # whose t-SNE placed them at first; empty where their first cells were random


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The map of the network, as one batch."""
    for job in jobs:
        by_unit = {entry.unit: entry for entry in renderer.entries(job.sources).values()}
        found = list(_pictured(renderer.network.facts.layers, by_unit))
        shown = [each for each in found if each.record.embedding and not each.record.dead]
        n_dead = sum(each.record.dead for each in found)
        yield [_panel(renderer, job, _arranged(shown, job.spec, renderer.observer), n_dead)]


def _pictured(layers: Sequence[Layer], by_unit: Mapping[str, Entry]) -> Iterator[Pictured]:
    for layer in layers:
        for unit in layer.units:
            if entry := by_unit.get(unit.id):
                record = entry.record(ExcitatoryRecord, layer.score_name)
                yield Pictured([layer.index, unit.index], entry.key, record)


def _arranged(units: Sequence[Pictured], spec: MapSpec, observer: Observer) -> Arranged:
    """Units in reading order of the map's cells, and how they came there."""
    if not units:
        return Arranged((), "")
    embeddings = np.stack([unpacked(each.record.embedding or "") for each in units])
    directions = alike_in_pictures(torch.from_numpy(embeddings))
    points = first_points(directions, spec, observer)
    order = arrange(directions, columns_for(len(units)), points)
    library = spec.library if isinstance(spec, TsneMapSpec) and points is not None else ""
    return Arranged([units[nth] for nth in order.tolist()], library)


def first_points(vectors: Tensor, spec: MapSpec, observer: Observer) -> Tensor | None:
    """Where t-SNE puts vectors; None if they are too few, or its library is missing or fails.

    Args:
        vectors: (n, n_dims).
        spec: of the map.
        observer: told how far the work has got.

    Returns:
        Points of the plane, (n, 2).
    """
    if not isinstance(spec, TsneMapSpec) or len(vectors.unique(dim=0)) <= N_NEIGHBOURS:
        return None
    work_macs = TSNE_MACS * len(vectors)
    try:
        return tsne_points(vectors, lambda share: observer.advance(share * work_macs))
    except Exception as error:  # of any kind, as the library is not ours: random cells do as well
        say_above(f"{spec.library} failed, so the map is made without it: {error!r}")
        return None


def _panel(renderer: Renderer, job: Job, arranged: Arranged, n_dead: int) -> Panel:
    units = arranged.units
    n_columns = columns_for(len(units))
    read = [partial(renderer.read, each.key) for each in units]
    tiles = [*draw(Pyramid.of(len(units), n_columns), read)] if units else []
    places, sizes = [each.place for each in units], [len(tile) for tile in tiles]
    record = MapRecord(n_columns, n_dead, places, sizes, arranged.library)
    return Panel(job.layer.whole, record, b"".join(tiles))
