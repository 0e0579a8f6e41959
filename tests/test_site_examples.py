"""What pages say of photographs, and how the strips of examples are shown."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import site_factory
from site_factory import EVIL
from site_reader import Page

from atlas import paths
from atlas.errors import SiteError
from atlas.kinds.natural import NaturalRecord
from atlas.kinds.natural.histograms import N_BINS, binned
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


def test_each_example_has_its_number_and_its_class(site: Path) -> None:
    text = " ".join(unit_page(site, UNIT).text.split())
    assert f"+5.5 {EVIL} +4.5 {EVIL} +3.5 birds +2.5 birds" in text
    assert f"+3.0 +1.5 {EVIL} +0.5 Examples: the four strongest" in text


def test_the_rows_have_twelve_places_whatever_there_is_to_show() -> None:
    known = contents()
    found = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert found and found.strips and len(found.strips.rows) == 3
    assert [len(row.examples) for row in found.strips.rows] == [4, 4, 4]
    there = [[example != "" for example in row.examples] for row in found.strips.rows]
    assert there == [[True] * 4, [True, False, False, True], [False, False, False, True]]


def responses_of(known: Contents, layer: str, responses: np.ndarray) -> Contents:
    """The contents, with responses to photographs as a pass over them keeps them."""
    buffer = io.BytesIO()
    np.save(buffer, responses.astype(np.float16))
    data, key = buffer.getvalue(), "f" * 64
    entry = known.entries[layer]["natural"]
    entries = {**known.entries, layer: {**known.entries[layer]}}
    entries[layer]["natural"] = dataclasses.replace(entry, key=key, n_bytes=len(data))
    return dataclasses.replace(
        known, entries=entries, read=lambda wanted: data if wanted == key else known.read(wanted)
    )


def test_the_histogram_counts_the_responses_of_each_unit() -> None:
    """Unit 2 answers weakly to 30 photographs and strongly to 10; the others to all alike."""
    responses = np.zeros((40, 5))
    responses[:30, 2], responses[30:, 2] = -4.5, 5.5
    known = responses_of(contents(), UNIT.layer, responses)
    found = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert found and found.histogram
    assert found.histogram.outline == "M0 20v-20h1v20h22v-7h1V20z"
    assert (found.histogram.low, found.histogram.zero) == ("−4.5", "10.8")
    assert found.histogram.words.replace("\N{NO-BREAK SPACE}", " ") == (
        "Of 40 photographs, half drive it further than +1.5 σ, one in ten past +2.5 σ."
    )
    other = section_view(known, known.facts.layer(UNIT.layer), Unit(UNIT.layer, 0))
    assert other and other.histogram and other.histogram.outline.count("v") == 2


def test_of_a_few_photographs_no_tenth_is_spoken_of() -> None:
    known = responses_of(contents(), UNIT.layer, np.zeros((9, 5)))
    found = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert found and found.histogram and found.histogram.words == "Responses to 9 photographs."


def test_every_response_is_in_a_bin_also_of_a_unit_that_says_one_thing() -> None:
    record = NaturalRecord(3, 0, (), 0, "", lowest=[0.0, 2.0], highest=[1.0, 2.0])
    counts = binned(np.array([[0.0, 2.0], [1.0, 2.0], [0.5, np.nan]]), record)
    assert counts.sum(1).tolist() == [3, 3]
    assert counts[0].nonzero()[0].tolist() == [0, N_BINS // 2, N_BINS - 1]


@pytest.mark.parametrize("data", [b"torn", b""])
def test_responses_that_cannot_be_read_are_said_to_be_so(data: bytes) -> None:
    known = responses_of(contents(), UNIT.layer, np.zeros((4, 5)))
    with pytest.raises(SiteError, match=r"responses of layer1\.0\.conv2 to photographs cannot"):
        _ = dataclasses.replace(known, read=lambda key: data).prepared


def test_how_often_and_for_what_a_unit_fires(site: Path) -> None:
    text = unit_page(site, UNIT).text
    assert "Fires in25.0 % of 1,200 photographs, at 1.2 % of positions" in text
    assert f"Class selectivity0.75, for {EVIL}" in text
    assert "Class selectivity" not in unit_page(site, Unit("layer1.0.conv2", 1)).text


def test_of_a_class_it_is_said_how_often_it_is_the_answer(site: Path) -> None:
    assert "Is the answer for25.0 % of 1,200 photographs" in unit_page(site, CLASS).text


def test_the_strip_is_loaded_when_it_is_reached_and_has_its_place(site: Path) -> None:
    strips = [
        image for image in unit_page(site, UNIT).all("img") if "examples" in str(image["src"])
    ]
    for strip in strips:
        assert strip["src"], strip["loading"] == ("examples-00.webp", "lazy")
        assert strip["class"] == "x2 y0"
    assert [strip["alt"] for strip in strips] == [
        "Photographs 1 to 3, and a strong one",
        "Photograph 4, and a middle one",
        "A weak photograph",
    ]


def strongest(folders: list[str], label_ids: tuple[str, ...] = ()) -> list[str]:
    """The classes of the first row where photographs are sorted into these folders."""
    known = contents()
    known = dataclasses.replace(known, facts=dataclasses.replace(known.facts, label_ids=label_ids))
    with site_factory.changed_numbers(known, UNIT.layer, "natural") as numbers:
        numbers["classes"] = folders
    found = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert found and found.strips
    return [example.partition(" ")[2] for example in found.strips.rows[0].examples[:3]]


def test_folders_with_wordnet_ids_have_the_names_of_the_classes() -> None:
    ids = tuple(f"n{index:08d}" for index in range(len(site_factory.LABELS)))
    assert strongest([*ids], ids) == [EVIL, EVIL, "tench"]
    assert strongest([ids[3], ids[0]], ids) == ["tench", "tench", "great grey owl"]


def test_folders_with_names_of_classes_are_called_as_the_classes_are() -> None:
    assert strongest(["great_grey_OWL", "Hat-Trick"]) == [*["hat-trick"] * 2, "great grey owl"]


def test_folders_that_name_no_class_keep_their_names_also_where_there_are_as_many() -> None:
    folders = [f"folder {index}" for index in range(len(site_factory.LABELS))]
    assert strongest(folders) == ["folder 1", "folder 1", "folder 0"]


def test_without_the_cut_examples_the_counts_remain() -> None:
    known = contents(wanted=lambda unit, kind: kind != "examples")
    found = section_view(known, known.facts.layer(UNIT.layer), UNIT)
    assert found and not found.strips and found.facts
