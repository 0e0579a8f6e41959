"""What stands beside a unit's picture: its other pictures, and what they are held against."""

import dataclasses
import json
from collections.abc import Collection
from pathlib import Path

import pytest
import site_factory
from site_factory import EVIL, FOLDER_SHA256, KIND_NAMES, PER_LAYER
from site_reader import Page

from atlas import paths
from atlas.site.contents import Contents
from atlas.site.evidence import evidence_view
from atlas.site.writer import write_site
from atlas.units import NetworkFacts, Unit

UNIT = Unit("layer1.0.conv2", 2)  # of five, whose twins are 0, 1, 2, 3
CLASS = Unit("fc", 3)


def contents(without: Collection[str] = (), facts: NetworkFacts | None = None) -> Contents:
    facts = facts or site_factory.network(n_blocks=(1,))
    return site_factory.contents(facts, wanted=lambda unit, kind: kind not in without)[0]


def page(site: Path, path: str) -> Page:
    return Page((site / path).read_text(encoding="utf-8"))


def unit_page(site: Path, unit: Unit) -> Page:
    return page(site, paths.unit_page(unit))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("whole")
    write_site(contents(), out_dir)
    return out_dir


def test_a_unit_shows_all_its_pictures_and_the_excitatory_one_first(site: Path) -> None:
    found = unit_page(site, UNIT)
    pictures = [
        attributes.get("src") or attributes.get("href")
        for tag, attributes in found.tags
        if tag in ("img", "image") and attributes.get("alt") != ""
    ]
    assert pictures == [
        "0002.webp",
        "inhibitory-00.webp",
        "fields-00.webp",
        "twins-00.webp",
        "filters-00.webp",
        *["examples-00.webp"] * 3,
        "0002.webp",  # once more, in the middle of its circuit
    ]
    assert "drives the unit down: −9.50 σ at its weakest position" in found.text
    assert "made for a single position, which it drives to +14.25 σ; 11 × 11 px" in found.text


def test_the_scale_bar_is_as_wide_as_the_picture_that_it_measures(site: Path) -> None:
    found = unit_page(site, UNIT)
    bar = next(svg for svg in found.all("svg") if svg.get("class") == "scale")
    assert bar["width"] == found.all("img")[0]["width"] == "256"


def test_small_pictures_are_enlarged_with_their_pixels_kept_apart(site: Path) -> None:
    field = next(
        svg
        for svg in unit_page(site, UNIT).all("svg")
        if "one position" in str(svg.get("aria-label"))
    )
    assert "pixels" in str(field["class"])


def test_a_twin_says_how_alike_it_is_and_against_what(site: Path) -> None:
    text = unit_page(site, UNIT).text
    assert "reaches +10.50 σ, the first one +10.50 σ" in text
    assert "the two pictures are 91 % alike, this one and another unit’s −12 %" in text
    assert "Second seed" not in unit_page(site, Unit("layer1.0.conv2", 4)).text


def test_a_twin_without_similarity_says_no_more_than_it_knows(tmp_path: Path) -> None:
    known = contents()
    with site_factory.changed_numbers(known, UNIT.id, "twin") as numbers:
        del numbers["similarity"]
    with site_factory.changed_numbers(known, "layer1.0.conv2:1", "twin") as numbers:
        numbers["similarity_other"] = None  # as older caches have it
    write_site(known, tmp_path)
    assert "alike" not in unit_page(tmp_path, UNIT).text.partition("Second seed")[2]
    text = unit_page(tmp_path, Unit("layer1.0.conv2", 1)).text
    assert "are 91 % alike" in text and "this one and another" not in text


