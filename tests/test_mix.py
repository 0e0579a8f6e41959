"""Two planted units in one picture: each end is the one unit's picture, between them are both."""

from __future__ import annotations

import pytest
import torch
from conftest import GABOR_ANGLE_DEG, Planted, make_network, randomise
from test_fourier import RECIPE, angle_between, dominant

import atlas
from atlas.asked import AtlasSpec
from atlas.errors import SpecError
from atlas.network.network import Network
from atlas.on_demand import mix
from atlas.on_demand.mix import MixSpec
from atlas.on_demand.mix.make import make, mixed
from atlas.pictures.finished import quantise
from atlas.pictures.fourier import ascend
from atlas.renderer import Renderer

STRIPES, RED = 0, 2  # units of the planted conv1


@pytest.fixture(scope="module")
def demo() -> Network:
    return atlas.open_network("demo", device="cpu")


def pictures(network: Network, first: str, second: str) -> torch.Tensor:
    """The pictures for two units, (5, 3, N, N), uint8."""
    units = [network.facts.unit(unit_id) for unit_id in (first, second)]
    taps = [network.tap(network.facts.layer(unit.layer), "float32") for unit in units]
    return quantise(mixed(taps, units, MixSpec(first, second, RECIPE)))


def own_picture(network: Network, unit_id: str) -> torch.Tensor:
    unit = network.facts.unit(unit_id)
    tap = network.tap(network.facts.layer(unit.layer), "float32")
    return quantise(ascend(tap, [unit], RECIPE).final)[0]


def test_where_the_first_unit_has_all_the_weight_it_is_its_own_picture(planted: Network):
    first, *_ = pictures(planted, f"conv1:{STRIPES}", f"conv1:{RED}")
    own = own_picture(planted, f"conv1:{STRIPES}")
    assert (first.int() - own.int()).abs().max() <= 3
    angle_deg, _ = dominant(first.permute(1, 2, 0).numpy())
    assert angle_between(angle_deg, GABOR_ANGLE_DEG) < 10


def peaks(network: Network, first: str, second: str) -> list[tuple[float, ...]]:
    """What each of two units answers to each picture."""
    units = [network.facts.unit(unit_id) for unit_id in (first, second)]
    record, strip = make(Renderer(network), mix.request(*units, AtlasSpec(), network.facts))
    assert strip.shape[1] == len(record.shares) * strip.shape[0]
    return list(zip(*record.peaks, strict=True))


def test_between_the_ends_both_units_are_driven(planted: Network):
    stripes, red = peaks(planted, f"conv1:{STRIPES}", f"conv1:{RED}")
    # Red without green is somewhere in the stripes' picture too: red looks at a single pixel.
    assert stripes[-1] < 0.5 * stripes[0] and red[0] <= red[-1]
    assert stripes[2] > 0.6 * stripes[0] and red[2] > 0.8 * red[-1]


def test_units_of_different_layers_share_a_picture(demo: Network):
    shallow, deep = peaks(demo, "conv1:3", "layer2.1.conv2:7")
    assert deep[0] < 0.6 * deep[-1]
    assert shallow[2] > 0.75 * shallow[0] and deep[2] > 0.8 * deep[-1]


@pytest.mark.parametrize("second", ["layer2.1.conv2:11", "fc:3"])
def test_the_steps_lead_from_one_to_the_other_even_to_a_class(demo: Network, second: str):
    """Though a logit is a larger number than the sigmas of a channel."""
    first, other = peaks(demo, "layer2.1.conv2:3", second)
    # Last digits change the peak of a shared picture by up to a quarter, so two steps are added.
    assert sum(first[:2]) > 1.25 * sum(first[3:])
    assert sum(other[3:]) > 1.25 * sum(other[:2])
    assert first[1] > first[-1] + 0.4 * (first[0] - first[-1])
    assert other[1] > other[0] + 0.15 * (other[-1] - other[0])


def test_the_order_of_two_units_changes_the_page_and_settings_do_not(planted: Network):
    first, second = planted.facts.layer("conv1").units[:2]
    there = mix.request(first, second, AtlasSpec(), planted.facts)
    back = mix.request(second, first, AtlasSpec(), planted.facts)
    other = mix.request(first, second, AtlasSpec(seed=1), planted.facts)
    assert there.unit != back.unit
    assert there.unit == other.unit and there.spec != other.spec
    with pytest.raises(SpecError, match="given twice"):
        mix.request(first, first, AtlasSpec(), planted.facts)


def test_a_class_goes_with_a_channel_at_the_class_s_recipe():
    network = make_network(randomise(Planted()))
    facts = network.facts
    channel, answer = facts.layer("conv1").unit(0), facts.layer("fc").unit(1)
    request = mix.request(channel, answer, AtlasSpec(), facts)
    assert request.name == "conv1:0 with class 1 (fc:1)"
    assert isinstance(request.spec, MixSpec)
    assert request.spec.recipe.roughness > 0
