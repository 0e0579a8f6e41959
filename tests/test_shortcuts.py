"""Every shortcut gives what the long way gives."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from conftest import IMAGE_PX, HiddenLinear, Planted, make_network, randomise
from torch import fx, nn
from torch.nn import functional

from atlas.asked import AtlasSpec
from atlas.families import find_family
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.shortcuts import UnstridedConv, own_maps, pays_alone, pooled_first, shortened
from atlas.units import Layer


def images(n: int, size_px: int = IMAGE_PX, channels: int = 3) -> torch.Tensor:
    return torch.randn(n, channels, size_px, size_px, generator=torch.Generator().manual_seed(1))


def close(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("size_px", [16, 17, 18, 19, 23])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(7, 2, 3), (3, 2, 1), (4, 2, 0), (5, 3, 2), (2, 4, 0)]
)
def test_a_conv_without_its_stride_is_the_same_function(kernel, stride, padding, size_px):
    conv = nn.Conv2d(3, 5, kernel, stride, padding)
    ours = UnstridedConv(conv)
    image, same = (images(2, size_px).requires_grad_(True) for _ in range(2))
    expected, given = conv(image), ours(same)
    assert given.shape == expected.shape
    close(given, expected)
    pull = torch.randn_like(expected)
    expected.backward(pull)
    given.backward(pull)
    close(same.grad, image.grad)


def small_network() -> Network:
    """Trained, and with a stride in its stem."""
    return load_network(AtlasSpec(), find_family("demo"))


def layer_of(conv: nn.Module) -> Layer:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv
            self.fc = nn.Linear(7, 2)

        def forward(self, maps):
            return self.fc(self.conv(maps).mean((2, 3)))

    network = make_network(Model())
    return network.facts.layer("conv")


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (1, {}),
        (1, {"stride": 2}),
        ((1, 3), {"padding": (0, 1), "bias": False}),
        (1, {"stride": 2, "padding": 1}),
    ],
)
def test_one_channel_alone_is_what_the_conv_gives_it(kernel, options):
    conv = nn.Conv2d(3, 7, kernel, **options)
    layer = layer_of(conv)
    assert pays_alone(layer)
    check_alone(conv, layer, images(4, 11))


@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},
        {"padding": 1, "stride": 2},
        {"padding": 2, "dilation": 2},
        {"padding": 0, "stride": (2, 1), "bias": False},
    ],
)
def test_one_channel_of_a_larger_kernel_is_what_the_conv_gives_it(options):
    conv = nn.Conv2d(3, 7, 3, **options)
    check_alone(conv, layer_of(conv), images(4, 12))


def check_alone(conv: nn.Conv2d, layer: Layer, inputs: torch.Tensor) -> None:
    channels = torch.tensor([6, 0, 3, 3])
    one, other = (inputs.clone().requires_grad_(True) for _ in range(2))
    expected = conv(one)[torch.arange(4), channels]
    given = own_maps(conv, layer, other, channels)
    close(given, expected)
    pull = torch.randn_like(expected)
    expected.backward(pull)
    given.backward(pull)
    close(other.grad, one.grad)


@pytest.mark.parametrize(
    ("n_inputs", "n_units", "options"),
    [
        (7, 7, {"groups": 7, "padding": 1}),
        (7, 14, {"groups": 7, "padding": 2, "dilation": 2, "bias": False}),
        (8, 12, {"groups": 4, "stride": 2}),
    ],
)
def test_one_channel_of_a_grouped_conv_is_what_the_conv_gives_it(n_inputs, n_units, options):
    conv = nn.Conv2d(n_inputs, n_units, 3, **options)
    whole = layer_of(nn.Conv2d(3, 7, 3, **{**options, "groups": 1}))
    layer = dataclasses.replace(whole, groups=conv.groups, n_units=n_units, in_channels=n_inputs)
    assert pays_alone(layer)
    check_alone(conv, layer, images(4, 12, n_inputs))


def test_kernels_larger_than_their_input_are_left_to_the_conv():
    layer = layer_of(nn.Conv2d(3, 7, 1))
    assert pays_alone(layer)
    assert not pays_alone(dataclasses.replace(layer, kernel=(7, 7)))


@pytest.mark.parametrize("make", [Planted, HiddenLinear])
def test_the_shortened_network_answers_as_the_long_one(make):
    model = randomise(make()).eval()
    network = make_network(model)
    short = shortened(copy.deepcopy(model), network.facts.layers)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in short.modules())
    close(short(images(3)), model(images(3)))


@pytest.mark.parametrize("make", [Planted, HiddenLinear])
def test_quicker_and_rounded_copies_leave_the_network_as_it_was(make):
    network = make_network(randomise(make()))
    before = copy.deepcopy(network.model.state_dict())
    for layer in network.layers:
        network.tap(layer, "bfloat16")
        network.tap(layer, "float32")
    after = network.model.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert {tensor.dtype for tensor in after.values()} == {t.dtype for t in before.values()}


class Pools(nn.Module):
    """A ReLU before each of two poolings; what the second rectifies is wanted as it is, too."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.conv = nn.Conv2d(3, 3, 3)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(self.pool(self.relu(images * 1)))
        rectified = self.relu(maps)
        return self.pool(rectified) - rectified.mean()


