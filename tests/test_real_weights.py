"""Real ImageNet weights, where `ATLAS_TEST_WEIGHTS` names a ResNet-50 state dict.

Where `ATLAS_TEST_IMAGES` names a folder of photographs, in folders called by WordNet ids, the names
of its classes are judged as well.
"""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from test_command import run

from atlas.asked import AtlasSpec, Preparation
from atlas.devices import fastest_precision
from atlas.families import find_family
from atlas.images import ImageFolder
from atlas.kinds.circuit import CircuitSpec
from atlas.kinds.circuit.make import circuit_panels
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.kinds.names import KIND as NAMES
from atlas.kinds.names.make import LayerResponses, Namers, names_of
from atlas.kinds.natural import NaturalSpec
from atlas.kinds.natural.make import natural_panels
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.source import prepared
from atlas.pictures import progressive
from atlas.pictures.finished import finish
from atlas.pictures.recipes import ascend
from atlas.pictures.reference import render_one
from atlas.recipes import Progressive, unit_recipe
from atlas.wordnet import above, imagenet_synsets

WEIGHTS = os.environ.get("ATLAS_TEST_WEIGHTS", "")
IMAGES = os.environ.get("ATLAS_TEST_IMAGES", "")  # a folder of one per class, by WordNet id
SEEN_PX = 112  # of these photographs: a quarter of the work of 224

pytestmark = pytest.mark.skipif(
    not Path(WEIGHTS).is_file(), reason="ATLAS_TEST_WEIGHTS does not name a file"
)


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(AtlasSpec(weights=WEIGHTS), find_family("resnet50"))


def test_what_a_layer_is_told_to_take_in_is_what_it_took_in_training(network: Network):
    """Signals followed from BatchNorm to BatchNorm predict the next one's averages.

    After the max pool no averages are claimed: two layers read it.
    """
    signals = {layer: network.wiring[layer.name] for layer in network.facts.layers[1:-1]}
    known = {
        layer: signal
        for layer, signal in signals.items()
        if signal and signal.mean.isfinite().all()
    }
    assert len(known) == len(signals) - 2
    for layer, signal in known.items():
        predicted = (network.weight(layer).sum((2, 3)) * signal.mean).sum(1)
        seen = network.reader(layer).mean
        assert torch.corrcoef(torch.stack([predicted, seen]))[0, 1] > 0.97, layer.name


