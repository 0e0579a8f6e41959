"""Tuning curves are drawn to scale, and layers can be sorted by what they say."""

from pathlib import Path

import pytest
import site_factory
from site_reader import Page

from atlas.kinds.tuning.view import section_view
from atlas.site.contents import Contents
from atlas.site.sortable import columns_of
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


def test_layers_name_their_numbers_once_and_units_give_them_in_order(site: Path) -> None:
    found = page(site, f"{UNIT.layer}/index.html")
    grid = next(each for each in found.all("ul") if "grid" in str(each.get("class")))
    columns = str(grid["data-columns"]).split(";")
    assert columns[:3] == ["peak|σ", "orientation|°", "orientation selectivity"]
    assert "hue|°" not in columns  # no unit has one
    values = [str(item["data-n"]).split(" ") for item in found.all("li") if "data-n" in item]
    assert all(len(each) == len(columns) for each in values)
    assert values[2][:3] == ["10.5", "30", "0.71"]
    assert values[1][1] == "-"
    assert values[0][columns.index("class selectivity")] == "0.75"
    assert values[0][columns.index("effective inputs")] == "3.6"


def test_grids_say_what_else_they_can_show(site: Path) -> None:
    grid = page(site, f"{UNIT.layer}/index.html").all("ul")
    sheets = next(str(each["data-sheets"]) for each in grid if "data-sheets" in each)
    assert sheets.split(";") == [
        "thumbs:6:1:excitatory pictures",
        "inhibitory:3:1:inhibitory pictures",
        "filters:5:1:weights",
        "examples:3:1.308:photographs",
    ]


def test_without_numbers_there_is_nothing_to_sort_by() -> None:
    known = contents(wanted=lambda unit, kind: kind == "filter")
    layer = known.facts.layer(UNIT.layer)
    columns, values = columns_of(known, layer)
    assert columns == () and values(UNIT) == ""
