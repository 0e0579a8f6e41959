"""The files for programs are as their published schemas say, in every kind that there is."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from atlas.asked import AtlasSpec, Selection
from atlas.kinds import KINDS
from atlas.on_demand import ON_DEMAND, caricature, like, mix, variants
from atlas.on_demand.page import Request
from atlas.pipeline import Atlas
from atlas.places import Places
from atlas.site.schema import write_schemas

DOCS = Path(__file__).parents[1] / "docs" / "schema"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A part of the demo with an artifact of every kind, and one of each that is asked for."""
    folder = tmp_path_factory.mktemp("schema")
    selection = Selection(layers=("conv1", "layer1.0.conv2", "fc"), units=(range(2),))
    kinds = tuple(kind.name for kind in KINDS)  # also those that replace each other
    asked = AtlasSpec(family="demo", preset="preview", selection=selection, kinds=kinds)
    with Atlas(asked, Places(folder / "site", folder / "cache", device="cpu")) as atlas:
        atlas.render(atlas.plan())
        atlas.write()
        atlas.on_demand(requests(atlas, next((folder / "site" / "fc").glob("0*.webp"))))
        atlas.write()
    return folder / "site"


def requests(atlas: Atlas, photo: Path) -> list[Request]:
    """One of each kind of what can be asked for."""
    asked, facts = atlas.asked, atlas.facts
    first, second = facts.layers[0].units[:2]
    return [
        like.request(photo, facts),
        *caricature.requests(photo, facts.layers[:2], asked, facts),
        mix.request(first, second, asked, facts),
        variants.request(first, 2, asked, facts),
    ]


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((DOCS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schemas_are_those_of_the_code(tmp_path):
    """Made anew with `python -m atlas.site.schema docs/schema`."""
    write_schemas(tmp_path)
    for path in tmp_path.iterdir():
        assert (DOCS / path.name).read_text() == path.read_text(), path.name


def objects(schema: Any) -> Iterator[Any]:
    """Every object in a schema."""
    for option in schema.get("anyOf", [schema]):
        if "properties" in option:
            yield option
            for each in option["properties"].values():
                yield from objects(each)
        elif isinstance(option.get("items"), dict):
            yield from objects(option["items"])


@pytest.mark.parametrize("name", ["manifest", "units"])
def test_every_field_says_what_it_means(name):
    for node in objects(validator(name).schema):
        silent = [field for field, each in node["properties"].items() if "description" not in each]
        assert silent == []


def test_every_kind_is_in_the_site(site):
    counts = json.loads((site / "manifest.json").read_text())["counts"]
    shown = {kind.name for kind in KINDS} - {kind.replaces for kind in KINDS}
    assert all(counts[kind] for kind in shown)


def test_the_manifest_is_as_its_schema_says(site):
    manifest = json.loads((site / "manifest.json").read_text())
    assert all(manifest[kind.plural] for kind in ON_DEMAND)
    validator("manifest").validate(manifest)


@pytest.mark.parametrize("layer", ["conv1", "layer1.0.conv2", "fc"])
def test_the_units_are_as_their_schema_says(site, layer):
    validator("units").validate(json.loads((site / layer / "units.json").read_text()))


def test_a_number_that_no_record_has_is_noticed(site):
    units = json.loads((site / "conv1" / "units.json").read_text())
    wrong = copy.deepcopy(units)
    wrong["units"][0]["numbers"]["excitatory"]["z_maximum"] = 1.0
    assert not validator("units").is_valid(wrong)
    wrong = copy.deepcopy(units)
    wrong["units"][0]["numbers"]["tuning"]["orientation"] = "30"
    assert not validator("units").is_valid(wrong)


def test_examples_point_to_files_and_curves_run_along_their_axes(site):
    units = json.loads((site / "conv1" / "units.json").read_text())
    files = units["axes"]["natural"]["files"]
    axes = units["axes"]["tuning"]
    for unit in units["units"]:
        natural, tuning = unit["numbers"]["natural"], unit["numbers"]["tuning"]
        strongest, *_ = natural["top"][0]
        assert files[strongest] == natural["highest"]
        assert all(0 <= file < len(files) for file, *_ in natural["top"] + natural["spread"])
        assert len(tuning["orientation"]) == len(axes["orientations_deg"])
        assert len(tuning["period"]) == len(axes["periods_px"])
        assert len(tuning["hue"]) == len(axes["hues_deg"])
        assert len(tuning["ring"]) == len(axes["radii_px"])