def test_the_evidence_is_a_list_with_true_minus_signs_and_links(site: Path) -> None:
    found = unit_page(site, UNIT)
    for line in (
        "Picture of one receptive field+14.25 σ",
        "Excitatory picture+10.50 σ",
        "Best photograph+5.50 σ",
        "Plain noise−1.25 to +1.75 σ",
        "Lowest photograph−4.50 σ",
        "Inhibitory picture−9.50 σ",
    ):
        assert line in found.text
    assert f"Best photograph: birds/{EVIL} 2.jpg" in found.text
    for name in ("excitatory", "natural", "noise", "inhibitory"):
        assert f"../about.html#{name}" in found.targets


def test_the_axis_has_every_source_in_its_place(site: Path) -> None:
    evidence = evidence_view(contents(), contents().facts.layer(UNIT.layer), UNIT)
    assert evidence
    marks = {mark.style: mark for mark in evidence.marks}
    assert set(marks) == {"single", "up", "down", "noise", "photos"}
    ends = {"down": -9.5, "single": 14.25}
    assert (marks["down"].left, marks["single"].left) == ("3.0", "97.0")
    for style, low, high in (("noise", -1.25, 1.75), ("photos", -4.5, 5.5)):
        span = (ends["single"] - ends["down"]) / 94
        assert float(marks[style].left) == pytest.approx(3 + (low + 9.5) / span, abs=0.06)
        assert float(str(marks[style].width)) == pytest.approx((high - low) / span, abs=0.06)
    assert [tick.text for tick in evidence.ticks] == ["−5", "0", "+5", "+10\N{NO-BREAK SPACE}σ"]
    assert 3 < float(marks["up"].left) < 97
    drawn = unit_page(site, UNIT).all("circle")
    assert [circle["cx"] for circle in drawn] == ["3.0%", f"{marks['up'].left}%", "97.0%"]


def test_a_class_is_measured_in_logits(site: Path) -> None:
    found = unit_page(site, CLASS)
    assert "Excitatory picture+23.00" in found.text and "Plain noise+0.25" in found.text
    assert "Inhibitory picture−23.00" in found.text and "Best photograph+5.50" in found.text
    assert "drives the class down: logit −23.00, rank 8 of 8" in found.text
    assert "Logits of this class" in found.text and "\N{NO-BREAK SPACE}σ" not in found.text
    assert "What the network sees in it" in found.text


def test_a_layer_without_batchnorm_says_that_its_sigmas_are_measured(tmp_path: Path) -> None:
    facts = site_factory.network(n_blocks=(1,))
    layers = tuple(dataclasses.replace(layer, batch_norm=None) for layer in facts.layers)
    write_site(contents(facts=dataclasses.replace(facts, layers=layers)), tmp_path)
    text = unit_page(tmp_path, UNIT).text
    said = "measured on 64 generated images, as no BatchNorm follows this layer"
    assert "Strongest position of the picture+10.50 σ" in text and f"σ is {said}." in text
    layer = page(tmp_path, f"{UNIT.layer}/index.html").text
    assert "Median peak of the units: +10.5 σ on" in layer and said in layer
    assert "64 generated images: dead leaves" in page(tmp_path, "about.html").text
    assert said not in unit_page(tmp_path, CLASS).text


# Photographs and borders have tests of their own.
@pytest.mark.parametrize("kind", sorted({*KIND_NAMES} - {"photographs", "border"}))
def test_any_kind_may_be_missing(tmp_path: Path, kind: str) -> None:
    write_site(contents(without=(kind,)), tmp_path)
    words = {
        "natural": "photograph:",
        "noise": "Plain noise",
        "field": "One receptive field",
        "twin": "Second seed",
        "inhibitory": "Inhibitory picture",
        "excitatory": "Excitatory picture",
        "filter": "slices of the kernel",
        "circuit": "Circuit",
        "examples": "the four strongest",
        "similar": "Similar units",
        "tuning": "Tuning",
        "dream": "Layer dream",
        "names": "Named by machine",
        "map": "Show on the map",
    }
    shown = unit_page(tmp_path, UNIT).text + page(tmp_path, f"{UNIT.layer}/index.html").text
    gone = {kind} | {"natural": {"examples"}, "excitatory": {"map"}}.get(kind, set())
    assert {name for name, text in words.items() if text not in shown} == gone


