"""Sprite sheets: the right picture in the right cell."""

import io
import json
from pathlib import Path

import pytest
import site_factory
from PIL import Image

from atlas.site.sprites import FILTERS, THUMBS, compose
from atlas.site.writer import write_site
from atlas.units import Unit


def test_units_json_points_at_the_right_cells(tmp_path: Path) -> None:
    facts = site_factory.network(n_blocks=(1,), width=18)  # 72 units: several sheets
    write_site(site_factory.contents(facts)[0], tmp_path)
    opened: dict[str, Image.Image] = {}
    for layer in facts.layers:
        for facts_of_unit in json.loads((tmp_path / layer.name / "units.json").read_bytes())[
            "units"
        ]:
            unit = Unit(layer.name, facts_of_unit["index"])
            for name, kind in (("thumbnail", "excitatory"), ("filter", "filter")):
                sprite = facts_of_unit["pictures"][name]
                path = sprite["sheet"]
                opened.setdefault(path, Image.open(tmp_path / path).convert("RGB"))
                row, column = divmod(sprite["cell"], sprite["columns"])
                (width, height), (shown_width, shown_height) = sprite["cell_px"], sprite["size_px"]
                assert opened[path].size == (
                    width * sprite["columns"],
                    height * sprite["rows"],
                )
                x = column * width + shown_width // 2
                y = row * height + shown_height // 2
                found = opened[path].getpixel((x, y))
                expected = site_factory.colour(unit, kind)
                assert isinstance(found, tuple)
                distance = max(abs(a - b) for a, b in zip(found, expected, strict=True))
                assert distance <= (0 if name == "filter" else 14), (unit, name, found, expected)


def test_the_crop_on_a_page_is_the_filter_of_that_unit(tmp_path: Path) -> None:
    write_site(site_factory.contents()[0], tmp_path)
    unit = Unit("layer1.0.conv3", 18)
    html = (tmp_path / unit.layer / f"{unit.slug}.html").read_text(encoding="utf-8")
    x, y, width, height = map(int, html.partition('viewBox="')[2].partition('"')[0].split())
    sheet = html.partition('<image href="')[2].partition('"')[0]
    crop = (
        Image.open(tmp_path / unit.layer / sheet).convert("RGB").crop((x, y, x + width, y + height))
    )
    assert crop.size == (40, 30)
    assert crop.getextrema() == tuple((c, c) for c in site_factory.colour(unit, "filter"))


def test_pictures_of_other_sizes_fit_their_cells() -> None:
    wide = site_factory.picture((255, 0, 0), (300, 100), lossless=True)
    tall = site_factory.picture((0, 0, 255), (90, 200), lossless=True)
    thumbs = Image.open(io.BytesIO(compose(THUMBS, {0: wide, 35: tall})))
    assert thumbs.size == (384, 384)
    filters = Image.open(io.BytesIO(compose(FILTERS, {0: wide, 5: tall}))).convert("RGB")
    assert filters.size == (1200, 800)
    assert filters.getpixel((299, 99)) == (255, 0, 0)
    assert filters.getpixel((300 + 89, 200 + 199)) == (0, 0, 255)


def test_bytes_that_are_no_picture_are_refused() -> None:
    with pytest.raises(OSError, match="identify"):
        compose(THUMBS, {0: b"not a picture"})
