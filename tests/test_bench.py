"""The yardstick: what is measured, what is derived from it, and what is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from test_command import assert_refused, run

from atlas.asked import AtlasSpec, Selection
from atlas.bench import Bench, Depth, bench, depths_of, predict, run_ours, stages_of, table
from atlas.families import find_family
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.pictures.fourier import OwnResponses
from atlas.recipes import Progressive, Stage, unit_recipe

PREVIEW = AtlasSpec(family="demo", preset="preview")


@pytest.fixture(scope="module")
def demo() -> Network:
    return load_network(AtlasSpec(), find_family("demo"))


def depth(layer: str, seconds: float) -> Depth:
    return Depth(layer, 64, 12, 16, seconds, 8 * seconds, 2e9, 0.25)


def test_one_layer_of_every_stage_is_measured_unless_some_are_asked_for(demo: Network):
    assert [layer.name for layer in depths_of(demo.facts, PREVIEW)] == [
        "conv1",
        "layer1.0.conv1",
        "layer2.0.conv1",
        "fc",
    ]
    asked = dataclasses.replace(PREVIEW, selection=Selection(layers=("layer2.*.conv2",)))
    assert [layer.name for layer in depths_of(demo.facts, asked)] == [
        "layer2.0.conv2",
        "layer2.1.conv2",
    ]


def test_the_plain_loop_is_given_the_same_sizes_and_steps(demo: Network):
    recipe = unit_recipe("fourier", "standard", demo.facts.layers[-1], demo.facts, seed=0)
    assert stages_of(recipe) == recipe.stages
    tutorial = Progressive(n_scales=2, blur_px=5, steps=3)
    assert stages_of(tutorial) == (Stage(56, 3), Stage(62, 3))


def test_no_class_is_tried_twice_in_a_measurement(demo: Network, monkeypatch):
    """A class is lower after few steps than at the first, which says nothing of a whole ascent."""
    n_steps = []
    score = OwnResponses.score

    def counted(self, images, jitter, stage):
        n_steps.append(len(images))
        return score(self, images, jitter, stage)

    monkeypatch.setattr(OwnResponses, "score", counted)
    monkeypatch.setattr(OwnResponses, "fallen", lambda self: torch.ones(2, dtype=torch.bool))
    classes = demo.layers[-1]
    recipe = unit_recipe("fourier", "standard", classes, demo.facts, seed=0)
    fast, exact = demo.tap(classes, "float32"), demo.tap(classes, "float32")
    run_ours(fast, exact, classes.units[:2], recipe, Stage(64, 3))
    assert n_steps == [2, 2, 2]


def test_a_network_is_as_fast_as_the_nearest_layer_that_was_measured(demo: Network):
    facts = demo.facts
    alone = predict(PREVIEW, facts, [depth("conv1", 0.5)])
    # Every layer at the speed of conv1: seconds are as its pictures cost.
    twice_as_slow = predict(PREVIEW, facts, [depth("conv1", 1.0)])
    assert twice_as_slow["excitatory"] == pytest.approx(2 * alone["excitatory"])
    only = dataclasses.replace(PREVIEW, kinds=("inhibitory",))  # what is asked for does not matter
    assert predict(only, facts, [depth("conv1", 0.5)]) == alone
    assert alone["both signs"] == pytest.approx(2 * alone["excitatory"])
    assert alone["all that is synthesised"] > alone["both signs"]
    slow_end = predict(PREVIEW, facts, [depth("conv1", 0.5), depth("fc", 100.0)])
    assert slow_end["excitatory"] > facts.layers[-1].n_units * 100.0


def test_a_machine_is_measured_and_the_figures_fit_together(demo: Network):
    spec = dataclasses.replace(PREVIEW, selection=Selection(layers=("layer1.0.conv1",)))
    result = bench(demo, spec)
    (row,) = result.depths
    assert (row.layer, row.n_steps, row.batch) == ("layer1.0.conv1", 12, 24)  # all of them
    assert row.seconds > 0 and row.reference_seconds > 0
    assert row.share_of_peak == pytest.approx(row.flop_per_s / result.peak_flop_per_s)
    assert 0 < row.share_of_peak < 1
    said = result.to_json()["depths"][0]
    assert said["ratio"] == pytest.approx(row.reference_seconds / row.seconds)
    assert said["units_per_s"] == pytest.approx(1 / row.seconds)
    lines = table(result).splitlines()
    assert any(line.startswith("layer1.0.conv1 ") for line in lines)
    assert sum(line.startswith("Whole network") for line in lines) == 3


@pytest.mark.parametrize(
    ("flop_per_s", "words"),
    [(1.234e12, "1,234"), (41.6e9, "42"), (3.14e9, "3.1"), (4.2e7, "0.042")],
)
def test_slow_work_is_not_said_to_be_none(demo: Network, flop_per_s: float, words: str):
    row = dataclasses.replace(depth("conv1", 0.5), flop_per_s=flop_per_s, share_of_peak=0.0012)
    result = Bench("A", "a CPU", "float32", "2.10", "preview", 1e11, (row,), {})
    (line,) = (line for line in table(result).splitlines() if line.startswith("conv1"))
    assert line.split()[-2:] == [words, "0.12%"]


def test_the_command_says_it_to_programs_too(tmp_path: Path):
    cache = tmp_path / "cache"
    options = ("--preset", "preview", "--layers", "conv1", "--cache", cache, "--json")
    done = run("bench", "--demo", *options)
    assert done.code == 0, done.err
    assert not cache.exists()
    figures = json.loads(done.out)
    assert figures["network"] == "DemoNet" and figures["preset"] == "preview"
    assert [row["layer"] for row in figures["depths"]] == ["conv1"]
    assert set(figures["predicted_seconds"]) == {
        "excitatory",
        "both signs",
        "all that is synthesised",
    }


def test_a_layer_that_is_not_there_is_explained():
    assert_refused(run("bench", "--demo", "--layers", "layer9.*"), "no layer 'layer9.*'", "closest")