def test_what_is_rectified_and_pooled_is_pooled_first():
    model = Pools()
    quick = pooled_first(fx.symbolic_trace(copy.deepcopy(model)))
    order = [node.name.split("_")[0] for node in quick.graph.nodes if node.op == "call_module"]
    assert order == ["pool", "relu", "conv", "relu", "pool"]
    sides = [images(2, 17).requires_grad_(True) for _ in range(2)]
    for side, each in zip(sides, (model, quick), strict=True):
        each(side).square().sum().backward()
    close(quick(sides[0]), model(sides[0]))
    close(sides[1].grad, sides[0].grad)


@pytest.mark.parametrize(
    ("function", "pool", "is_moved"),
    [
        (nn.ReLU6(), nn.MaxPool2d(2), True),
        (nn.Sigmoid(), nn.MaxPool2d(2), True),
        (functional.relu, nn.MaxPool2d(3, 2, 1), True),
        (nn.Hardtanh(), lambda maps: functional.max_pool2d(maps, 2, stride=1), True),
        (lambda maps: maps.clamp(min=0.1), nn.MaxPool2d(2), True),
        (nn.SiLU(), nn.MaxPool2d(2), False),
        (nn.GELU(), nn.MaxPool2d(2), False),
        (nn.PReLU(3), nn.MaxPool2d(2), False),  # its slopes may be negative
        (nn.ReLU(), nn.AvgPool2d(2), False),
        (nn.ReLU(), nn.MaxPool2d(2, return_indices=True), False),
    ],
)
def test_only_functions_that_never_fall_are_moved_behind_a_pool(function, pool, is_moved):
    gives_indices = isinstance(pool, nn.MaxPool2d) and pool.return_indices

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.function, self.pool = nn.Conv2d(3, 3, 3), function, pool

        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            pooled = self.pool(self.function(self.conv(maps)))
            return pooled[0] if gives_indices else pooled

    model = Model()
    graph = fx.symbolic_trace(copy.deepcopy(model))
    before = [node.name for node in graph.graph.nodes]
    quick = pooled_first(graph)
    assert ([node.name for node in quick.graph.nodes] != before) == is_moved
    close(quick(images(2, 17)), model(images(2, 17)))


def test_taps_pool_a_stem_first():
    network = small_network()
    tap = network.tap(network.facts.layers[2], "float32")
    called = [node.target for node in tap.extractor.graph.nodes if node.op == "call_module"]
    assert called.index("maxpool") < called.index("relu")


@pytest.mark.parametrize(
    "make",
    [small_network, lambda: make_network(randomise(HiddenLinear()))],
    ids=["small", "hidden"],
)
def test_a_tap_gives_each_image_its_own_unit(make):
    network = make()
    for layer in network.facts.layers:
        channels = torch.arange(3) * 3 % layer.n_units
        whole, own = network.tap(layer), network.tap(layer, "float32")
        assert own.own_only == pays_alone(layer)
        unstrided = [m for m in own.extractor.modules() if isinstance(m, UnstridedConv)]
        assert len(unstrided) == (layer.index > 0)
        expected = whole(images(3))[torch.arange(3), channels]
        scale = expected.abs().max()
        close(own.own_maps(images(3), channels) / scale, expected / scale)
        close(whole.own_maps(images(3), channels) / scale, expected / scale)
