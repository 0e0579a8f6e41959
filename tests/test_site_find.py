"""What units are found by: the index of all units, and the page without its script."""

from __future__ import annotations

import dataclasses
import gzip
import json
from pathlib import Path
from typing import Any

import many_units
import numpy as np
import own_kinds
import pytest
import site_factory
from site_reader import Page

from atlas.kinds import KINDS
from atlas.kinds.kind import Column
from atlas.kinds.tuning import TuningRecord
from atlas.site.contents import Contents
from atlas.site.find_index import (
    INDEX_VARIABLE,
    PRECISIONS,
    FoundNumbers,
    find_index,
    fitted,
    found_by,
    levels_of,
)
from atlas.site.find_page import find_view
from atlas.site.writer import write_site
from atlas.units import Unit

LAYER = "layer1.0.conv3"


def contents(**options: Any) -> Contents:
    """Units that were measured differently; the second of each layer prefers no orientation."""
    made, _ = site_factory.contents(site_factory.network(n_blocks=(1,)), **options)
    draw = np.random.default_rng(0)
    for layer in made.facts.layers:
        with site_factory.changed_numbers(made, layer.name, "tuning") as numbers:
            angles = draw.uniform(0, 180, layer.n_units).round(1).tolist()
            numbers["orientation_deg"] = [
                None if nth == 1 else each for nth, each in enumerate(angles)
            ]
        with site_factory.changed_numbers(made, layer.name, "natural") as numbers:
            numbers["fires"] = draw.uniform(0, 1, layer.n_units).round(4).tolist()
    return made


def read(script: bytes) -> dict[str, Any]:
    return json.loads(script.removeprefix(INDEX_VARIABLE).removesuffix(b";\n"))


def column(index: dict[str, Any], name: str) -> list[Any]:
    """The values of a column, as the documentation of the index says: None where there is none."""
    (found,) = [each for each in (*index["numbers"], *index["texts"]) if each["name"] == name]
    points = [chr(point) for point in (*range(35, 92), *range(93, 127), *range(0xA1, 0x2000))]
    codes = [points.index(character) for character in found["codes"]]
    return [found["values"][code - 1] if code else None for code in codes]


@pytest.fixture(scope="module")
def known() -> Contents:
    return contents()


@pytest.fixture(scope="module")
def index(known: Contents) -> dict[str, Any]:
    return read(find_index(known, found_by(known)))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, known: Contents) -> Path:
    out_dir = tmp_path_factory.mktemp("find")
    write_site(known, out_dir)
    return out_dir


def published(site: Path, known: Contents, kind: str, name: str) -> list[Any]:
    """A number of all units, from the data files."""
    return [
        unit["numbers"].get(kind, {}).get(name)
        for layer in known.facts.layers
        for unit in json.loads((site / layer.name / "units.json").read_bytes())["units"]
    ]


@pytest.mark.parametrize(
    ("name", "kind", "json_name", "error"),
    [
        ("orientation", "tuning", "orientation_deg", 0.5),
        ("orientation selectivity", "tuning", "orientation_selectivity", 0),
        ("period", "tuning", "period_px", 0),
        ("share of photographs", "natural", "fires", 0.0005),
        ("class selectivity", "natural", "selectivity", 0),
        ("peak", "excitatory", "z_max", 0.05),
    ],
)
def test_the_index_has_the_numbers_of_the_data_files_rounded(
    site: Path,
    known: Contents,
    index: dict[str, Any],
    name: str,
    kind: str,
    json_name: str,
    error: float,
) -> None:
    exact = published(site, known, kind, json_name)
    found = column(index, name)
    assert len(exact) == len(found) == known.n_pages
    assert [value is None for value in exact] == [value is None for value in found]
    apart = [abs(one - other) for one, other in zip(exact, found, strict=True) if one is not None]
    if name == "orientation":
        apart = [min(each, 180 - each) for each in apart]
        assert None in found
    assert max(apart) <= error + 1e-9


def test_layers_say_which_units_they_have_and_on_which_sheets_they_are(
    index: dict[str, Any],
) -> None:
    sheets = ["thumbs", 6, 1, "Synthetic picture that excites", [[0, 14]]]
    assert index["layers"][0] == ["conv1", [[0, 14]], sheets]


