"""The map: every unit in one cell, the alike together, and pictures where they belong."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pytest
import site_factory
import torch
from PIL import Image
from torch import Tensor

from atlas.addressing import describe
from atlas.asked import AtlasSpec, Selection
from atlas.cache import Cache, Entry
from atlas.engine import Engine
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.map import KIND, MapRecord, MapSpec, TsneMapSpec, make, tsne
from atlas.kinds.map.arrangement import arrange, averages_around, pairs, snapped
from atlas.kinds.map.pyramid import CELL_PX, OVERVIEW_PX, TILE_PX, Pyramid, columns_for, draw
from atlas.network.network import Network
from atlas.observer import UNOBSERVED
from atlas.plan import make_plan


def planted_groups(n_groups: int = 12, noise: float = 0.5) -> tuple[Tensor, Tensor]:
    """Directions around the middle of each group, and their groups."""
    generator = torch.Generator().manual_seed(1)
    middles = torch.randn(n_groups, 64, generator=generator)
    groups = torch.arange(360) % n_groups
    vectors = middles[groups] + noise * torch.randn(len(groups), 64, generator=generator)
    return torch.nn.functional.normalize(vectors, dim=1), groups


def together(order: Tensor, groups: Tensor) -> float:
    """The share of neighbouring cells with vectors of the same group."""
    n_columns = columns_for(len(groups))
    rows = groups[order][: len(groups) // n_columns * n_columns].view(-1, n_columns)
    same = torch.cat([(rows[:, 1:] == rows[:, :-1]).flatten(), (rows[1:] == rows[:-1]).flatten()])
    return float(same.float().mean())


def spread(order: Tensor, groups: Tensor) -> float:
    """How far members are from the middle of their group, in rows or columns, on average."""
    cells, n_columns = torch.arange(len(groups)), columns_for(len(groups))
    places = torch.stack([cells // n_columns, cells % n_columns], 1).float()
    by_group = [places[groups[order] == group] for group in groups.unique()]
    return float(torch.cat([(own - own.median(0).values).abs().amax(1) for own in by_group]).mean())


def test_groups_lie_together():
    vectors, groups = planted_groups()
    order = arrange(vectors, columns_for(len(vectors)))
    assert sorted(order.tolist()) == list(range(len(vectors)))  # every one once
    assert together(order, groups) > 0.7  # by chance one in twelve


def test_the_same_seed_gives_the_same_places_and_another_one_others():
    vectors, _ = planted_groups()
    assert torch.equal(arrange(vectors, 22), arrange(vectors, 22))
    assert not torch.equal(arrange(vectors, 22), arrange(vectors, 22, seed=1))


@pytest.mark.parametrize("n", [1, 2, 7, 12, 17])
def test_points_on_the_grid_stay_in_their_cells_and_others_keep_their_order(n: int):
    cells = torch.arange(n)
    points = torch.stack([cells % 4, cells // 4], 1).double()
    assert snapped(points, 4).tolist() == cells.tolist()
    assert snapped(points**3 / 100 - 5, 4).tolist() == cells.tolist()
    mixed = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    assert mixed[snapped(points[mixed], 4)].tolist() == cells.tolist()


def test_equal_points_have_a_cell_each():
    assert sorted(snapped(torch.zeros(23, 2), 6).tolist()) == list(range(23))


def test_a_group_lies_in_one_place_from_points_by_tsne():
    pytest.importorskip("openTSNE", reason="the extra `map` is not installed")
    vectors, groups = planted_groups(n_groups=36, noise=0.7)
    shares: list[float] = []
    points = tsne.tsne_points(vectors, shares.append)
    assert sum(shares) == pytest.approx(1) and len(shares) > 50
    n_columns = columns_for(len(vectors))
    order = arrange(vectors, n_columns, points)
    assert sorted(order.tolist()) == list(range(len(vectors)))
    assert spread(order, groups) < 1.25  # by chance 7
    assert spread(order, groups) < spread(arrange(vectors, n_columns), groups)


def test_the_same_seed_gives_the_same_points():
    pytest.importorskip("openTSNE", reason="the extra `map` is not installed")
    vectors = planted_groups()[0][:100]
    one, other = (tsne.tsne_points(vectors, lambda _: None) for _ in range(2))
    assert torch.equal(one, other)


def test_copies_of_pictures_have_points_as_well():
    pytest.importorskip("openTSNE", reason="the extra `map` is not installed")
    vectors = torch.cat([planted_groups()[0][:100], torch.zeros(100, 64)])
    assert tsne.tsne_points(vectors, lambda _: None).isfinite().all()


TSNE = TsneMapSpec("openTSNE 9.9")


@pytest.mark.parametrize("vectors", [torch.eye(90), torch.ones(200, 8), torch.eye(3)[:, :1]])
def test_few_different_pictures_begin_in_random_cells(vectors: Tensor, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openTSNE", None)  # it is not even imported
    assert make.first_points(vectors, TSNE, UNOBSERVED) is None
    assert make.first_points(vectors, MapSpec(), UNOBSERVED) is None
    assert capsys.readouterr().err == ""
    order = arrange(vectors, columns_for(len(vectors)))
    assert sorted(order.tolist()) == list(range(len(vectors)))


def test_a_library_that_fails_is_done_without_and_that_is_said(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "openTSNE", None)  # its import fails
    vectors, _ = planted_groups()
    assert make.first_points(vectors, TSNE, UNOBSERVED) is None
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("openTSNE 9.9 failed") and "ModuleNotFoundError" in line


def test_without_the_library_pictures_begin_in_random_cells():
    assert make.first_points(planted_groups()[0], MapSpec(), UNOBSERVED) is None


def test_ctrl_c_ends_the_search_for_points(monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(make, "tsne_points", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make.first_points(planted_groups()[0], TSNE, UNOBSERVED)


@pytest.mark.parametrize(
    ("version", "library"),
    [
        ("1.0.4", "openTSNE 1.0.4"),
        ("2.0rc1", "openTSNE 2.0rc1"),
        (None, ""),
    ],
)
def test_the_address_of_a_map_names_the_library_that_it_needs(monkeypatch, version, library):
    def installed(name: str) -> str:
        if version is None:
            raise tsne.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(tsne.metadata, "version", installed)
    facts = site_factory.network()
    spec = KIND.spec(AtlasSpec(), facts.layers[0], facts)
    without = {"name": "map", "version": 1}  # as it was before there was a library
    assert describe(spec) == (without | {"library": library} if library else without)
    cost, cost_without = (
        KIND.cost_of(each, facts.layers[0], facts, 0).for_source for each in (spec, MapSpec())
    )
    assert cost > cost_without if library else cost == cost_without


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
