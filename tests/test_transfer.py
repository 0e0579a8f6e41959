"""What a reader of a large atlas has to download before anything is clicked or scrolled."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import site_factory
from host import serve
from PIL import Image
from visits import Visit, launch, see_everything

from atlas.site.contents import Contents
from atlas.site.layer_pages import N_AT_ONCE
from atlas.site.writer import write_site
from atlas.units import NetworkFacts, Unit

Size = tuple[int, int]

LARGE = "layer4.2.conv3"
N_UNITS = 2048
PICTURE_PX = 224
N_WHOLE = 9
EXAMPLES_PX = (765, 585)  # of a sheet
EXAMPLES_BYTES = (40_000, 70_000)  # as ResNet-50's
SHEET_BYTES = (18_000, 36_000)  # of thumbnails: ResNet-50's have up to 19 kB, the demo's up to 36


def large_network() -> NetworkFacts:
    """A stem, ResNet-50's widest layer and the classes."""
    stem, *_, classes = site_factory.network(n_blocks=(1,)).layers
    changes = {"writers": (stem.name,), "stage": "layer4", "receptive_field_px": 427}
    wide = site_factory.layer(LARGE, N_UNITS, stem.n_units, **changes)
    classes = dataclasses.replace(classes, in_channels=N_UNITS, writers=(LARGE,))
    layers = site_factory.numbered((stem, wide, classes))
    return dataclasses.replace(site_factory.network(), layers=layers)


def detailed_picture(seed: int, n_patches: int = 9, size: Size = (PICTURE_PX, PICTURE_PX)) -> bytes:
    """Smooth patches in random colours: as many bytes as synthetic pictures have."""
    patches = np.random.default_rng(seed).integers(0, 256, (n_patches, n_patches, 3), np.uint8)
    enlarged = Image.fromarray(patches).resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    enlarged.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def large_contents() -> Contents:
    """All measurements, but all pictures of nine units only, for time's sake; with details."""

    def wanted(unit: Unit, kind: str) -> bool:
        few = unit.index < N_WHOLE or kind in ("excitatory", "filter")
        return unit.layer != LARGE or few

    contents, pictures = site_factory.contents(large_network(), wanted, PICTURE_PX)
    detailed = [detailed_picture(seed) for seed in range(16)]
    for index in range(N_UNITS):
        entries = contents.entries[f"{LARGE}:{index}"]
        for kind in ("excitatory", "inhibitory", "twin"):
            if kind in entries:
                pictures.data[entries[kind].key] = detailed[index % len(detailed)]
    examples = contents.entries[f"{LARGE}:0"]["examples"]
    pictures.data[examples.key] = detailed_picture(0, 48, EXAMPLES_PX)
    return contents


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("large")
    write_site(large_contents(), out_dir)
    return out_dir


@pytest.fixture(scope="module")
def visits(site: Path) -> Iterator[tuple[Any, str]]:
    with serve(site) as address, launch() as browser:
        yield browser, address


@pytest.mark.parametrize(
    ("sheet", "limits"), [("thumbs-00", SHEET_BYTES), ("examples-00", EXAMPLES_BYTES)]
)
def test_sheets_are_as_heavy_as_real_ones(site: Path, sheet: str, limits: Size):
    low, high = limits
    assert low <= (site / LARGE / f"{sheet}.webp").stat().st_size <= high


@pytest.mark.parametrize("width_px", [360, 1280, 1600])
def test_the_first_view_of_2048_units_is_below_300_kb(visits: tuple[Any, str], width_px: int):
    with Visit(*visits, viewport={"width": width_px, "height": 900}) as visit:
        visit.open(f"{LARGE}/index.html").wait_for_load_state("networkidle")
        sheets = [path for path in visit.sizes if "thumbs-" in path]
        assert 0 < len(sheets) < 15  # of 57: the others wait
        assert sum(visit.sizes.values()) <= 300_000


COUNT = """addEventListener("DOMContentLoaded", () => {
    self.atFirst = document.querySelectorAll(".grid li").length;
})"""


def test_a_page_of_2048_units_answers_long_before_all_of_them_are_there(visits: tuple[Any, str]):
    """A browser takes longer for all of them than a reader waits; here it lays out a tenth."""
    with Visit(*visits) as visit:
        visit.page.add_init_script(COUNT)
        page = visit.open(f"{LARGE}/index.html")
        page.wait_for_selector(f".grid li >> nth={N_UNITS - 1}", state="attached")
        assert page.evaluate("self.atFirst") == N_AT_ONCE < N_UNITS / 10


def test_text_of_a_unit_is_below_24_kb(visits: tuple[Any, str]):
    with Visit(*visits) as visit:
        visit.open(f"{LARGE}/0007.html").wait_for_load_state("networkidle")
        text = {path: size for path, size in visit.sizes.items() if not path.endswith(".webp")}
        assert {f"{LARGE}/0007.html", "static/css/atlas.css"} <= text.keys()
        assert sum(text.values()) <= 24_000


def test_the_first_view_of_a_unit_is_below_150_kb_and_only_its_own(visits: tuple[Any, str]):
    """Chromium looks 1,250 px ahead; what comes from other units is further down."""
    with Visit(*visits, viewport={"width": 1280, "height": 800}) as visit:
        page = visit.open(f"{LARGE}/0000.html")
        page.wait_for_load_state("networkidle")
        pictures = {Path(path).stem for path in visit.sizes if path.endswith(".webp")}
        assert pictures == {"0000", "inhibitory-00", "twins-00", "filters-00"}
        assert sum(visit.sizes.values()) <= 150_000
        see_everything(page)
        page.wait_for_load_state("networkidle")
        assert "conv1/0000.webp" in visit.sizes


@pytest.mark.parametrize("screen", [(390, 844, 3), (1280, 800, 1), (1920, 1080, 2)])
def test_the_first_view_of_the_map_is_below_1_mb_and_15_requests(
    visits: tuple[Any, str], screen: tuple[int, int, int]
):
    width_px, height_px, density = screen
    viewport = {"width": width_px, "height": height_px}
    with Visit(*visits, viewport=viewport, device_scale_factor=density) as visit:
        visit.open("map.html").wait_for_selector(".atlas-map.viewed")
        visit.page.wait_for_load_state("networkidle")
        assert "map/16-0-0.webp" in visit.sizes and len(visit.finished) <= 15
        assert sum(visit.sizes.values()) <= 1_000_000