@pytest.mark.parametrize(
    ("others", "stem"), [(("examples", "filter"), "examples"), (("filter",), "filters")]
)
def test_layers_without_excitatory_pictures_show_others(others: tuple[str, ...], stem: str) -> None:
    facts = site_factory.network(n_blocks=(1,))
    known = site_factory.contents(facts, lambda unit, kind: kind in others)[0]
    _, _, sheets = read(find_index(known, found_by(known)))["layers"][0]
    assert sheets[0] == stem and sheets[4] == [[0, 14]]


def test_units_without_a_page_have_no_row() -> None:
    def wanted(unit: Unit, kind: str) -> bool:
        return unit.layer != "conv1" or unit.index in (-1, 2, 3, 9)

    known = contents(wanted=wanted)
    index = read(find_index(known, found_by(known)))
    assert index["layers"][0][:2] == ["conv1", [[2, 3], [9, 9]]]
    assert index["layers"][0][2][4] == [[2, 3], [9, 9]]
    assert column(index, "peak")[:4] == [10.5, 11.5, 17.5, 8.5]


def test_words_are_found_as_well(index: dict[str, Any], known: Contents) -> None:
    names = column(index, "name")
    assert names[:3] == ["hound", None, "hound"]
    assert names[-len(site_factory.LABELS) :] == list(site_factory.LABELS)
    assert column(index, "favourite class")[:2] == [site_factory.EVIL, None]


def test_the_class_that_a_unit_speaks_for_comes_from_its_weights() -> None:
    known = contents()
    last, classifier = known.facts.layers[-2:]
    with site_factory.changed_numbers(known, last.name, "circuit") as numbers:
        numbers["speaks_for"] = [[[classifier.index, 3, 0.3]]] * last.n_units
    said = column(read(find_index(known, found_by(known))), "class it speaks for")
    n_after = classifier.n_units
    assert said[-n_after - last.n_units : -n_after] == ["great grey owl"] * last.n_units
    assert set(said[: -n_after - last.n_units]) == {None}


def test_columns_of_kinds_from_outside_need_nothing_else(known: Contents) -> None:
    layer = known.facts.layers[0]
    pictures = site_factory.Pictures()
    norms = [nth / 7 for nth in range(layer.n_units)]
    entry = pictures.add(layer.whole, "norm", b"", {"n_weights": 147, "norm": norms})
    entries = {**known.entries, layer.name: {**known.entries[layer.name], "norm": entry}}
    more = dataclasses.replace(known, kinds=(*KINDS, own_kinds.NORM), entries=entries)
    index = read(find_index(more, found_by(more)))
    assert column(index, "weight norm")[:16] == [float(f"{each:.3g}") for each in norms] + [None]
    assert "weight norm" in [each.name for each in find_view(more, found_by(more)).numbers]


def test_27560_units_take_at_most_400_kilobytes() -> None:
    script = find_index(many_units.contents(), many_units.found())
    assert len(gzip.compress(script, 6)) <= 400_000
    index = read(script)
    assert len(index["numbers"]) >= 14 and len(index["texts"]) == 4
    assert {len(each["codes"]) for each in (*index["numbers"], *index["texts"])} == {27_560}


def test_units_without_a_number_were_measured_in_columns_that_only_some_units_can_have() -> None:
    """So Find does not say of them that they have no such measurement."""
    index = read(find_index(many_units.contents(), many_units.found()))
    columns = (*index["numbers"], *index["texts"])
    partial = {each["name"] for each in columns if each["is_partial"]}
    assert partial == {"switched off", "dead", "border", "border place"}


def numbers(values: Any, full_turn: int = 0) -> FoundNumbers:
    made = Column("made up", "made_up", full_turn=full_turn)
    return FoundNumbers("made up", "", "", made, np.array(values, float))


