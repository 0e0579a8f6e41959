"""A family of networks is one file: the site of one from outside the package is built as any."""

from __future__ import annotations

import dataclasses
import json

import pytest
from own_family import Toy, own_family
from site_reader import Page, broken_links, read_pages

from atlas.asked import AtlasSpec, Selection
from atlas.catalogue import Catalogue
from atlas.errors import SpecError
from atlas.families import FAMILIES
from atlas.labels import ClassLabels
from atlas.pipeline import Atlas
from atlas.places import Places

UNITS = Selection(units=(range(3),))
HIDDEN = ("brain.1", "brain.3")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The facts and the folder of a site with three units of every layer, all kinds."""
    folder = tmp_path_factory.mktemp("own")
    catalogue = Catalogue(families=(*FAMILIES, own_family(folder)))
    places = Places(folder / "site", folder / "cache", device="cpu")
    asked = AtlasSpec(family="toynet", preset="preview", selection=UNITS)
    with Atlas(asked, places, catalogue) as atlas:
        atlas.render(atlas.plan())
        atlas.write()
        return atlas.facts, folder / "site"


def test_layers_are_of_three_kinds(built):
    facts, _ = built
    assert {layer.name: layer.kind for layer in facts.layers} == {
        "eye": "conv",
        "fork.short": "conv",
        "fork.long.0": "conv",
        "fork.long.2": "conv",
        "squeeze": "conv",
        "brain.1": "hidden",
        "brain.3": "hidden",
        "verdict": "classifier",
    }
    assert facts.classifier == facts.layers[-1]
    assert facts.layer("brain.1").in_channels == 125


def test_what_reads_a_flattened_map_takes_images_of_one_size(built):
    facts, site = built
    sized = {layer.name for layer in facts.layers if layer.takes_one_size}
    assert sized == {*HIDDEN, "verdict"}
    for name in sized:
        unit = json.loads((site / name / "units.json").read_text())["units"][0]
        assert unit["pictures"]["excitatory"]["size_px"] == [160, 160]  # 40, enlarged


def test_a_recipe_that_changes_the_size_is_refused_there(tmp_path):
    catalogue = Catalogue(families=(*FAMILIES, own_family(tmp_path)))
    places = Places(tmp_path / "site", tmp_path / "cache", device="cpu")
    refused = pytest.raises(SpecError, match=r"brain\.1 takes images of 40 px only; use --recipe")
    with Atlas(AtlasSpec("toynet", recipe="progressive"), places, catalogue) as atlas, refused:
        atlas.plan()


def test_every_layer_and_unit_has_its_page_without_a_broken_link(built):
    facts, site = built
    pages = read_pages(site)
    for layer in facts.layers:
        assert f"{layer.name}/index.html" in pages
        assert all(f"{layer.name}/{index:04d}.html" in pages for index in range(3))
    assert broken_links(site) == []


@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_layers_are_not_called_classes(built, name):
    facts, site = built
    layer = facts.layer(name)
    page = (site / name / "index.html").read_text()
    assert f"Hidden linear layer in brain: {layer.n_units} units" in page
    unit = Page((site / name / "0001.html").read_text()).text
    assert f"unit 1 of {layer.n_units}, hidden linear layer" in unit
    assert "drives the unit down" in unit
    assert "numbered from 0" not in unit


def test_hidden_units_are_driven_up_in_measured_sigmas(built):
    _, site = built
    for name in HIDDEN:
        for unit in json.loads((site / name / "units.json").read_text())["units"][:3]:
            numbers = unit["numbers"]["excitatory"]
            assert numbers["z"] > numbers["z_start"]
        assert "measured on 64 generated images" in (site / name / "0001.html").read_text()


def test_stages_and_words_are_the_familys(built):
    _, site = built
    front = (site / "index.html").read_text()
    for stage in ("senses", "brain", "verdict"):
        assert f"<h2>{stage}</h2>" in front
    assert "hidden linear layers" in front
    about = (site / "about.html").read_text()
    assert '<dt id="fork">' in about
    assert 'id="bottleneck"' not in about
    assert "a list of shapes" in about


def test_circuits_name_the_layers_that_a_concatenation_joins(built):
    """`squeeze` reads channels 0 to 3 of one branch and, beside them, 0 to 3 of the other."""
    facts, site = built
    layer = facts.layer("squeeze")
    assert layer.writers == layer.inputs == ("fork.short", "fork.long.2")
    assert layer.merge == "concat"
    assert "2 layers, joined channel by channel" in (site / "squeeze" / "index.html").read_text()
    data = json.loads((site / "squeeze" / "units.json").read_text())
    branches = [facts.layer(name).index for name in layer.writers]
    expected = [[branch, channel] for branch in branches for channel in range(4)]
    assert data["axes"]["circuit"]["input_units"] == expected
    for unit in data["units"][:3]:
        partners = unit["numbers"]["circuit"]["excited_by"]
        assert partners and all([branch, channel] in expected for branch, channel, _ in partners)


def test_a_family_may_have_no_classifier(tmp_path):
    """Then every linear layer is hidden, there are no classes, and nothing else is missing."""
    family = dataclasses.replace(
        own_family(tmp_path), classifier="", labels=no_labels, build=encoder
    )
    places = Places(tmp_path / "site", tmp_path / "cache", device="cpu")
    asked = AtlasSpec("toynet", preset="preview", selection=Selection(units=(range(1),)))
    with Atlas(asked, places, Catalogue(families=(family,))) as atlas:
        report = atlas.build()
        assert atlas.facts.classifier is None
        assert atlas.facts.labels == ()
    assert report.site.n_pages > len(atlas.facts.layers)
    assert "classes.html" not in (tmp_path / "site" / "index.html").read_text()


def encoder(n_classes: int) -> Toy:
    assert n_classes == 0
    return Toy(3)


def no_labels() -> ClassLabels:
    return ClassLabels((), "no classes")
