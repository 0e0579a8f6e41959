"""A picture that left the site still says what it is of, and how it was made."""

from __future__ import annotations

import dataclasses
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from atlas.addressing import describe
from atlas.asked import AtlasSpec, Selection
from atlas.cache import Artifact, Cache
from atlas.engine import Engine
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.network.network import Network
from atlas.pictures.encode import encode
from atlas.pictures.picture import Picture
from atlas.pictures.provenance import NAMESPACE, provenance
from atlas.plan import make_plan
from atlas.recipes import unit_recipe

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def told(data: bytes) -> dict[str, str]:
    """What an encoded picture says of itself."""
    packet = Image.open(io.BytesIO(data)).info["xmp"]
    description = next(ElementTree.fromstring(packet).iter(f"{RDF}Description"))
    own = f"{{{NAMESPACE}}}"
    return {
        name.removeprefix(own): value
        for name, value in description.attrib.items()
        if name.startswith(own)
    }


@pytest.fixture
def artifacts(planted: Network, cache: Cache) -> list[Artifact]:
    selection = Selection(layers=("conv1",), units=(range(2),))
    spec = AtlasSpec(preset="preview", selection=selection, kinds=("excitatory", "inhibitory"))
    made: list[Artifact] = []
    with Engine(planted, cache) as engine:
        engine.run(make_plan(spec, planted.facts, ()).missing, made.extend)
    return made


def test_an_excitatory_picture_carries_its_unit_weights_recipe_and_answer(
    planted: Network, artifacts: list[Artifact]
):
    second = artifacts[1]
    found = told(second.data)
    recipe = unit_recipe("fourier", "preview", planted.facts.layers[0], planted.facts, seed=0)
    assert (found["unit"], found["sha256"]) == ("conv1:1", planted.facts.sha256)
    assert json.loads(found["recipe"]) == json.loads(json.dumps(describe(recipe)))
    numbers = json.loads(second.numbers_json)
    expected = {name: numbers[name] for name in ("z", "z_max")}
    assert json.loads(found["measured"]) == expected


def test_pictures_that_are_shown_on_sheets_carry_nothing(artifacts: list[Artifact]):
    inhibitory = next(artifact for artifact in artifacts if artifact.kind == "inhibitory")
    assert "xmp" not in Image.open(io.BytesIO(inhibitory.data)).info


def test_names_are_escaped_and_pixels_untouched(planted: Network):
    facts = dataclasses.replace(planted.facts, weights='<a & "b">.pth')
    layer = facts.layers[0]
    spec = unit_recipe("fourier", "standard", layer, facts, seed=0)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)
    picture = Picture(layer.unit(0), pixels, ExcitatoryRecord())
    data = encode(
        pixels, None, provenance(facts, layer, picture, spec, "What excites {unit} of {network}")
    )
    assert told(data)["weights"] == '<a & "b">.pth'
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), pixels)
