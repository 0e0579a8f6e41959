"""Sprite sheets: the right picture in the right cell."""

import dataclasses
import hashlib
import io
import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import site_factory
from PIL import Image

from atlas import paths
from atlas.kinds import field, filter, inhibitory
from atlas.kinds.kind import Kind
from atlas.sheets import SheetKind
from atlas.site.sprites import COVERS, THUMBS, compose
from atlas.site.writer import write_site
from atlas.units import Unit


def sheets_of(kind: Kind[Any]) -> SheetKind:
    assert kind.sheet
    return kind.sheet


FIELDS, FILTERS, INHIBITORY = map(sheets_of, (field.KIND, filter.KIND, inhibitory.KIND))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("whole")
    write_site(site_factory.contents()[0], out_dir)
    return out_dir


SPRITES = {
    "thumbnail": "excitatory",
    "filter": "filter",
    "inhibitory": "inhibitory",
    "field": "field",
    "twin": "twin",
    "examples": "examples",
}


def distance(found: object, expected: tuple[int, int, int]) -> int:
    assert isinstance(found, tuple)
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


def test_units_json_points_at_the_right_cells(tmp_path: Path) -> None:
    facts = site_factory.network(n_blocks=(1,), width=18)  # 72 units: several sheets
    write_site(site_factory.contents(facts)[0], tmp_path)
    opened: dict[str, Image.Image] = {}
    seen: Counter[str] = Counter()
    for layer in facts.layers:
        for found in json.loads((tmp_path / layer.name / "units.json").read_bytes())["units"]:
            unit = Unit(layer.name, found["index"])
            for name, sprite in found["pictures"].items():
                if name == "excitatory":
                    continue
                seen[name] += 1
                path = sprite["sheet"]
                opened.setdefault(path, Image.open(tmp_path / path).convert("RGB"))
                row, column = divmod(sprite["cell"], sprite["columns"])
                (width, height), (shown_width, shown_height) = sprite["cell_px"], sprite["size_px"]
                size = (width * sprite["columns"], height * sprite["rows"])
                assert opened[path].size == size
                x = column * width + shown_width // 2
                y = row * height + shown_height // 2
                first = unit.index - unit.index % 9 if name == "examples" else unit.index
                expected = site_factory.colour(layer.unit(first), SPRITES[name])
                off = distance(opened[path].getpixel((x, y)), expected)
                assert off <= (0 if name in ("filter", "field") else 14), (unit, name)
    n_convs = len(facts.layers) - 1
    n_fields = facts.n_units - facts.layer("fc").n_units
    assert seen["thumbnail"] == seen["filter"] == seen["inhibitory"] == facts.n_units
    assert seen["field"] == n_fields and seen["twin"] == 4 * (n_convs + 1)


@pytest.mark.parametrize(
    ("kind", "unit", "size"),
    [
        ("filter", Unit("layer1.0.conv3", 18), (40, 30)),
        # 64 px without a rim, in which scaling would mix in the neighbours.
        ("inhibitory", Unit("layer1.0.conv3", 18), (62, 62)),
        ("field", Unit("conv1", 13), (7, 7)),
        ("twin", Unit("layer1.0.conv3", 15), (62, 62)),
    ],
)
def test_the_crop_on_a_page_is_the_picture_of_that_unit(
    site: Path, kind: str, unit: Unit, size: tuple[int, int]
) -> None:
    html = (site / paths.unit_page(unit)).read_text(encoding="utf-8")
    sheet = {"inhibitory": "inhibitory"}.get(kind, f"{kind}s")
    crops = re.findall(r'viewBox="([\d ]+)"[^>]*><image href="([^"]+)" width="(\d+)"', html)
    box, name, width = next(crop for crop in crops if crop[1].startswith(sheet))
    picture = Image.open(site / unit.layer / name).convert("RGB")
    assert picture.width == int(width)
    left, top, right, bottom = map(int, box.split())
    assert (right, bottom) == size
    expected = site_factory.colour(unit, kind)
    tolerance, edge_px = (0, 0) if kind in ("filter", "field") else (14, 3)  # WebP smooths edges
    inside = (left + edge_px, top + edge_px, left + right - edge_px, top + bottom - edge_px)
    crop = picture.crop(inside)
    for low, high, value in zip(*zip(*crop.getextrema(), strict=True), expected, strict=True):
        assert abs(low - value) <= tolerance and abs(high - value) <= tolerance


