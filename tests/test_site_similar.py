"""Similar units are shown with their pictures and links, and with what likeness means here."""

from pathlib import Path

import pytest
import site_factory
from site_reader import Page

from atlas import paths
from atlas.site.contents import Contents
from atlas.site.writer import write_site
from atlas.units import Unit

UNIT = Unit("layer1.0.conv2", 2)


def contents(**options: object) -> Contents:
    return site_factory.contents(site_factory.network(n_blocks=(1,)), **options)[0]


def unit_page(site: Path, unit: Unit) -> Page:
    return Page((site / paths.unit_page(unit)).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("similar")
    write_site(contents(), out_dir)
    return out_dir


def test_neighbours_are_shown_with_their_pictures(site: Path) -> None:
    found = unit_page(site, UNIT)
    assert "Similar units" in found.text and "answers to the same photographs" in found.text
    assert {"0003.html", "../conv1/0000.html"} <= set(found.targets)
    pictures = {image["src"] for image in found.all("img")}
    assert {"0003.webp", "../conv1/0000.webp"} <= pictures
    assert "conv1:0" in found.text and "0.90" in found.text and "0.80" in found.text


def test_without_neighbours_nothing_is_said(site: Path, tmp_path: Path) -> None:
    known = contents()
    with site_factory.changed_numbers(known, UNIT.layer, "similar") as numbers:
        numbers["within"][UNIT.index] = numbers["across"][UNIT.index] = []
    write_site(known, tmp_path)
    assert "Similar units" not in unit_page(tmp_path, UNIT).text
    other = Unit(UNIT.layer, 3)
    assert "Similar units" in unit_page(tmp_path, other).text


def test_a_neighbour_without_a_picture_is_named_all_the_same(tmp_path: Path) -> None:
    known = contents(wanted=lambda unit, kind: unit.id != "layer1.0.conv2:3")
    write_site(known, tmp_path)
    found = unit_page(tmp_path, UNIT)
    assert "0003.webp" not in {image["src"] for image in found.all("img")}
    assert "0.90" in found.text and "0003.html" not in found.targets
