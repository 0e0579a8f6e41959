"""What pages say of photographs, and how the strips of examples are shown."""

from pathlib import Path

import pytest
import site_factory
from site_factory import EVIL
from site_reader import Page

from atlas.site.example_views import examples_of
from atlas.site.views import Contents
from atlas.site.writer import write_site
from atlas.units import Unit

UNIT = Unit("layer1.0.conv2", 2)
CLASS = Unit("fc", 3)


def contents(**options: object) -> Contents:
    return site_factory.contents(site_factory.network(n_blocks=(1,)), **options)[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("examples")
    write_site(contents(), out_dir)
    return out_dir


def unit_page(site: Path, unit: Unit) -> Page:
    return Page((site / unit.layer / f"{unit.slug}.html").read_text(encoding="utf-8"))


def test_the_caption_names_answers_and_classes_of_the_strongest(site: Path) -> None:
    text = unit_page(site, UNIT).text
    assert f"Left: the strongest, +5.5 to +3.0 σ; 2 {EVIL}, 1 birds" in text
    assert "Right: a strong, a middle and a weak one, +2.5, +1.5, +0.5 σ" in text


def test_how_often_and_for_what_a_unit_fires(site: Path) -> None:
    text = unit_page(site, UNIT).text
    assert "Fires in25.0 % of 1,200 photographs, at 1.2 % of positions" in text
    assert f"Class selectivity0.75, for {EVIL}" in text
    assert "Class selectivity" not in unit_page(site, Unit("layer1.0.conv2", 1)).text


def test_of_a_class_it_is_said_how_often_it_is_the_answer(site: Path) -> None:
    assert "Is the answer for25.0 % of 1,200 photographs" in unit_page(site, CLASS).text


def test_the_strip_is_loaded_when_it_is_reached_and_has_its_place(site: Path) -> None:
    strip = next(
        image for image in unit_page(site, UNIT).all("img") if "examples" in str(image["src"])
    )
    assert (strip["src"], strip["loading"], strip["class"]) == ("examples-00.webp", "lazy", "x2 y0")
    assert str(strip["alt"]).startswith("Parts of photographs that drive Unit 2")


def test_folders_have_the_names_of_the_classes_where_there_are_as_many() -> None:
    known = contents()
    numbers = known.entries[UNIT.layer]["natural"].numbers
    numbers["classes"] = [f"n{index:08d}" for index in range(len(known.facts.labels))]
    found = examples_of(known, known.facts.layer(UNIT.layer), UNIT)
    assert found and f"2 {EVIL}, 1 tench" in found.strongest


def test_without_the_cut_examples_the_counts_remain() -> None:
    known = contents(wanted=lambda unit, kind: kind != "examples")
    found = examples_of(known, known.facts.layer(UNIT.layer), UNIT)
    assert found and found.strip is None and found.facts
