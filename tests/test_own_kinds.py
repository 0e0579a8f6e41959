"""A kind of artifact is one room: two from outside the package are made and shown as any."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import own_kinds
import pytest
from PIL import Image

from atlas.asked import AtlasSpec, Selection
from atlas.catalogue import Catalogue
from atlas.kinds import KINDS
from atlas.pipeline import Atlas
from atlas.places import Places

CATALOGUE = Catalogue(kinds=(*KINDS, own_kinds.SWATCH, own_kinds.NORM))
SELECTION = Selection(layers=("conv1",), units=(range(6),))
ASKED = AtlasSpec(
    family="demo",
    preset="preview",
    selection=SELECTION,
    kinds=("filter", "excitatory", "swatch", "norm"),
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The report and folder of a part of the demo's site with both kinds."""
    folder = tmp_path_factory.mktemp("own")
    places = Places(folder / "site", folder / "cache", device="cpu")
    with Atlas(ASKED, places, CATALOGUE) as atlas:
        atlas.render(atlas.plan())
        report = atlas.write()
        assert atlas.plan().n_missing == 0
    return report, folder / "site"


def units_json(site: Path) -> dict:
    return json.loads((site / "conv1" / "units.json").read_text())


def test_pictures_of_an_own_kind_are_on_its_sheet(built):
    _, site = built
    for unit in units_json(site)["units"][:6]:
        sprite = unit["pictures"]["swatch"]
        sheet = Image.open(io.BytesIO((site / sprite["sheet"]).read_bytes())).convert("RGB")
        row, column = divmod(sprite["cell"], sprite["columns"])
        width, height = sprite["cell_px"]
        level = unit["numbers"]["swatch"]["level"]
        assert level == 40 + 10 * unit["index"]
        assert sheet.getpixel((column * width, row * height)) == (level,) * 3


def test_own_kinds_have_their_sections_on_the_page(built):
    _, site = built
    page = (site / "conv1" / "0003.html").read_text()
    assert "<h2>Swatch</h2>" in page
    assert 'aria-label="Swatch of conv1:3"' in page
    norm = units_json(site)["units"][3]["numbers"]["norm"]["norm"]
    assert f"The weights are {norm:g} long." in page


def test_layers_are_sorted_and_drawn_by_own_kinds(built):
    _, site = built
    page = (site / "conv1" / "index.html").read_text()
    assert "grey level" in page
    assert "weight norm" in page
    assert "swatches:4:1:swatches" in page


def test_own_kinds_have_glossary_entries(built):
    _, site = built
    about = (site / "about.html").read_text()
    assert '<dt id="swatch">' in about
    assert '<dt id="norm">' in about


def test_own_kinds_are_counted_in_the_size_report_and_the_manifest(built):
    report, site = built
    assert next(part for part in report.parts if part.name == "swatches").n_files == 1
    manifest = json.loads((site / "manifest.json").read_text())
    assert manifest["counts"]["swatch"] == 6
    assert manifest["counts"]["norm"] == 1
    assert manifest["layers"][0]["norm"] == {"n_weights": 147}


def test_norms_are_those_of_the_weights(built):
    from safetensors.torch import load_file

    from atlas.families import find_family

    _, site = built
    family = find_family("demo")
    weights = load_file(family.weights[family.default_weights].file)["conv1.weight"]
    for unit in units_json(site)["units"]:
        norm = weights[unit["index"]].float().norm().item()
        assert unit["numbers"]["norm"]["norm"] == pytest.approx(norm, abs=1e-3)


def test_kinds_can_be_handed_to_another_process():
    again = pickle.loads(pickle.dumps(CATALOGUE.kinds))
    assert [kind.name for kind in again] == [kind.name for kind in CATALOGUE.kinds]