def test_a_picture_alone_has_nothing_to_be_held_against(tmp_path: Path) -> None:
    write_site(contents(without=set(KIND_NAMES) - {"excitatory"}), tmp_path)
    found = unit_page(tmp_path, UNIT)
    assert (
        "Evidence" not in found.text and "Strongest position of the picture+10.50 σ" in found.text
    )
    layer = page(tmp_path, f"{UNIT.layer}/index.html").text
    assert "Median" not in layer and "Two seeds" not in layer


def test_photographs_that_could_not_be_read_are_not_spoken_of(tmp_path: Path) -> None:
    known = contents()
    for layer in known.facts.layers:
        with site_factory.changed_numbers(known, layer.name, "natural") as numbers:
            numbers.clear()
            numbers.update(n_images=0, n_skipped=1, skipped=["torn.jpg"], n_classes=0)
            numbers["folder_sha256"] = FOLDER_SHA256
        with site_factory.changed_numbers(known, layer.name, "similar") as numbers:
            numbers["basis"] = "pictures"
        with site_factory.changed_numbers(known, layer.name, "names") as numbers:
            numbers.clear()
            numbers.update(n_images=0, n_concepts=0)
    write_site(known, tmp_path)
    assert "hotograph" not in unit_page(tmp_path, UNIT).text
    assert "hotograph" not in page(tmp_path, f"{UNIT.layer}/index.html").text


def test_the_front_page_says_how_many_photographs_there_were(site: Path) -> None:
    assert "Photographs1,200; 1 could not be read" in page(site, "index.html").text


def test_a_layer_shows_its_dream_its_seeds_and_its_medians(site: Path) -> None:
    found = page(site, f"{UNIT.layer}/index.html")
    assert found.all("img")[0]["src"] == "cover.webp"
    assert "average strength rose from 0.75 σ on plain noise to 2.50 σ" in found.text
    assert (
        "Median peak of the units: +10.5 σ on their own pictures, +1.8 σ on plain noise, "
        "+5.5 σ on the best of 1,200 photographs." in found.text
    )
    assert found.text.count("are 91 % alike, this one and another unit’s −12 %") == 4
    assert [image["href"] for image in found.all("image")] == ["twins-00.webp"] * 4
    assert "dead" not in found.text
    classes = page(site, "fc/index.html").text
    assert (
        "Median logit of the classes: +23.5 on their own pictures, +0.2 on plain noise" in classes
    )


def test_dead_units_are_counted(site: Path, tmp_path: Path) -> None:
    assert "dead units0" in page(site, "index.html").text
    known = contents()
    for unit_id in ("layer1.0.conv2:1", "layer1.0.conv2:2", "layer1.0.conv2:4"):
        with site_factory.changed_numbers(known, unit_id, "excitatory") as numbers:
            numbers["dead"] = True
    write_site(known, tmp_path)
    assert "dead units3" in page(tmp_path, "index.html").text
    assert "3 dead units: 1–2, 4" in page(tmp_path, "layer1.0.conv2/index.html").text
    assert json.loads((tmp_path / "manifest.json").read_bytes())["counts"]["dead"] == 3


def test_dead_units_are_not_counted_where_nothing_was_rendered(tmp_path: Path) -> None:
    write_site(contents(without=set(KIND_NAMES) - {"filter"}), tmp_path)
    assert "dead unit" not in page(tmp_path, "index.html").text


def test_an_inhibitory_picture_that_nothing_moved_says_so(tmp_path: Path) -> None:
    known = contents()
    with site_factory.changed_numbers(known, UNIT.id, "inhibitory") as numbers:
        numbers["dead"] = True
    write_site(known, tmp_path)
    assert "nothing that was tried drives the unit down" in unit_page(tmp_path, UNIT).text


