"""The map: every unit in one cell, the alike together, and pictures where they belong."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from atlas.asked import AtlasSpec, Selection
from atlas.cache import Cache, Entry
from atlas.engine import Engine
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.map import MapRecord
from atlas.kinds.map.arrangement import arrange, averages_around, pairs
from atlas.kinds.map.pyramid import CELL_PX, OVERVIEW_PX, TILE_PX, Pyramid, columns_for, draw
from atlas.network.network import Network
from atlas.plan import make_plan

N_GROUPS, N_MEMBERS = 12, 30


def planted_groups() -> tuple[Tensor, Tensor]:
    """Directions around the middle of each group, and their groups."""
    generator = torch.Generator().manual_seed(1)
    middles = torch.randn(N_GROUPS, 64, generator=generator)
    groups = torch.arange(N_GROUPS * N_MEMBERS) % N_GROUPS
    vectors = middles[groups] + 0.5 * torch.randn(len(groups), 64, generator=generator)
    return torch.nn.functional.normalize(vectors, dim=1), groups


def test_groups_lie_together():
    vectors, groups = planted_groups()
    n_columns = columns_for(len(vectors))
    order = arrange(vectors, n_columns)
    assert sorted(order.tolist()) == list(range(len(vectors)))  # every one once
    rows = groups[order][: len(vectors) // n_columns * n_columns].view(-1, n_columns)
    same = torch.cat([(rows[:, 1:] == rows[:, :-1]).flatten(), (rows[1:] == rows[:-1]).flatten()])
    assert same.float().mean() > 0.7  # by chance one in twelve


def test_the_same_seed_gives_the_same_places_and_another_one_others():
    vectors, _ = planted_groups()
    assert torch.equal(arrange(vectors, 22), arrange(vectors, 22))
    assert not torch.equal(arrange(vectors, 22), arrange(vectors, 22, seed=1))


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_vectors_have_places_as_well(n: int):
    vectors = torch.eye(n, 3)
    assert sorted(arrange(vectors, columns_for(n)).tolist()) == list(range(n))


def test_averages_are_over_the_cells_around_as_far_as_there_are_any():
    placed = torch.arange(8.0).view(8, 1)  # two full rows of three, and one of two
    around = averages_around(placed, 3, 1).flatten().tolist()
    assert around == pytest.approx([2, 2.5, 3, 3.5, 3.5, 3.8, 5, 5])
    assert averages_around(placed, 3, 5).flatten().tolist() == pytest.approx([3.5] * 8)


def test_pairs_are_of_different_cells_that_are_mostly_near():
    one, other = pairs(400, 20, 2, torch.Generator().manual_seed(0))
    assert len({*one.tolist(), *other.tolist()}) == 400
    columns, rows = (one % 20 - other % 20).abs(), (one // 20 - other // 20).abs()
    assert ((columns <= 4) & (rows <= 4)).float().mean() > 0.8


def solid(colour: Sequence[int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (80, 70), tuple(colour)).save(buffer, "WEBP", quality=90)
    return buffer.getvalue()


def test_every_picture_is_in_its_cell_in_all_sizes():
    n_units = 1000
    colours = np.random.default_rng(0).integers(0, 256, (n_units, 3))
    read: list[Callable[[], bytes]] = [partial(solid, colour.tolist()) for colour in colours]
    pyramid = Pyramid.of(n_units, columns_for(n_units))
    assert pyramid.n_columns * (pyramid.n_rows - 1) < n_units <= pyramid.n_columns * pyramid.n_rows
    tiles = dict(zip(pyramid.tiles(), draw(pyramid, read), strict=True))
    assert [*pyramid.cells_px] == [64, 32] and max(
        open_tile(tiles[pyramid.overview]).size
    ) <= OVERVIEW_PX
    for cell_px in pyramid.cells_px:
        side = OVERVIEW_PX if cell_px == pyramid.overview.cell_px else TILE_PX
        drawn = np.zeros((pyramid.n_rows * cell_px, pyramid.n_columns * cell_px, 4), np.uint8)
        for tile, data in tiles.items():
            if tile.cell_px == cell_px:
                part = np.asarray(open_tile(data).convert("RGBA"))
                top, left = tile.row * side, tile.column * side
                drawn[top : top + part.shape[0], left : left + part.shape[1]] = part
        centres = drawn[cell_px // 2 :: cell_px, cell_px // 2 :: cell_px].reshape(-1, 4)
        np.testing.assert_allclose(centres[:n_units, :3], colours, atol=24)
        assert (centres[:n_units, 3] == 255).all() and (centres[n_units:, 3] == 0).all()


def open_tile(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_map_of_27560_units_has_few_and_small_files():
    pyramid = Pyramid.of(27_560, columns_for(27_560))
    tiles = list(pyramid.tiles())
    assert len(tiles) < 200 and len(set(tiles)) == len(tiles)
    assert pyramid.cells_px == (64, 32, 16, 8) and pyramid.n_columns * 8 <= OVERVIEW_PX


def made_map(network: Network, cache: Cache) -> Entry:
    """The map of some units of the first and the last layer."""
    chosen = Selection(layers=("conv1", "fc"), units=(range(3),))
    asked = AtlasSpec(preset="preview", selection=chosen, kinds=("map",))
    with Engine(network, cache) as engine:
        engine.run(make_plan(asked, network.facts, cache.keys()).missing, cache.put)
    (entry,) = cache.of_kind("map")
    return entry


def test_units_with_a_picture_are_on_the_map_unless_they_are_dead(planted: Network, tmp_path):
    with Cache(tmp_path) as cache:
        entry = made_map(planted, cache)
        record, data = entry.record(MapRecord, "z"), cache.read(entry.key)
        alive = {
            each.unit
            for each in cache.of_kind("excitatory")
            if not each.record(ExcitatoryRecord, "z").dead
        }
        layers = planted.facts.layers
        shown = [layers[layer].unit(channel).id for layer, channel in record.places]
        assert entry.unit == "conv1" and sorted(shown) == sorted(alive)
        assert record.n_dead == len(cache.of_kind("excitatory")) - len(alive)
        assert sum(record.tile_bytes) == len(data) == entry.n_bytes
        (tile,) = record.tile_bytes  # a small map is one tile
        size = record.n_columns * CELL_PX, -(-len(shown) // record.n_columns) * CELL_PX
        assert open_tile(data[:tile]).size == size
    with Cache(tmp_path / "again") as cache:
        again = made_map(planted, cache)
        assert (again.key, again.sha256, again.numbers_json) == (
            entry.key,
            entry.sha256,
            entry.numbers_json,
        )