def test_the_circuits_of_the_whole_network_take_seconds_and_agree_with_the_walk(network: Network):
    layers = network.facts.layers
    started = time.process_time()
    panels = circuit_panels(network, layers, CircuitSpec())
    assert time.process_time() - started < 30
    for layer, panel in zip(layers[1:], panels[1:], strict=True):
        signal = network.wiring[layer.name]
        assert signal is not None and {each.layer for each in signal.writers} == set(layer.writers)
        assert len(panel.record.excited_by) == layer.n_units
    labels = network.facts.labels
    goldfish = panels[-1].record.excited_by[1][0]
    channel = panels[goldfish[0]].record.speaks_for[goldfish[1]]
    assert {"goldfish", "orange"} <= {labels[index] for _, index, _ in channel}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Two units each: everything of a shallow layer, pictures of a middle and of the last one."""
    folder = tmp_path_factory.mktemp("real")
    options = ["--weights", WEIGHTS, "--units", "1,9", "--preset", "preview"]
    places = ["--cache", str(folder / "cache"), "--out", str(folder / "site")]
    for part in (
        ["--layers", "conv1"],
        ["--layers", "layer3.0.conv2,fc", "--kinds", "excitatory,inhibitory,filter,circuit"],
    ):
        done = run(*options, *places, *part)
        assert done.code == 0, done.err
    return folder / "site"


def units(site: Path, layer: str) -> dict[int, dict]:
    data = json.loads((site / layer / "units.json").read_text())
    return {unit["index"]: unit for unit in data["units"]}


def test_the_whole_network_is_there(network: Network):
    assert network.facts.n_units == 27_560
    assert len(network.facts.layers) == 54
    assert (network.facts.labels[1], network.facts.labels[9]) == ("goldfish", "ostrich")


def test_some_units_are_turned_over_by_their_batch_norm(network: Network):
    """2.4 % of the scales of these weights are negative; any trained ResNet-50 has some."""
    norms = [layer.batch_norm for layer in network.facts.layers if layer.batch_norm]
    scales = [network.model.get_submodule(norm).weight for norm in norms]
    n_negative = sum(int((scale < 0).sum()) for scale in scales)
    assert 0 < n_negative < 0.1 * 26_560


@pytest.mark.parametrize("name", ["conv1", "layer1.0.conv1", "layer3.0.conv2"])
def test_a_short_batched_run_is_the_tutorials_loop(network: Network, name: str):
    """Short, since Adam's steps follow signs: where a gradient is all but zero, a rounding error
    turns one around, and in the next step one pixel becomes many. One picture in three may.
    """
    layer = network.facts.layer(name)
    units = layer.units[:3]
    recipe = Progressive(n_scales=1, blur_px=5, steps=2)
    images = progressive.ascend(network.tap(layer), units, recipe).final
    differences = []
    for image, unit in zip(images, units, strict=True):
        alone = torch.from_numpy(render_one(network.model, unit, recipe)).permute(2, 0, 1)
        differences.append((image - progressive.stretch(alone[None])[0]).abs().max().item())
    best, middle, worst = sorted(differences)
    assert best < 1e-4 and middle < 1e-4 and worst < 0.05, differences


def test_pictures_drive_their_units_far_above_the_noise(site: Path):
    for layer in ("conv1", "layer3.0.conv2"):
        for index in (1, 9):
            numbers = units(site, layer)[index]["numbers"]["excitatory"]
            assert numbers["z_max"] > 3


def test_class_pictures_raise_their_class(site: Path):
    for index in (1, 9):
        unit = units(site, "fc")[index]
        assert unit["label"] == {1: "goldfish", 9: "ostrich"}[index]
        numbers = unit["numbers"]["excitatory"]
        assert numbers["logit"] > numbers["logit_start"] + 10
        assert numbers["rank"] < 50  # of 1000, in a dozen steps on a small canvas


@pytest.mark.parametrize("name", ["layer1.0.conv2", "layer2.1.conv2"])
def test_short_cuts_and_half_precision_drive_units_as_far(network: Network, name: str):
    """On the whole: an ascent is chaotic, so single units differ, either way."""
    layer = network.facts.layer(name)
    recipe = unit_recipe("fourier", "preview", layer, network.facts, seed=0)
    exact, units = network.tap(layer), layer.units[:32]
    reached = []
    for tap in (exact, network.tap(layer, "bfloat16")):
        made = finish(ascend(tap, units, recipe), units, exact, ExcitatoryRecord)
        reached.append(sum(picture.record.score for picture in made.pictures()))
    assert reached[1] == pytest.approx(reached[0], rel=0.02)


@pytest.mark.skipif(not Path(IMAGES).is_dir(), reason="ATLAS_TEST_IMAGES does not name a folder")
def test_most_logits_are_named_and_nearly_all_names_are_the_class_or_what_it_is(network: Network):
    layer, photographs = network.facts.classifier, ImageFolder.of(Path(IMAGES))
    seen = prepared(network.facts.preprocessing, Preparation(input_size_px=SEEN_PX))
    natural = NaturalSpec(photographs.sha256, seen, n_sampled=10_000)
    watch = network.watch([layer], fastest_precision(torch.device("cpu")))  # as in a build
    (panel,) = natural_panels(watch, photographs, natural)
    spec = NAMES.spec(AtlasSpec(), layer, network.facts)
    namer = Namers(network.facts, spec).of(panel.record.sampled_classes, panel.record.classes)
    responses = torch.from_numpy(np.load(io.BytesIO(panel.data)))
    (record,) = names_of([LayerResponses(namer, lambda: responses)], spec)
    right = [
        record.concept_ids[nth] in above([network.facts.label_ids[index]], imagenet_synsets())
        for index, nth in enumerate(record.concept)
        if record.is_name[index]
    ]
    assert len(right) >= 0.5 * layer.n_units
    assert np.mean(right) >= 0.95