def test_a_layer_has_its_dream_as_it_is_and_without_units_on_the_cover(tmp_path: Path) -> None:
    facts = site_factory.network(n_blocks=(1,))
    write_site(site_factory.contents(facts, lambda _, kind: kind == "dream")[0], tmp_path)
    layer = facts.layer("layer1.0.conv2")
    expected = site_factory.colour(layer.whole, "dream")
    whole = Image.open(tmp_path / layer.name / "cover.webp").convert("RGB")
    assert whole.size == (64, 64)
    assert distance(whole.getpixel((32, 32)), expected) <= 14
    place = COVERS.place(layer.index)
    covers = Image.open(tmp_path / place.sheet).convert("RGB")
    cell_px = COVERS.cell_px or 0
    middle = (place.column * cell_px + cell_px // 2, place.row * cell_px + cell_px // 2)
    assert distance(covers.getpixel(middle), expected) <= 14


def test_large_inhibitory_pictures_are_reduced_and_small_ones_are_not(tmp_path: Path) -> None:
    facts = site_factory.network(n_blocks=(1,), width=4)
    write_site(site_factory.contents(facts, size_px=224)[0], tmp_path)
    sprite = json.loads((tmp_path / "fc" / "units.json").read_bytes())["units"][1]["pictures"]
    assert sprite["inhibitory"]["size_px"] == sprite["inhibitory"]["cell_px"] == [112, 112]
    assert sprite["excitatory"]["size_px"] == [224, 224]
    assert INHIBITORY.fitted_px((74, 60)) == (74, 60)


def test_fine_textures_cost_quality_before_they_cost_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8)
    fine, plain = (encoded(Image.fromarray(pixels)) for pixels in (noise // 2, noise // 9))
    free = dataclasses.replace(INHIBITORY, wanted_bytes=math.inf)
    full, kept = (len(compose(kind, dict.fromkeys(range(9), fine))) for kind in (free, INHIBITORY))
    assert kept <= INHIBITORY.wanted_bytes < full
    assert compose(INHIBITORY, {0: plain}) == compose(free, {0: plain})


def encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def test_cells_of_lossy_sheets_share_no_block() -> None:
    assert FIELDS.cell_size_px([(23, 23), (19, 19)]) == (23, 23)  # bit for bit
    assert FIELDS.cell_size_px([(59, 59)]) == (64, 64)
    red = site_factory.picture((255, 0, 0), (59, 59), lossless=True)
    blue = site_factory.picture((0, 0, 255), (59, 59), lossless=True)
    sheet = Image.open(io.BytesIO(compose(FIELDS, {0: red, 1: blue}))).convert("RGB")
    assert distance(sheet.getpixel((58, 30)), (255, 0, 0)) <= 14
    assert distance(sheet.getpixel((64 + 3, 30)), (0, 0, 255)) <= 14


def test_small_pictures_keep_every_bit() -> None:
    noise = Image.frombytes("RGB", (23, 23), hash_bytes(23 * 23 * 3))
    buffer = io.BytesIO()
    noise.save(buffer, "WEBP", lossless=True)
    sheet = Image.open(io.BytesIO(compose(FIELDS, {4: buffer.getvalue()}))).convert("RGB")
    assert sheet.crop((23, 23, 46, 46)).tobytes() == noise.tobytes()


def hash_bytes(n_bytes: int) -> bytes:
    return hashlib.shake_128(b"noise").digest(n_bytes)


def test_pictures_of_other_sizes_fit_their_cells() -> None:
    wide = site_factory.picture((255, 0, 0), (300, 100), lossless=True)
    tall = site_factory.picture((0, 0, 255), (90, 200), lossless=True)
    thumbs = Image.open(io.BytesIO(compose(THUMBS, {0: wide, 35: tall})))
    assert thumbs.size == (384, 384)
    filters = Image.open(io.BytesIO(compose(FILTERS, {0: wide, 6: tall}))).convert("RGB")
    assert filters.size == (1500, 1000)
    assert filters.getpixel((299, 99)) == (255, 0, 0)
    assert filters.getpixel((300 + 89, 200 + 199)) == (0, 0, 255)


def test_bytes_that_are_no_picture_are_refused() -> None:
    with pytest.raises(OSError, match="not an image"):
        compose(THUMBS, {0: b"not a picture"})
