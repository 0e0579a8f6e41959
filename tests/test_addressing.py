"""Content addresses: equal for what is equal, different as soon as anything is not."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import site_factory

from atlas.addressing import ArtifactSpec, artifact_keys, describe
from atlas.asked import AtlasSpec
from atlas.kinds import natural, twin
from atlas.kinds.filter import FilterSpec
from atlas.recipes import Fourier, Progressive, Stage
from atlas.units import Unit

FACTS = site_factory.network()
UNIT = Unit("layer1.0.conv1", 2)
FOURIER = Fourier((Stage(64, 8), Stage(96, 4)), margin_px=8, objective="power")
PROGRESSIVE = Progressive(n_scales=3, blur_px=5)


def key(weights_sha256: str, unit: Unit, kind: str, recipe: ArtifactSpec) -> str:
    (only,) = artifact_keys(weights_sha256, [unit], kind, recipe)
    return only


def test_the_keys_of_many_units_are_each_one_s_own():
    units = [Unit("layer1.0.conv1", index) for index in range(5)]
    keys = artifact_keys("a" * 64, units, "excitatory", FOURIER)
    assert keys == tuple(key("a" * 64, unit, "excitatory", FOURIER) for unit in units)


def test_a_key_is_the_same_in_every_process():
    code = (
        "from atlas.addressing import artifact_keys; from atlas.units import Unit;"
        "from atlas.recipes import Fourier, Stage;"
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
    "recipe", [FOURIER, PROGRESSIVE, FilterSpec()], ids=lambda recipe: recipe.name
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
    spec = twin.KIND.spec(AtlasSpec(seed=3), FACTS.layers[0], FACTS)
    first, second = describe(spec)["first"], describe(spec)["second"]
    assert (first.pop("seed"), second.pop("seed")) == (3, 4)
    assert first == second
    assert (first["name"], first["version"]) == ("fourier", Fourier.version)


@dataclass(frozen=True)
class Outer:
    """A recipe that holds recipes, by themselves and in a tuple."""

    name: ClassVar[str] = "outer"
    version: ClassVar[int] = 2

    inner: Progressive
    several: tuple[Progressive, ...]


def test_recipes_inside_a_recipe_are_described_with_their_names_and_versions():
    described = describe(Outer(PROGRESSIVE, (PROGRESSIVE,)))
    inner = describe(PROGRESSIVE)
    assert described == {"name": "outer", "version": 2, "inner": inner, "several": (inner,)}
    assert inner["version"] == Progressive.version


def test_an_address_changes_with_the_version_of_a_recipe_inside(monkeypatch):
    specs = (Outer(PROGRESSIVE, ()), Outer(PROGRESSIVE, (PROGRESSIVE,)))
    twins = twin.KIND.spec(AtlasSpec(recipe="progressive"), FACTS.layers[0], FACTS)
    before = [key("a" * 64, UNIT, "outer", spec) for spec in (*specs, twins)]
    monkeypatch.setattr(Progressive, "version", Progressive.version + 1)
    after = [key("a" * 64, UNIT, "outer", spec) for spec in (*specs, twins)]
    assert not {*before} & {*after}


def test_plain_data_inside_a_recipe_is_described_by_its_fields():
    spec = natural.KIND.spec(AtlasSpec(images_sha256="f" * 64), FACTS.layers[0], FACTS)
    assert describe(spec)["preprocessing"] == dataclasses.asdict(FACTS.preprocessing)
    assert describe(FOURIER)["stages"] == (
        {"size_px": 64, "steps": 8, "window_px": 0},
        {"size_px": 96, "steps": 4, "window_px": 0},
    )


def test_a_key_changes_with_what_an_artifact_is_made_from():
    sources = [(), ("1" * 64,), ("2" * 64,), ("1" * 64, "2" * 64), ("2" * 64, "1" * 64)]
    keys = {artifact_keys("a" * 64, [UNIT], "similar", FOURIER, each) for each in sources}
    assert len(keys) == len(sources)
    assert artifact_keys("a" * 64, [UNIT], "similar", FOURIER, ()) == (
        key("a" * 64, UNIT, "similar", FOURIER),
    )
