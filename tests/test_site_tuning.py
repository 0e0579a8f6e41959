"""Tuning curves are drawn to scale, and layers can be sorted by what they say."""

import json
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import site_factory
from site_reader import Page

from atlas.kinds.tuning.view import section_view
from atlas.site.contents import Contents
from atlas.site.sortable import columns_of, presets_of
from atlas.site.writer import write_site
from atlas.units import Unit

UNIT = Unit("layer1.0.conv2", 2)


def contents(**options: object) -> Contents:
    return site_factory.contents(site_factory.network(n_blocks=(1,)), **options)[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("tuning")
    write_site(contents(), out_dir)
    return out_dir


def page(site: Path, path: str) -> Page:
    return Page((site / path).read_text(encoding="utf-8"))


def test_curves_share_one_scale_and_angles_close_their_circle() -> None:
    known = contents()
    tuning = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert tuning
    orientation, period, hue, ring = (curve.points for curve in tuning.curves)
    points = orientation.split()
    assert len(points) == 13 and points[0] == "0,38" and points[-1] == "120,38"
    assert points[2] == "20,2"  # the third of twelve, the highest of all answers
    assert period == "0,38 60,2 120,29"
    assert {point.split(",")[1] for point in hue.split()} == {"38"} == {tuning.blank}
    assert ring == "0,38 120,20"
    assert tuning.words == (
        "each goes from +1.0 to +5.0\N{NO-BREAK SPACE}σ; the dotted line is the bare background."
    )


def test_what_a_unit_prefers_is_said_beside_its_curves(site: Path) -> None:
    text = page(site, f"{UNIT.layer}/0002.html").text
    for words in (
        "Orientation: 30°, selectivity 0.71",
        "Period: 6 px",
        "Hue: no response to any",
        "Ring radius: 9 px",
    ):
        assert words in text
    assert "Orientation: no response to any" in page(site, f"{UNIT.layer}/0001.html").text


def test_a_flat_unit_has_flat_curves(site: Path) -> None:
    known = contents()
    with site_factory.changed_numbers(known, UNIT.layer, "tuning") as numbers:
        for name in ("orientation", "period", "hue", "ring"):
            numbers[name] = [[0.0] * len(each) for each in numbers[name]]
        numbers["blank"] = [0.0] * len(numbers["blank"])
    tuning = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert tuning and "nan" not in repr(tuning)


def shown_by(site: Path, layer: str) -> dict[str, str]:
    """What the page of a layer tells its script."""
    parts = page(site, f"{layer}/index.html").all("div")
    found = next(each for each in parts if each.get("class") == "units")
    return {name: str(value) for name, value in found.items()}


def test_layers_name_their_numbers_and_give_those_of_each_unit(site: Path) -> None:
    columns = shown_by(site, UNIT.layer)["data-columns"].split(";")
    assert columns[:3] == ["peak|σ", "orientation|°", "orientation selectivity"]
    assert "hue|°" not in columns  # no unit has one
    script = (site / UNIT.layer / "values.js").read_text(encoding="utf-8")
    told = json.loads(script.removeprefix("self.atlasValues = ").removesuffix(";\n"))
    assert told["columns"] == columns and told["units"] == [0, 1, 2, 3, 4]
    values = dict(zip(columns, told["values"], strict=True))
    assert values["peak|σ"][2] == 10.5
    assert values["orientation|°"] == [30, None, 30, 30, 30]
    assert values["class selectivity"][0] == 0.75 and values["effective inputs"][0] == 3.6


def test_sorts_of_units_can_be_picked_where_there_are_such_units() -> None:
    known = contents()
    layer = known.facts.layer(UNIT.layer)
    with site_factory.changed_numbers(known, layer.name, "tuning") as numbers:
        numbers["orientation_deg"] = [170.0, 10.0, None, 90.0, 45.0]
        numbers["orientation_selectivity"] = [0.5, 0.05, None, 0.9, 0.7]  # one answers to no angle
        numbers["hue_deg"] = [350.0, 300.0, None, None, None]
        numbers["hue_selectivity"] = [0.4, 0.6, None, None, None]
    with site_factory.changed_numbers(known, layer.name, "natural") as numbers:
        numbers["fires"] = [0.005, 0.9, 0.5, 0.5, 0.5]
    picked = dict(
        preset.split("|") for preset in presets_of(known, layer, columns_of(known, layer))
    )
    stripes = ["horizontal stripes", "rising diagonals", "vertical stripes"]
    assert list(picked) == [*stripes, "red", "magenta", "rarely fires"]
    red = {"by": "hue", "from": "340", "to": "20", "sort": "hue selectivity"}
    assert dict(parse_qsl(picked["red"])) == red
    rare = {
        "by": "share of photographs",
        "to": "0.01",
        "sort": "share of photographs",
        "order": "up",
    }
    assert dict(parse_qsl(picked["rarely fires"])) == rare


def test_grids_say_what_else_they_can_show(site: Path) -> None:
    assert shown_by(site, UNIT.layer)["data-sheets"].split(";") == [
        "thumbs:6:1:excitatory pictures",
        "inhibitory:3:1:inhibitory pictures",
        "filters:5:1:weights",
        "examples:3:1.308:photographs",
    ]


def test_without_numbers_there_is_nothing_to_sort_by() -> None:
    known = contents(wanted=lambda unit, kind: kind == "filter")
    layer = known.facts.layer(UNIT.layer)
    assert columns_of(known, layer) == ()
