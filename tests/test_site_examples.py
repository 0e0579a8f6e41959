"""What pages say of photographs, and how the strips of examples are shown."""

import dataclasses
from pathlib import Path

import pytest
import site_factory
from site_factory import EVIL
from site_reader import Page

from atlas import paths
from atlas.kinds.natural.view import section_view
from atlas.site.contents import Contents
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
    return Page((site / paths.unit_page(unit)).read_text(encoding="utf-8"))


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


def strongest(folders: list[str], label_ids: tuple[str, ...] = ()) -> str:
    """The caption where photographs are sorted into these folders: one is of the first of them."""
    known = contents()
    known = dataclasses.replace(known, facts=dataclasses.replace(known.facts, label_ids=label_ids))
    with site_factory.changed_numbers(known, UNIT.layer, "natural") as numbers:
        numbers["classes"] = folders
    found = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert found
    return found.strongest


def test_folders_with_wordnet_ids_have_the_names_of_the_classes() -> None:
    ids = tuple(f"n{index:08d}" for index in range(len(site_factory.LABELS)))
    assert strongest([*ids], ids).endswith(f"; 2 {EVIL}, 1 tench")
    assert strongest([ids[3], ids[0]], ids).endswith("; 2 tench, 1 great grey owl")


def test_folders_with_names_of_classes_are_called_as_the_classes_are() -> None:
    assert strongest(["great_grey_OWL", "Hat-Trick"]).endswith("; 2 hat-trick, 1 great grey owl")


def test_folders_that_name_no_class_keep_their_names_also_where_there_are_as_many() -> None:
    folders = [f"folder {index}" for index in range(len(site_factory.LABELS))]
    assert strongest(folders).endswith("; 2 folder 1, 1 folder 0")


def test_without_the_cut_examples_the_counts_remain() -> None:
    known = contents(wanted=lambda unit, kind: kind != "examples")
    found = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert found and found.strip is None and found.facts
