"""The walk finds every unit with true facts; a tap reads what the network computes."""

from __future__ import annotations

import pytest
import torch
from conftest import Planted, make_network, randomise
from torchvision.models import resnet50

from atlas.network import Network, walk
from atlas.units import NetworkFacts


@pytest.fixture(scope="module")
def resnet_layers():
    return walk(resnet50().eval(), 224)


def test_resnet50_has_53_convs_and_27560_units(resnet_layers):
    convs = [layer for layer in resnet_layers if layer.kind == "conv"]
    assert len(convs) == 53
    assert sum(layer.n_units for layer in convs) == 26_560
    assert sum(layer.n_units for layer in resnet_layers) == 27_560
    assert [layer.index for layer in resnet_layers] == list(range(54))


def test_layers_come_in_forward_order_with_downsample_after_the_block_it_joins(resnet_layers):
    names = [layer.name for layer in resnet_layers]
    assert names[:5] == [
        "conv1",
        "layer1.0.conv1",
        "layer1.0.conv2",
        "layer1.0.conv3",
        "layer1.0.downsample.0",
    ]
    assert names[-1] == "fc"


@pytest.mark.parametrize(
    ("name", "field_px", "stride_px", "map_px"),
    [  # torchvision puts the stride on the 3x3; sizes counted by hand from the kernels
        ("conv1", 7, 2, 112),
        ("layer1.0.conv1", 11, 4, 56),
        ("layer1.0.conv2", 19, 4, 56),
        ("layer1.2.conv3", 35, 4, 56),
        ("layer2.0.conv2", 43, 8, 28),
        ("layer2.0.downsample.0", 35, 8, 28),
        ("layer3.5.conv3", 267, 16, 14),
        ("layer4.2.conv3", 427, 32, 7),
    ],
)
def test_receptive_fields_strides_and_maps(resnet_layers, name, field_px, stride_px, map_px):
    layer = next(layer for layer in resnet_layers if layer.name == name)
    assert (layer.receptive_field_px, layer.total_stride_px) == (field_px, stride_px)
    assert layer.output_px == (map_px, map_px)


def test_facts_around_a_layer(resnet_layers):
    layers = {layer.name: layer for layer in resnet_layers}
    assert layers["layer2.0.downsample.0"].batch_norm == "layer2.0.downsample.1"
    assert layers["layer3.1.conv2"].reads == "layer3.1.conv1"
    assert layers["layer3.1.conv1"].reads is None  # the residual stream, a sum
    assert layers["layer1.0.conv1"].reads == "conv1"
    assert (layers["conv1"].stage, layers["conv1"].block) == ("stem", None)
    assert (layers["layer3.1.conv2"].stage, layers["layer3.1.conv2"].block) == (
        "layer3",
        "layer3.1",
    )
    assert layers["fc"].kind == layers["fc"].stage == "classifier"


def test_macs_add_up_to_the_published_figure(resnet_layers):
    assert resnet_layers[-1].macs == pytest.approx(4.089e9, rel=1e-3)


def test_facts_survive_json(planted: Network):
    assert NetworkFacts.from_json(planted.facts.to_json()) == planted.facts


@pytest.mark.parametrize("precision", [None, "float32", "bfloat16"])
def test_tap_equals_a_hook_in_the_whole_network(precision):
    model = randomise(Planted())
    network = make_network(model)
    images = torch.rand(2, 3, 48, 48)
    tolerance = 0.03 if precision == "bfloat16" else 1e-5
    for layer in network.facts.layers:
        seen = []
        hook = model.get_submodule(layer.name).register_forward_hook(
            lambda _m, _i, output, seen=seen: seen.append(output.clone())
        )
        model(images)
        hook.remove()
        raw = network.tap(layer, precision)(images)
        expected = seen[0].view(raw.shape)
        error = (raw.float() - expected).abs().max() / expected.abs().max().clamp(min=1e-6)
        assert error < tolerance, layer.name


def test_sigmas_are_the_normalised_activation_turned_to_the_excitatory_side():
    model = randomise(Planted())
    network = make_network(model)
    layer = network.facts.layer("layer1.0.conv1")
    norm = model.layer1[0].bn1
    images, channels = torch.rand(4, 3, 48, 48), torch.arange(4)
    tap = network.tap(layer)
    raw = tap(images)
    z = tap.sigmas(tap.own_maps(images, channels), channels)
    gamma, beta = norm.weight.view(-1, 1, 1), norm.bias.view(-1, 1, 1)
    activation = norm(raw)[channels, channels]  # of image i, channel i
    assert (gamma < 0).any() and (gamma > 0).any()
    torch.testing.assert_close(gamma.abs() * z + beta, activation, atol=1e-5, rtol=1e-5)


def test_truncated_tap_holds_nothing_after_the_layer(planted: Network):
    tap = planted.tap(planted.facts.layer("conv1"))
    assert [name for name, _ in tap.named_parameters()] == ["module.weight"]
