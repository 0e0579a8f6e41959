"""What only a GPU can show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
import torch

from atlas.asked import AtlasSpec
from atlas.batching import Batching
from atlas.families import find_family
from atlas.kinds.excitatory import ExcitatoryRecord
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.taps import Tap
from atlas.pictures.finished import Finished, finish
from atlas.pictures.recipes import ascend
from atlas.recipes import Recipe, RecipeName, unit_recipe
from atlas.units import Unit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture(scope="module")
def network() -> Network:
    return load_network(AtlasSpec(), find_family("demo"), device="cuda")


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """Make it an error to wait for the GPU."""
    before = torch.cuda.get_sync_debug_mode()
    yield
    torch.cuda.set_sync_debug_mode(before)


def recipe_of(network: Network, layer_name: str, name: RecipeName) -> Recipe:
    return unit_recipe(name, "preview", network.facts.layer(layer_name), network.facts, seed=0)


def render_units(fast: Tap, exact: Tap, units: Sequence[Unit], recipe: Recipe) -> Finished:
    return finish(ascend(fast, units, recipe), units, exact, ExcitatoryRecord)


@pytest.mark.parametrize("recipe_name", ["fourier", "progressive"])
@pytest.mark.parametrize("layer_name", ["conv1", "layer2.1.conv2", "fc"])
def test_a_batch_is_asked_for_without_waiting_for_the_one_before(
    network, layer_name, recipe_name, no_waiting
):
    layer = network.facts.layer(layer_name)
    recipe = recipe_of(network, layer_name, recipe_name)
    render_units(*taps(network, layer_name), layer.units[:4], recipe).pictures()  # once: kernels
    torch.cuda.set_sync_debug_mode("error")
    fast, exact = taps(network, layer_name)
    Batching(network.device, network.facts).size(fast, layer.units, recipe)
    finished = render_units(fast, exact, layer.units[:4], recipe)
    torch.cuda.set_sync_debug_mode("default")
    assert [picture.unit.index for picture in finished.pictures()] == [0, 1, 2, 3]


def taps(network, layer_name):
    layer = network.facts.layer(layer_name)
    return network.tap(layer, "bfloat16"), network.tap(layer, "float32")


@pytest.mark.parametrize("layer_name", ["conv1", "layer1.0.conv2", "layer2.1.conv3", "fc"])
def test_half_precision_reaches_what_single_precision_reaches_on_the_processor(network, layer_name):
    layer = network.facts.layer(layer_name)
    recipe = recipe_of(network, layer_name, "fourier")
    host = load_network(AtlasSpec(), find_family("demo"))
    exact = host.tap(layer, "float32")
    ours = render_units(*taps(network, layer_name), layer.units, recipe).pictures()
    theirs = render_units(exact, exact, layer.units, recipe).pictures()
    reached, expected = (sum(picture.record.score for picture in each) for each in (ours, theirs))
    assert reached == pytest.approx(expected, rel=0.1)  # few units, short ascents