@pytest.mark.parametrize(
    ("reached", "words"),
    [
        (4.0, "The ascent raised the logit from 0.00 on the first noise to +4.00."),
        (0.0, "The ascent did not raise the logit: from 0.00 on the first noise to 0.00. The"),
    ],
)
def test_a_class_that_was_not_raised_says_so(tmp_path: Path, reached: float, words: str) -> None:
    known = contents()
    with site_factory.changed_numbers(known, CLASS.id, "excitatory") as numbers:
        numbers.update(logit=reached, logit_start=0.0)
    write_site(known, tmp_path)
    assert words in unit_page(tmp_path, CLASS).text


def test_tiles_show_a_few_units_and_fall_back_to_dreams(site: Path, tmp_path: Path) -> None:
    facts = contents().facts
    assert tiles(site) == ["mosaics-00.webp"] * 4 * len(facts.layers)

    def wanted(unit: Unit, kind: str) -> bool:
        return kind != "excitatory" or unit.layer != "conv1"

    write_site(site_factory.contents(facts, wanted=wanted)[0], tmp_path)
    assert tiles(tmp_path)[:2] == ["covers-00.webp", "mosaics-00.webp"]
    assert tiles(tmp_path).count("covers-00.webp") == 1


def tiles(site: Path) -> list[str]:
    """The sheets of the pictures in the drawing of the network."""
    sources = [str(image["src"]) for image in page(site, "index.html").all("img")]
    return [each for each in sources if each.startswith(("covers", "mosaics"))]


def test_programs_find_all_numbers_unit_by_unit(site: Path) -> None:
    manifest = json.loads((site / "manifest.json").read_bytes())
    layer = next(found for found in manifest["layers"] if found["name"] == UNIT.layer)
    assert (site / layer["dream"]["path"]).is_file() and layer["dream"]["size_px"] == [64, 64]
    assert layer["dream"]["numbers"] == {"rms": 2.5, "rms_start": 0.75}
    assert layer["noise"] == {"n_images": 16}
    assert layer["natural"] == {
        "n_images": 1200,
        "n_skipped": 1,
        "skipped": ["torn.jpg"],
        "n_classes": 2,
        "folder_sha256": FOLDER_SHA256,
    }
    n_layers, n_units = len(manifest["layers"]), manifest["counts"]["units"]
    counts = {kind: manifest["counts"][kind] for kind in KIND_NAMES}
    assert counts == {
        **dict.fromkeys(("filter", "excitatory", "inhibitory"), n_units),
        "examples": sum(-(-layer["n_units"] // 9) for layer in manifest["layers"]),
        **dict.fromkeys(PER_LAYER, n_layers),
        "border": n_layers - 1,  # of all but the classifier
        "map": 1,
        "photographs": 0,  # there are too many
        "field": n_units - 8,
        "twin": 4 * n_layers,
    }
    unit = json.loads((site / layer["units"]).read_bytes())["units"][UNIT.index]
    assert set(unit["numbers"]) == set(KIND_NAMES) - {"dream", "examples", "photographs", "map"}
    assert unit["numbers"]["noise"] == {"z": 0.25, "z_max": 1.75, "z_min": -1.25}
    assert unit["numbers"]["natural"]["highest"] == f"birds/{EVIL} 2.jpg"
    assert unit["numbers"]["twin"]["similarity"] == 0.91


def test_every_number_is_explained(site: Path) -> None:
    found = page(site, "about.html")
    explained = {
        "sigma",
        "noise",
        "natural",
        "seed",
        "similarity",
        "dead",
        "one-field",
        "dream",
        "logit",
        "probability",
        "examples",
        "fires",
        "tuning",
        "selectivity",
        "strength",
        "effective",
        "similar",
        "evidence",
        "limits",
    }
    assert explained <= found.ids
    links = [str(link["href"]) for link in found.all("a")]
    assert any("2010.12606" in link for link in links)
    assert any("2306.04719" in link for link in links)
    assert len(found.ids) == len([1 for _, attributes in found.tags if "id" in attributes])
