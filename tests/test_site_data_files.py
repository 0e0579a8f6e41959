"""The atlas for programs: what points into what, and what is left out."""

import json
from pathlib import Path
from typing import Any

import pytest
import site_factory
from site_factory import EVIL, KIND_NAMES

from atlas.kinds import KINDS
from atlas.site.contents import Contents
from atlas.site.writer import write_site
from atlas.units import Unit

UNIT = Unit("layer1.0.conv2", 2)


def contents(**options: object) -> Contents:
    return site_factory.contents(site_factory.network(n_blocks=(1,)), **options)[0]


def read(site: Path, path: str) -> Any:
    return json.loads((site / path).read_bytes())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out_dir = tmp_path_factory.mktemp("data")
    write_site(contents(), out_dir)
    return out_dir


@pytest.fixture(scope="module")
def layers(site: Path) -> list[Any]:
    """What `units.json` says of each layer."""
    return [read(site, layer["units"]) for layer in read(site, "manifest.json")["layers"]]


def test_sightings_point_into_the_files_of_their_layer(layers: list[Any]) -> None:
    for layer in layers:
        axis = layer["axes"]["natural"]
        assert axis["files"] == ["birds/a.jpg", f"fish/{EVIL}.jpg", "c.jpg"]
        assert [axis["classes"][number] for number in axis["file_classes"][:2]] == ["birds", EVIL]
        assert axis["file_classes"][2] == -1
        for unit in layer["units"]:
            numbers = unit["numbers"]["natural"]
            seen = [axis["files"][file] for file, *_ in numbers["top"] + numbers["spread"]]
            assert len(seen) == len(numbers["top"]) + len(numbers["spread"]) == 7
            assert numbers["class"] is None or axis["classes"][numbers["class"]] == EVIL


def test_curves_have_as_many_values_as_their_axes(layers: list[Any]) -> None:
    axis_of = {
        "orientation": "orientations_deg",
        "period": "periods_px",
        "hue": "hues_deg",
        "ring": "radii_px",
    }
    for layer in layers:
        axes = layer["axes"]["tuning"]
        assert set(axes) == set(axis_of.values())
        for unit in layer["units"]:
            for curve, axis in axis_of.items():
                assert len(unit["numbers"]["tuning"][curve]) == len(axes[axis]) > 0


def test_what_no_number_points_into_has_no_axes(layers: list[Any], tmp_path: Path) -> None:
    assert all(set(layer["axes"]) == {"natural", "tuning", "names"} for layer in layers)
    write_site(contents(wanted=lambda unit, kind: kind in ("noise", "filter")), tmp_path)
    assert read(tmp_path, f"{UNIT.layer}/units.json")["axes"] == {}


def test_the_manifest_says_how_images_are_prepared(site: Path) -> None:
    network = read(site, "manifest.json")["network"]
    assert network == {
        "name": "TinyNet",
        "weights": "tiny.safetensors",
        "sha256": "0123456789abcdef" * 4,
        "labels_source": "made up",
        "input_size_px": 64,
        "resize_px": 73.0,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
        "interpolation": "bilinear",
        "preprocessing_source": "",
    }


def test_both_files_tell_their_schema_and_every_kind_is_counted(site: Path) -> None:
    manifest = read(site, "manifest.json")
    units = read(site, f"{UNIT.layer}/units.json")
    assert manifest["schema"] == units["schema"] == 3
    assert set(KIND_NAMES) < set(manifest["counts"])


def test_what_only_serves_to_make_other_artifacts_is_not_published(tmp_path: Path) -> None:
    known = contents()
    with site_factory.changed_numbers(known, UNIT.id, "excitatory") as numbers:
        numbers["embedding"] = "AAAAAAAA"
    write_site(known, tmp_path)
    unit = read(tmp_path, f"{UNIT.layer}/units.json")["units"][UNIT.index]
    assert unit["numbers"]["excitatory"]["z_max"] == 10.5
    for path in tmp_path.rglob("*.js*"):
        assert b"AAAAAAAA" not in path.read_bytes(), path


def test_pictures_on_sheets_are_named_after_their_kinds(site: Path) -> None:
    unit = read(site, f"{UNIT.layer}/units.json")["units"][UNIT.index]
    sheets = {kind.name: kind.sheet.stem for kind in KINDS if kind.sheet}
    found = {
        name: Path(picture["sheet"]).stem
        for name, picture in unit["pictures"].items()
        if name != "excitatory"
    }
    expected = {name: f"{stem}-00" for name, stem in sheets.items()} | {"thumbnail": "thumbs-00"}
    assert found == expected
    assert unit["pictures"]["excitatory"]["path"] == "layer1.0.conv2/0002.webp"
