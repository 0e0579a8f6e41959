"""What was asked is read, checked and addressed exactly."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import site_factory

from atlas.errors import SpecError
from atlas.spec import (
    ArtifactSpec,
    AtlasSpec,
    FilterImage,
    Fourier,
    Progressive,
    Selection,
    Stage,
    artifact_keys,
    describe,
    parse_kinds,
    parse_ranges,
    select_units,
)
from atlas.units import Kind, Unit

FACTS = site_factory.network()
UNIT = Unit("layer1.0.conv1", 2)
FOURIER = Fourier((Stage(64, 8), Stage(96, 4)), margin_px=8, objective="power")
PROGRESSIVE = Progressive(n_scales=3, blur_px=5)


def chosen(**fields: object) -> list[str]:
    return [unit.id for unit in select_units(Selection(**fields), FACTS)]


def test_ranges_include_both_ends():
    assert parse_ranges("0-15,40") == (range(0, 16), range(40, 41))
    assert parse_ranges(" 3 , 7-7 ") == (range(3, 4), range(7, 8))


@pytest.mark.parametrize("text", ["", "a", "1-", "-3", "1,,2", "1-2-3", "0x10", "1.5", "²"])
def test_unreadable_ranges_show_how_to_write_them(text):
    with pytest.raises(SpecError, match="write them like 0-15,40"):
        parse_ranges(text)


def test_a_backward_range_is_turned_round_in_the_message():
    with pytest.raises(SpecError, match="write 2-5"):
        parse_ranges("5-2")


def test_an_empty_selection_is_the_whole_network():
    assert len(chosen()) == FACTS.n_units


def test_globs_choose_layers_in_forward_order_and_once():
    ids = chosen(layers=("fc", "layer1.0.*", "layer1.0.conv1"), units=(range(1),))
    assert ids == [
        "layer1.0.conv1:0",
        "layer1.0.conv2:0",
        "layer1.0.conv3:0",
        "layer1.0.downsample.0:0",
        "fc:0",
    ]


def test_overlapping_ranges_choose_each_unit_once_and_in_order():
    ids = chosen(layers=("conv1",), units=(range(3, 5), range(2, 4)))
    assert ids == ["conv1:2", "conv1:3", "conv1:4"]


def test_an_unknown_layer_names_the_closest():
    with pytest.raises(
        SpecError, match=r"no layer 'layer1\.0\.cnov2' in TinyNet.*layer1\.0\.conv2"
    ):
        chosen(layers=("layer1.0.cnov2",))


@pytest.mark.parametrize(
    "units", [range(5, 6), range(0, 6), range(4, 10**12), range(10**12, 10**12 + 1)]
)
def test_a_unit_out_of_range_says_what_there_is(units):
    with pytest.raises(SpecError, match=r"out of range for layer1\.0\.conv1.*5 units: 0-4"):
        chosen(layers=("layer1.0.conv1",), units=(units,))


def test_classes_are_found_by_label_index_and_whatever_the_case():
    assert chosen(classes=("HAT-trick", "éclair", "0")) == ["fc:0", "fc:5", "fc:6"]


def test_a_label_that_two_classes_share_chooses_both():
    assert chosen(classes=("crane",)) == ["fc:2", "fc:4"]


def test_an_unknown_class_names_the_closest():
    with pytest.raises(
        SpecError, match=r"no class 'great gray owl' among the 8 labels.*great grey owl"
    ):
        chosen(classes=("great gray owl",))


def test_a_class_index_out_of_range_is_refused():
    with pytest.raises(SpecError, match="no class '8'"):
        chosen(classes=("8",))


def test_classes_alone_choose_nothing_else_and_join_what_layers_choose():
    assert chosen(classes=("tench",)) == ["fc:0"]
    assert chosen(classes=("tench",), layers=("conv1",), units=(range(2),)) == [
        "conv1:0",
        "conv1:1",
        "fc:0",
    ]


def key(weights_sha256: str, unit: Unit, kind: Kind, recipe: ArtifactSpec) -> str:
    (only,) = artifact_keys(weights_sha256, [unit], kind, recipe)
    return only


def test_the_keys_of_many_units_are_each_one_s_own():
    units = [Unit("layer1.0.conv1", index) for index in range(5)]
    keys = artifact_keys("a" * 64, units, "excitatory", FOURIER)
    assert keys == tuple(key("a" * 64, unit, "excitatory", FOURIER) for unit in units)


def test_a_key_is_the_same_in_every_process():
    code = (
        "from atlas.spec import *; from atlas.units import Unit;"
        "recipe = Fourier((Stage(64, 8), Stage(96, 4)), margin_px=8, objective='power');"
        "print(*artifact_keys('a' * 64, [Unit('layer1.0.conv1', 2)], 'excitatory', recipe))"
    )
    keys = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert keys == {key("a" * 64, UNIT, "excitatory", FOURIER)}


def test_a_key_changes_with_weights_unit_and_kind():
    variants = [
        ("a" * 64, UNIT, "excitatory"),
        ("b" * 64, UNIT, "excitatory"),
        ("a" * 64, Unit("layer1.0.conv1", 3), "excitatory"),
        ("a" * 64, Unit("layer1.0.conv2", 2), "excitatory"),
        ("a" * 64, UNIT, "filter"),
    ]
    keys = {key(*variant, FOURIER) for variant in variants}
    assert len(keys) == len(variants)
    assert all(len(digits) == 64 and int(digits, 16) >= 0 for digits in keys)


@pytest.mark.parametrize(
    "recipe", [FOURIER, PROGRESSIVE, FilterImage()], ids=lambda recipe: recipe.name
)
def test_a_key_changes_with_every_setting_of_a_recipe(recipe):
    keys = [key("a" * 64, UNIT, "excitatory", recipe)]
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        other = value * 2 + 1 if isinstance(value, int | float) else value[:1]
        changed = dataclasses.replace(recipe, **{field.name: other})
        keys.append(key("a" * 64, UNIT, "excitatory", changed))
    assert len(set(keys)) == 1 + len(dataclasses.fields(recipe))


def test_a_key_changes_with_a_recipe_s_version(monkeypatch):
    before = key("a" * 64, UNIT, "excitatory", FOURIER)
    monkeypatch.setattr(Fourier, "version", Fourier.version + 1)
    assert key("a" * 64, UNIT, "excitatory", FOURIER) != before


def test_a_recipe_is_described_whole():
    assert describe(PROGRESSIVE) == {
        "name": "progressive",
        "version": Progressive.version,
        "n_scales": 3,
        "blur_px": 5,
        "aim": "excite",
        "start_px": 56,
        "growth": 1.11,
        "steps": 20,
        "lr": 0.01,
        "weight_decay": 1e-6,
        "seed": 0,
    }


def test_a_twin_is_described_with_both_its_seeds():
    twin = AtlasSpec(seed=3).artifact_spec("twin", FACTS.layers[0], FACTS)
    first, second = describe(twin)["first"], describe(twin)["second"]
    assert (first.pop("seed"), second.pop("seed")) == (3, 4)
    assert first == second
    assert first["name"] == "fourier"


def test_kinds_are_read_in_the_order_of_making():
    assert parse_kinds("inhibitory, filter,excitatory") == ("filter", "excitatory", "inhibitory")


def test_an_unknown_kind_is_answered_with_those_there_are():
    with pytest.raises(SpecError, match=r"no kind 'exitatory'; there are filter, .*excitatory"):
        parse_kinds("filter,exitatory")


def test_both_signs_share_one_recipe_but_for_the_aim():
    for recipe in ("fourier", "progressive"):
        spec = AtlasSpec(recipe=recipe)
        up, down = (
            spec.artifact_spec(kind, FACTS.layers[1], FACTS)
            for kind in ("excitatory", "inhibitory")
        )
        assert dataclasses.replace(up, aim="inhibit") == down != up


def test_fine_pictures_are_512_px_at_every_depth():
    for layer in FACTS.layers:
        recipe = AtlasSpec(preset="fine").artifact_spec("excitatory", layer, FACTS)
        assert recipe.picture_px == 512


def test_progressive_is_the_tutorial_s():
    spec = AtlasSpec(recipe="progressive")
    recipes = {layer.name: spec.artifact_spec("excitatory", layer, FACTS) for layer in FACTS.layers}
    scales = {name: (recipe.n_scales, recipe.blur_px) for name, recipe in recipes.items()}
    assert scales.pop("conv1") == (20, 5)
    assert scales.pop("fc") == (25, 7)
    assert set(scales.values()) == {(15, 5)}
    sizes_px = recipes["fc"].sizes_px
    assert sizes_px[:4] == (56, 62, 68, 75)
    assert sizes_px[-1] == 711


@pytest.mark.parametrize("preset", ["preview", "standard", "fine"])
@pytest.mark.parametrize("input_size_px", [96, 224])
def test_every_preset_makes_a_sound_canvas_at_every_depth(preset, input_size_px):
    facts = dataclasses.replace(FACTS, input_size_px=input_size_px)
    for field_px in (1, 3, 7, 11, 19, 43, 91, 131, 211, 299, 427, 483, 1000):
        layer = dataclasses.replace(FACTS.layers[1], receptive_field_px=field_px)
        recipe = AtlasSpec(preset=preset, seed=3).artifact_spec("excitatory", layer, facts)
        sizes_px = [stage.size_px for stage in recipe.stages]
        assert sizes_px == sorted(sizes_px)
        assert all(stage.steps > 0 for stage in recipe.stages)
        assert recipe.picture_px >= 16, (field_px, recipe)
        assert recipe.seed == 3


def test_a_finer_preset_costs_more_and_shows_more():
    layer = FACTS.layer("fc")
    preview, standard, fine = (
        AtlasSpec(preset=preset).artifact_spec("excitatory", layer, FACTS)
        for preset in ("preview", "standard", "fine")
    )
    assert preview.picture_px < standard.picture_px < fine.picture_px
    steps = [sum(stage.steps for stage in one.stages) for one in (preview, standard, fine)]
    assert steps == sorted(steps)