def test_numbers_are_as_fine_as_fits() -> None:
    draw = np.random.default_rng(1)
    large, small = numbers(draw.lognormal(0, 2, 5000)), numbers(draw.choice([1.25, 7.5], 5000))
    kept = [[len(levels.values) for levels in fitted([large, small], n)] for n in (1e6, 9000, 10)]
    assert kept[0][0] > 1000 and 90 < kept[1][0] < 700 and kept[2][0] == 90
    assert [each[1] for each in kept] == [2, 2, 2]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_rounding_keeps_numbers_near_and_in_order(precision: Any) -> None:
    exact = np.append(np.random.default_rng(2).lognormal(0, 2, 3000), [np.nan, 0, -3.14159])
    levels = levels_of(numbers(exact), precision)
    kept = np.array([levels.values[code - 1] if code else np.nan for code in levels.codes])
    assert (np.isnan(kept) == np.isnan(exact)).all()
    order = np.argsort(exact)
    assert (np.diff(kept[order][:-1]) >= 0).all()
    if precision.n_values > 1000:
        known = exact[np.isfinite(exact)]
        error = np.abs(kept[np.isfinite(exact)] - known) / np.maximum(np.abs(known), 1e-9)
        assert error.max() <= 0.5 * 10 ** (1 - precision.n_digits) + 1e-9


def test_angles_are_rounded_round() -> None:
    levels = levels_of(numbers([179.7, 0.2, 44.6], 180), PRECISIONS[0])
    assert sorted(levels.values) == [0, 45] and levels.codes[0] == levels.codes[1]


def test_how_far_stimuli_drive_units_is_counted_from_the_bare_background() -> None:
    layer = site_factory.layer("conv", 2, 3)
    record = TuningRecord(**site_factory.tuning_numbers(layer))
    assert record.stripes_rise == [4.0, 4.0] and record.ring_rise == [2.0, 2.0]
    assert record.hue_rise == [0.0, 0.0]


def test_only_questions_that_a_unit_answers_are_ready(known: Contents) -> None:
    presets = {link.text: link.href for link in find_view(known, found_by(known)).presets}
    assert presets["rising diagonals"] == "#ask-orientation=45"
    are_none = {"red", "dead", "switched off", "responds to borders"}
    assert not are_none & presets.keys()
    with site_factory.changed_numbers(known := contents(), LAYER, "natural") as made:
        made["fires"][3] = 0.002
    with site_factory.changed_numbers(known, LAYER, "tuning") as made:
        made["hue_deg"][0], made["hue_selectivity"][0] = 350.0, 0.8
    with site_factory.changed_numbers(known, f"{LAYER}:2", "excitatory") as made:
        made["dead"] = True
    with site_factory.changed_numbers(known, f"{LAYER}:1", "filter") as made:
        made["norm_share"] = 0.049
    with site_factory.changed_numbers(known, LAYER, "border") as made:
        made["excess"][4], made["place"][4] = 5.0, "top left corner"
    presets = {link.text: link.href for link in find_view(known, found_by(known)).presets}
    rare = "#share+of+photographs=..0.01&sort=share+of+photographs&order=up"
    assert presets["rarely fires"] == rare
    assert presets["switched off"] == "#switched+off=1.."
    assert presets["responds to borders"] == "#border=5..&sort=border"
    assert presets["dead"] == "#dead=1.." and presets["red"] == "#ask-hue=0"


def test_without_its_script_the_page_says_so_and_leads_to_the_layers(site: Path) -> None:
    page = Page((site / "find.html").read_text(encoding="utf-8"))
    assert "Finding needs JavaScript, which is off." in page.text
    assert {f"{LAYER}/index.html", "fc/index.html"} <= set(page.targets)


def test_every_term_is_explained_in_the_glossary(site: Path) -> None:
    about = Page((site / "about.html").read_text(encoding="utf-8"))
    page = Page((site / "find.html").read_text(encoding="utf-8"))
    ids = {target.partition("#")[2] for target in page.targets if target.startswith("about.html#")}
    assert {"sigma", "logit", "tuning", "fires", "selectivity", "auc", "effective", "names"} <= ids
    assert ids <= about.ids


def test_a_site_without_measurements_finds_layers_alone(tmp_path: Path) -> None:
    facts = site_factory.network(n_blocks=(1,))
    write_site(site_factory.contents(facts, lambda unit, kind: kind == "filter")[0], tmp_path)
    page = Page((tmp_path / "find.html").read_text(encoding="utf-8"))
    assert "Ask with a stimulus" not in page.text and "Layers" in page.text
    index = read((tmp_path / "find-index.js").read_bytes())
    assert index["numbers"] == [] and index["stimuli"] is None
