"""The map of all units with an excitatory picture: places, and the tiles of its picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from atlas.cache import Entry
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.map import MapRecord
from atlas.kinds.map.arrangement import arrange
from atlas.kinds.map.pyramid import Pyramid, columns_for, draw
from atlas.kinds.similar.neighbours import alike_in_pictures
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


def make(renderer: Renderer, jobs: Sequence[Job]) -> Iterator[list[Panel]]:
    """The map of the network, as one batch."""
    for job in jobs:
        by_unit = {entry.unit: entry for entry in renderer.entries(job.sources).values()}
        found = list(_pictured(renderer.network.facts.layers, by_unit))
        shown = [each for each in found if each.record.embedding and not each.record.dead]
        n_dead = sum(each.record.dead for each in found)
        yield [_panel(renderer, job, _arranged(shown), n_dead)]


def _pictured(layers: Sequence[Layer], by_unit: Mapping[str, Entry]) -> Iterator[Pictured]:
    for layer in layers:
        for unit in layer.units:
            if entry := by_unit.get(unit.id):
                record = entry.record(ExcitatoryRecord, layer.score_name)
                yield Pictured([layer.index, unit.index], entry.key, record)


def _arranged(units: Sequence[Pictured]) -> list[Pictured]:
    """Units in reading order of the map's cells."""
    if not units:
        return []
    embeddings = np.stack([unpacked(each.record.embedding or "") for each in units])
    directions = alike_in_pictures(torch.from_numpy(embeddings))
    return [units[nth] for nth in arrange(directions, columns_for(len(units))).tolist()]


def _panel(renderer: Renderer, job: Job, units: Sequence[Pictured], n_dead: int) -> Panel:
    n_columns = columns_for(len(units))
    read = [partial(renderer.read, each.key) for each in units]
    tiles = [*draw(Pyramid.of(len(units), n_columns), read)] if units else []
    places = [each.place for each in units]
    record = MapRecord(n_columns, n_dead, places, [len(tile) for tile in tiles])
    return Panel(job.layer.whole, record, b"".join(tiles))
