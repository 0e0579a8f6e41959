"""The search in a real browser: names with synonyms, typos, numbers, and the order of hits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import site_factory
from host import serve
from visits import Visit, launch

from atlas.site.writer import write_site

LAYER = "layer1.0.conv2"
CLASSES = {
    "catamaran": "n02981792",
    "tiger cat": "n02123159",
    "tabby": "n02123045",
    "polecat": "n02443114",
    "Egyptian cat": "n02124075",
    "goldfish": "n01443537",
    "Éclair": "",
    "St. Bernard": "n02109525",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("search")
    facts = dataclasses.replace(
        site_factory.network(n_blocks=(1, 1)),
        labels=tuple(CLASSES),
        label_ids=tuple(CLASSES.values()),
    )
    contents, _ = site_factory.contents(facts)
    for layer in facts.layers:
        with site_factory.changed_numbers(contents, layer.name, "names") as numbers:
            numbers["is_name"] = [False] * layer.n_units
            if layer.name in (LAYER, "layer2.0.conv2"):
                numbers["is_name"][:3] = [True, False, True]
        if layer.name == LAYER:
            with site_factory.changed_numbers(contents, layer.name, "names") as numbers:
                numbers["auc"][2] = 0.99
    names = {f"{LAYER}:4": "curve detector"}
    write_site(dataclasses.replace(contents, given_names=names), out_dir)
    return out_dir


@pytest.fixture(scope="module")
def visit(site: Path) -> Iterator[Visit]:
    with serve(site) as address, launch() as browser, Visit(browser, address) as visit:
        page = visit.open("about.html")
        page.wait_for_load_state("networkidle")
        assert not {path for path in visit.sizes if "search" in path}  # before it is used
        yield visit
        assert {path for path in visit.sizes if "search" in path} == {
            "search-index.js",
            "static/js/search.js",
        }


def hits(visit: Visit, typed: str) -> list[tuple[str, str]]:
    """What is found, and the note beside it."""
    page = visit.page
    page.fill(".search input", "")
    page.fill(".search input", typed)
    page.wait_for_function(
        """([typed]) => document.querySelector(".search input").value === typed
            && !document.querySelector(".search ul").hidden""",
        arg=[typed],
    )
    page.wait_for_timeout(50)
    items: list[Any] = page.evaluate(
        """[...document.querySelectorAll(".search li a")].map((a) =>
            [a.querySelector("span").textContent, a.querySelector("i").textContent])"""
    )
    return [(text, note) for text, note in items]


def texts(visit: Visit, typed: str) -> list[str]:
    return [text for text, _ in hits(visit, typed)]


def test_cats_come_before_a_catamaran(visit: Visit):
    found = texts(visit, "cat")
    assert found == ["tiger cat", "Egyptian cat", "tabby", "catamaran", "polecat"]


def test_classes_are_found_by_synonyms_and_by_what_they_are(visit: Visit):
    assert texts(visit, "tabby cat") == ["tabby"]
    assert texts(visit, "Carassius") == ["goldfish"]
    assert texts(visit, "feline") == ["tiger cat", "tabby", "Egyptian cat"]
    assert texts(visit, "fish") == ["goldfish"]


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("goldfihs", "goldfish"),  # swapped
        ("godfish", "goldfish"),  # left out
        ("golddfish", "goldfish"),  # added
        ("goldfisk", "goldfish"),  # exchanged
        ("egyptain cta", "Egyptian cat"),  # a short word, too
        ("egyptain cat", "Egyptian cat"),
        ("domstic cat", "tiger cat"),  # what it is a kind of
        ("eclair", "Éclair"),
        ("st. bernhard", "St. Bernard"),
        ("curv detectr", "curve detector"),
        ("houn", "hound, AUC\u00a00.99"),
        ("huond", "hound, AUC\u00a00.99"),
    ],
)
def test_one_typo_in_each_word_is_forgiven(visit: Visit, typed: str, found: str):
    assert texts(visit, typed)[:1] == ([found] if found else [])


def test_units_are_found_by_name_synonym_and_what_they_prefer_the_best_first(visit: Visit):
    expected = [
        (f"{LAYER}:2", "0.99"),
        (f"{LAYER}:0", "0.97"),
        ("layer2.0.conv2:0", "0.97"),
        ("layer2.0.conv2:2", "0.97"),
    ]
    for typed in ("hound", "hound dog", "diagonal hound"):
        found = hits(visit, typed)
        assert [(note, text[len("hound, AUC ") :][:4]) for text, note in found] == expected
    assert hits(visit, "hound layer2")[0][1] == "layer2.0.conv2:0"
    assert ("curve detector", f"{LAYER}:4") in hits(visit, "curve")
    assert ("curve detector; rising diagonals", f"{LAYER}:4") in hits(visit, "rising curve")
    assert all("rising diagonals" in text for text in texts(visit, "diagonal lines"))


def test_what_fits_as_it_was_typed_is_not_mixed_with_what_fits_by_a_typo(visit: Visit):
    assert f"{LAYER}:0" in {note for _, note in hits(visit, "hounf")}  # nothing is called so
    assert texts(visit, "layer1.0")
    assert all(text.startswith("layer1.") for text in texts(visit, "layer1"))  # and not layer2


def test_ready_questions_lead_to_the_units_of_all_layers(visit: Visit):
    visit.page.fill(".search input", "diagonal")
    question = visit.page.locator(".search li a").first
    question.filter(has_text="rising diagonals find in all layers").wait_for()
    question.click()
    page = visit.page
    page.locator(".hits [role=status]", has_text=" of ").wait_for()
    assert visit.path == "find.html#ask-orientation=45"
    page.fill(".search input", "diagonal")
    page.locator(".search li a").first.click()
    assert page.locator(".search ul").is_hidden()  # the answer is on this page, below it
    visit.open("about.html")


def test_numbers_mean_layers_units_and_classes(visit: Visit):
    assert hits(visit, "class 3") == [("polecat", "fc:3")]
    layers = [text for text, note in hits(visit, "layer 2") if note.endswith("units")]
    assert layers and all(name.startswith("layer2.") for name in layers)
    assert hits(visit, "unit 12")[0] == ("Unit 12", "conv1:12")
    found = hits(visit, "conv 3")
    assert found[0][1] == "layer1.0.conv3" or found[0][0] == "layer1.0.conv3"
    assert ("Unit 3", "conv1:3") in found
    assert hits(visit, f"{LAYER} 3") == hits(visit, f"{LAYER}:3") == [("Unit 3", f"{LAYER}:3")]
    assert hits(visit, "5") == [("goldfish", "fc:5")]
    for typed in (f"{LAYER}, unit 3", f"unit 3 of {LAYER}", f"channel 3 in {LAYER}"):
        assert hits(visit, typed) == [("Unit 3", f"{LAYER}:3")]
    assert texts(visit, "classifier") == ["fc"]


def test_every_hit_leads_to_a_page(visit: Visit, site: Path):
    for typed in ("cat", "hound", "layer 2", "conv 3", "unit 4", "curve", "conv1"):
        visit.page.fill(".search input", typed)
        visit.page.wait_for_timeout(100)
        paths = visit.page.evaluate(
            """[...document.querySelectorAll(".search li a")].map((a) => a.href)"""
        )
        paths = [path.removeprefix(f"{visit.base}/") for path in paths]
        assert paths and all((site / path).is_file() for path in paths)
