"""The glossary: on the page about the atlas, and as a script beside the terms of other pages."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import site_factory
from site_reader import Page, read_pages

from atlas import paths
from atlas.site.contents import Contents
from atlas.site.glossary import GLOSSARY_VARIABLE, MOST_CHARACTERS, entries, first_sentences
from atlas.site.network_pages import about_view
from atlas.site.writer import write_site
from atlas.units import NetworkFacts

SECTIONS = {"evidence"}  # of the page about the atlas, to which pages link besides


def contents(facts: NetworkFacts | None = None) -> Contents:
    return site_factory.contents(facts or site_factory.network(n_blocks=(1,)))[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("glossary")
    write_site(contents(), out_dir)
    return out_dir


def glossary(site: Path) -> dict[str, list[str]]:
    script = (site / paths.GLOSSARY).read_bytes()
    found: dict[str, list[str]] = json.loads(
        script.removeprefix(GLOSSARY_VARIABLE).removesuffix(b";\n")
    )
    return found


def test_every_term_of_every_page_has_its_sentence(site: Path):
    known = glossary(site)
    for path, page in read_pages(site).items():
        for target in page.targets:
            about, hash_mark, name = target.rpartition("#")
            if hash_mark and about.endswith(paths.ABOUT):
                assert name in known or name in SECTIONS, (path, name)


def test_a_term_has_an_id_of_its_own(site: Path):
    html = (site / paths.ABOUT).read_text(encoding="utf-8")
    ids = re.findall(r'<\w+[^>]* id="([^"]+)"', html)
    assert sorted(set(ids)) == sorted(ids)


def test_what_students_ask_for_is_explained(site: Path):
    asked = {"convolution", "kernel", "padding", "map", "relu", "batchnorm", "channel", "field"}
    assert asked <= set(glossary(site))


def test_the_sentences_are_those_of_the_page_about_the_atlas(site: Path):
    text = re.sub(r"\s+", " ", Page((site / paths.ABOUT).read_text(encoding="utf-8")).text)
    for term, words in glossary(site).values():
        assert term in text and words.replace("\N{NO-BREAK SPACE}", " ") in text
        assert words.endswith((".", ")"))


def test_sentences_are_whole_and_few():
    assert first_sentences("One. Two. Three.", 9) == "One. Two."
    assert first_sentences("A very long sentence. Two.", 9) == "A very long sentence."
    assert first_sentences("As in Morcos et al. 2018. Then.", 26) == "As in Morcos et al. 2018."
    found = entries(
        '<dt id="a">A, <i>b</i><dd>One\n <a href="x">two</a>.<dt>c<dd>d<dt id="e">E<dd>F.'
    )
    assert found == {"a": ("A, b", "One two."), "e": ("E", "F.")}


def test_most_entries_begin_with_a_short_sentence(site: Path):
    lengths = [len(words) for _, words in glossary(site).values()]
    assert sum(length > MOST_CHARACTERS for length in lengths) <= 2


def about_text(facts: NetworkFacts, folder: Path) -> str:
    write_site(contents(facts), folder)
    return " ".join(Page((folder / paths.ABOUT).read_text(encoding="utf-8")).text.split())


def test_what_is_said_of_sigmas_is_true_with_and_without_batchnorms(tmp_path: Path):
    facts = site_factory.network(n_blocks=(1,))
    with_them = about_text(facts, tmp_path / "with")
    assert "Where a BatchNorm follows a layer, average and σ are those of the training" in with_them
    assert "both are measured on" not in with_them and "This network has none" not in with_them
    layers = tuple(dataclasses.replace(layer, batch_norm=None) for layer in facts.layers)
    without = about_text(dataclasses.replace(facts, layers=layers), tmp_path / "without")
    assert "In this network, no BatchNorm follows these layers, so both are measured on" in without
    assert "Where a BatchNorm follows" not in without and "This network has none" in without


def test_the_page_about_the_atlas_shows_pictures_from_early_to_late():
    known = contents()
    layer = known.facts.layers[0]
    with site_factory.changed_numbers(known, layer.unit(4).id, "excitatory") as numbers:
        numbers["z_max"] = 99.0
    view = about_view(known)
    assert [each.name.partition(":")[0] for each in view.specimens] == [
        "conv1",
        "layer1.0.conv2",
        "layer1.0.conv3",
        "9-pin bowling",
    ]
    assert view.specimens[0].src == "conv1/0004.webp"  # that goes furthest beyond photographs
    assert view.held_against == "the best photograph reaches"


def test_without_pictures_there_are_none_to_show():
    bare, _ = site_factory.contents(
        site_factory.network(n_blocks=(1,)), lambda unit, kind: kind == "filter"
    )
    assert about_view(bare).specimens == ()
