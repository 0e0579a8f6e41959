"""The page of the map: what it says, its data, its tiles, and what leads to it."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import site_factory
from PIL import Image
from site_reader import Page

from atlas import paths
from atlas.site.contents import Contents
from atlas.site.map_page import map_view
from atlas.site.writer import write_site
from atlas.units import Unit

FACTS = site_factory.network(n_blocks=(1,))
DEAD = Unit("layer1.0.conv2", 1)


@pytest.fixture(scope="module")
def contents() -> Contents:
    """A whole atlas, of which one unit is dead and not on the map."""
    made, _ = site_factory.contents(FACTS)
    with site_factory.changed_numbers(made, DEAD.id, "excitatory") as numbers:
        numbers["dead"] = True
    with site_factory.changed_numbers(made, "conv1", "map") as numbers:
        numbers["n_dead"] = 1
        numbers["places"].remove([FACTS.layer(DEAD.layer).index, DEAD.index])
    return made


@pytest.fixture(scope="module")
def site(contents: Contents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("mapped")
    write_site(contents, out_dir)
    return out_dir


def page(site: Path, path: str) -> Page:
    return Page((site / path).read_text(encoding="utf-8"))


def data_of(site: Path) -> dict:
    text = (site / paths.MAP_DATA).read_text(encoding="utf-8")
    return json.loads(text.removeprefix("self.atlasMap = ").removesuffix(";\n"))


def test_the_page_says_what_it_shows_and_what_nearness_means(site: Path) -> None:
    shown = page(site, paths.MAP)
    n_shown = FACTS.n_units - 1
    assert f"The pictures of {n_shown} units" in shown.text
    assert "1 dead unit is left out." in shown.text
    assert "left, right, up and down mean nothing" in shown.text
    assert {paths.layer_page(layer.name) for layer in FACTS.layers} <= set(shown.targets)
    (overview,) = shown.all("img")
    size = int(overview["width"]), int(overview["height"])
    assert Image.open(site / overview["src"]).size == size and str(n_shown) in overview["alt"]
    assert 'id="map"' in (site / paths.ABOUT).read_text(encoding="utf-8")


def test_the_page_says_how_places_were_found_and_by_what_likeness(site: Path) -> None:
    text = page(site, paths.MAP).text
    assert "its classifier reads much the same of both pictures" in text
    assert "all began in random cells; then pairs were exchanged" in text
    assert "found by their answers to photographs instead" in text
    made, _ = site_factory.contents(FACTS)
    with site_factory.changed_numbers(made, "conv1", "map") as numbers:
        numbers["library"] = "openTSNE 1.0.4"
    with site_factory.changed_numbers(made, "conv1", "similar") as numbers:
        numbers["basis"] = "pictures"
    view = map_view(made)
    assert "t-SNE (openTSNE 1.0.4) laid them out in a plane" in view.placing
    assert view.neighbours.endswith("are found by the same likeness.")
    without, _ = site_factory.contents(FACTS, lambda unit, kind: kind != "similar")
    assert map_view(without).neighbours == ""


def test_the_data_name_every_cell(site: Path, contents: Contents) -> None:
    data = data_of(site)
    units = [unit for layer in FACTS.layers for unit in layer.units]
    assert data["layers"] == [[layer.name, layer.n_units] for layer in FACTS.layers]
    named = [units[number] for number in data["units"]]
    assert named == [unit for unit in units if unit != DEAD]
    assert {len(data[name]) for name in ("hues", "classes", "names")} == {len(named)}
    texts = ["", *data["words"]]
    words, classes = (
        dict(zip(named, (texts[number] for number in data[column]), strict=True))
        for column in ("names", "classes")
    )
    owl = Unit("fc", 3)
    assert words[owl] == classes[owl] == FACTS.labels[3]
    assert words[Unit("conv1", 0)] == "hound"  # its name
    assert classes[Unit("conv1", 0)] == site_factory.EVIL and classes[Unit("conv1", 1)] == ""
    assert set(data["hues"]) == {-1}  # all units are made to answer to no hue


def test_a_unit_prefers_a_hue_only_if_it_is_selective(contents: Contents, tmp_path: Path) -> None:
    made, _ = site_factory.contents(FACTS)
    with site_factory.changed_numbers(made, "conv1", "tuning") as numbers:
        numbers["hue_deg"][:2] = [357.0, 90.0]
        numbers["hue_selectivity"][:2] = [0.5, 0.01]
    write_site(made, tmp_path)
    assert data_of(tmp_path)["hues"][:3] == [0, -1, -1]


def test_a_unit_leads_to_its_place_unless_it_is_not_on_the_map(site: Path) -> None:
    shown = Unit(DEAD.layer, 0)
    assert f"../map.html#unit={shown.id}" in page(site, paths.unit_page(shown)).targets
    assert not any("map.html#" in link for link in page(site, paths.unit_page(DEAD)).targets)
    assert "../map.html" in page(site, paths.unit_page(DEAD)).targets  # the entry of the header


def test_tiles_show_the_pictures_and_are_not_written_again(site: Path, contents: Contents) -> None:
    (tile,) = (site / "map").glob("*.webp")
    drawn = np.asarray(Image.open(io.BytesIO(tile.read_bytes())).convert("RGB"), float)
    first = Image.open(site / paths.unit_picture(Unit("conv1", 0))).convert("RGB")
    cell = drawn[8:56, 8:56].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(cell, np.asarray(first, float).reshape(-1, 3).mean(0), atol=12)
    os.utime(tile, (1, 1))
    report = write_site(contents, site)
    assert report.n_written == 0 and tile.stat().st_mtime == 1
    assert [part.n_files for part in report.parts if part.name == "map"] == [1]


def test_without_the_map_nothing_leads_to_it_and_it_is_removed(tmp_path: Path) -> None:
    write_site(site_factory.contents(FACTS)[0], tmp_path)
    assert (tmp_path / paths.MAP).is_file()
    left_out, _ = site_factory.contents(FACTS, lambda unit, kind: kind != "map")
    write_site(left_out, tmp_path)
    assert not (tmp_path / paths.MAP).exists() and not (tmp_path / paths.MAP_DIR).exists()
    assert not any("map.html" in link for link in page(tmp_path, "index.html").targets)
    assert not any("map.html" in link for link in page(tmp_path, "conv1/0000.html").targets)


def test_paths_of_the_map_are_those_of_a_build() -> None:
    tile = paths.map_tile(32, 0, 11)
    assert tile == "map/32-0-11.webp" and paths.part_of(tile) == "map"
    assert all(map(paths.is_ours, (tile, paths.MAP, paths.MAP_DATA)))
    assert not paths.is_ours("map/holiday.webp") and not paths.is_atlas_name("map")
