"""Whole photographs: which are kept, and that pages show the part of them that a unit sees."""

import dataclasses
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import site_factory
from PIL import Image
from site_factory import EVIL, FEW, PHOTOGRAPHS
from site_reader import Page

from atlas import paths
from atlas.asked import AtlasSpec
from atlas.kinds import examples, natural, photographs
from atlas.kinds.kind import Kind
from atlas.kinds.natural.whole import N_IN_GRID, PARTS, part_of
from atlas.kinds.photographs import MAX_IMAGES, MAX_PX, PhotographsSpec
from atlas.kinds.photographs.make import encoded
from atlas.site.contents import Contents
from atlas.site.writer import write_site
from atlas.units import Unit

SHALLOW, DEEP = Unit("layer1.0.conv2", 2), Unit("fc", 3)


def contents(*, without: Sequence[str] = (), asked: AtlasSpec = FEW) -> Contents:
    def wanted(unit: Unit, kind: str) -> bool:
        return kind not in without

    facts = site_factory.network(n_blocks=(1,))
    return site_factory.contents(facts, wanted=wanted, asked=asked)[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("whole")
    write_site(contents(), out_dir)
    return out_dir


def shown(site: Path, unit: Unit) -> list[tuple[str, str]]:
    """Files and parts of the photographs on a unit's page, the nine strongest first."""
    page = Page((site / paths.unit_page(unit)).read_text(encoding="utf-8"))
    images = [each for each in page.all("img") if "photographs/" in str(each["src"])]
    links = [str(each["href"]) for each in page.all("a") if "photographs/" in str(each["href"])]
    assert links == [str(each["src"]) for each in images]  # a press opens the whole photograph
    return [(str(each["src"]), str(each.get("data-part") or "")) for each in images]


@pytest.mark.parametrize(
    ("n_images", "kinds", "expected"),
    [
        (MAX_IMAGES, (), (True, False)),
        (MAX_IMAGES + 1, (), (False, True)),
        (MAX_IMAGES, ("examples",), (True, True)),
        (MAX_IMAGES + 1, ("photographs",), (True, True)),
    ],
)
def test_few_photographs_are_shown_whole_and_of_many_crops(
    n_images: int, kinds: tuple[str, ...], expected: tuple[bool, bool]
) -> None:
    facts = site_factory.network()
    asked = AtlasSpec(images_sha256="some", n_images=n_images, kinds=kinds)
    both: tuple[Kind[object], ...] = (photographs.KIND, examples.KIND)
    assert tuple(kind.is_possible(asked, facts.layers[0], facts) for kind in both) == expected


def test_without_photographs_there_are_neither() -> None:
    facts = site_factory.network()
    for kind in (photographs.KIND, examples.KIND):
        assert not kind.is_possible(AtlasSpec(), facts.layers[0], facts)


def test_large_photographs_are_reduced_and_small_ones_keep_their_size() -> None:
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    photograph = np.stack([np.tile(ramp, (512, 1))] * 3, axis=-1)
    for side_px in (MAX_PX, 512):
        with Image.open(io.BytesIO(encoded(photograph, PhotographsSpec(side_px)))) as image:
            assert image.size == (side_px, side_px)
            columns = np.asarray(image.convert("RGB"), float).mean((0, 2))
        np.testing.assert_allclose(columns, ramp[:: 512 // side_px], atol=4)


def test_every_photograph_is_a_file_of_the_site_once(site: Path) -> None:
    files = sorted(path.name for path in (site / paths.PHOTOGRAPHS_DIR).iterdir())
    assert files == [f"p{number:04d}.webp" for number in range(len(PHOTOGRAPHS))]
    whole = site_factory.network().layers[0].whole
    for number, name in enumerate(PHOTOGRAPHS):
        with Image.open(site / paths.photograph(number)) as image:
            colour = np.asarray(image.convert("RGB"), int).mean((0, 1))
        assert np.abs(colour - site_factory.colour(whole, name)).max() < 16


def test_a_page_names_the_part_of_each_photograph_that_a_unit_sees(site: Path) -> None:
    """A field of 11 px with a stride of 4 px, in images of 64 px; positions are 0, 1 and 2."""
    side, at = round(PARTS * 11 / 64), round(PARTS * 3 / 64)
    evil, birds, other = (
        PHOTOGRAPHS.index(name) for name in (f"fish/{EVIL}.jpg", *PHOTOGRAPHS[:2])
    )
    corner = f"0 0 {side}"
    strongest = [(evil, corner), (evil, corner), (birds, f"{at} 0 {side}"), (other, corner)]
    spread = [(birds, corner), (evil, corner), (other, corner)]
    expected = [(f"../{paths.photograph(number)}", part) for number, part in strongest + spread]
    assert shown(site, SHALLOW) == expected


def test_a_unit_page_with_photographs_is_small(site: Path) -> None:
    sizes = [path.stat().st_size for path in site.glob("*/[0-9]*.html")]
    assert sum(sizes) / len(sizes) <= 12_700 and max(sizes) <= 13_800


def test_a_part_is_never_empty_and_never_reaches_over_an_edge() -> None:
    """A field of 1 px at the last position of an image of 2,400 px."""
    known = contents()
    facts = dataclasses.replace(
        known.facts,
        preprocessing=dataclasses.replace(known.facts.preprocessing, size_px=2400),
    )
    layer = dataclasses.replace(facts.layer(SHALLOW.layer), receptive_field_px=1, total_stride_px=1)
    record = known.layer_record(layer, natural.KIND)
    assert record and facts.input_size_px == 2400
    found = part_of(dataclasses.replace(known, facts=facts), layer, record, [0, 2399, 0, 1.0])
    assert found and found[1:] == (0, PARTS - 1, 1)


def test_where_the_field_covers_the_image_all_of_it_is_shown(site: Path) -> None:
    assert {part for _, part in shown(site, DEEP)} == {""}


def test_the_grid_of_a_layer_is_given_the_parts_of_its_strongest_photographs(site: Path) -> None:
    script = (site / paths.layer_photographs(SHALLOW.layer)).read_text()
    units = json.loads(re.fullmatch(r"self\.atlasPhotographs = (.*);\n", script)[1])  # type: ignore[index]
    layer = site_factory.network(n_blocks=(1,)).layer(SHALLOW.layer)
    assert len(units) == layer.n_units
    in_page = [
        [int(re.search(r"\d+", src)[0]), *map(int, part.split())]  # type: ignore[index]
        for src, part in shown(site, SHALLOW)[:N_IN_GRID]
    ]
    assert units[SHALLOW.index] == in_page
    page = (site / paths.layer_page(SHALLOW.layer)).read_text()
    assert "photographs:1:1:photographs" in page


def test_units_that_only_photographs_show_have_pages(tmp_path: Path) -> None:
    kinds = [kind for kind in site_factory.KIND_NAMES if kind not in ("natural", "photographs")]
    write_site(contents(without=kinds), tmp_path)
    assert len(shown(tmp_path, SHALLOW)) == 7


def test_photographs_that_come_to_a_site_later_come_to_the_pages_of_all_layers(
    site: Path, tmp_path: Path
) -> None:
    write_site(contents(without=["photographs"]), tmp_path)
    assert not shown(tmp_path, SHALLOW)
    write_site(contents(), tmp_path)
    for unit in (SHALLOW, DEEP):
        assert shown(tmp_path, unit) == shown(site, unit)


def test_a_photograph_that_is_not_on_the_site_leaves_its_numbers(tmp_path: Path) -> None:
    known = contents()
    with site_factory.changed_numbers(known, SHALLOW.layer, "natural") as numbers:
        numbers["files"] = ["gone.jpg", *numbers["files"][1:]]
    write_site(known, tmp_path)
    page = Page((tmp_path / paths.unit_page(SHALLOW)).read_text(encoding="utf-8"))
    assert "+3.5 birds" in page.text
    assert len(shown(tmp_path, SHALLOW)) == 5
