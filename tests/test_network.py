"""The walk finds every unit with true facts; a tap reads what the network computes."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import IMAGE_PX, HiddenLinear, Planted, make_network, randomise
from torch import Tensor, nn
from torchvision.models import AlexNet_Weights, alexnet, resnet50

from atlas.network.network import Network
from atlas.network.walk import walk
from atlas.units import Layer, NetworkFacts


@pytest.fixture(scope="module")
def resnet_layers():
    return walk(resnet50().eval(), 224)


def walked(model: nn.Module, size_px: int = IMAGE_PX) -> dict[str, Layer]:
    return {layer.name: layer for layer in walk(model.eval(), size_px)}


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


def test_hidden_linear_layers_are_told_from_the_classifier():
    with torch.device("meta"):
        model = alexnet()
    layers = walked(model.to_empty(device="cpu"), 224)
    linear = [layer for layer in layers.values() if not layer.is_conv]
    assert [(layer.name, layer.kind) for layer in linear] == [
        ("classifier.1", "hidden"),
        ("classifier.4", "hidden"),
        ("classifier.6", "classifier"),
    ]
    assert [layer.in_channels for layer in linear] == [256 * 6 * 6, 4096, 4096]
    assert {layer.output_px for layer in linear} == {(1, 1)}
    assert {layer.stage for layer in linear} == {"classifier"}
    published = AlexNet_Weights.IMAGENET1K_V1.meta["_ops"] * 1e9
    assert linear[-1].macs == pytest.approx(published, rel=1e-3)


def test_a_flattened_map_is_seen_whole_and_has_other_channels():
    layers = walked(HiddenLinear())
    # Of the conv a position sees 3 px at a stride of 2, of the pool 5 at 4, of its 12 positions
    # all: 5 + 11 * 4.
    assert layers["hidden"].receptive_field_px == 49
    assert layers["hidden"].writers == ()
    assert layers["fc"].writers == ("hidden",)
    assert layers["fc"].batch_norm is layers["hidden"].batch_norm is None
    assert layers["conv"].batch_norm == "bn"
    assert (layers["hidden"].score_name, layers["hidden"].sigma) == ("z", "measured")


class Functions(nn.Module):
    """All that is not a layer, as functions and methods."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.hidden, self.fc = nn.Linear(8 * 2 * 2, 8), nn.Linear(8, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(images)), 3, 2, 1)
        x = F.avg_pool2d(torch.relu(self.conv2(x)), kernel_size=2)
        x = F.adaptive_avg_pool2d(x, 2)
        x = F.relu(self.hidden(torch.flatten(x, 1)))
        return self.fc(F.dropout(x, training=False))


class Modules(Functions):
    """The same as modules."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.flat, self.dropout = nn.ReLU(), nn.Flatten(), nn.Dropout()
        self.pool, self.average = nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)
        self.adaptive = nn.AdaptiveAvgPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(images)))
        x = self.adaptive(self.average(self.relu(self.conv2(x))))
        return self.fc(self.dropout(self.relu(self.hidden(self.flat(x)))))


def test_functions_and_methods_are_followed_like_modules():
    assert walked(Functions()) == walked(Modules())
    layer = walked(Functions())["hidden"]
    # 3 (conv1), 5 at stride 2 (pool), 9 (conv2), 11 at 4 (average), 11 + 5 * 4 at 24 (adaptive,
    # six of twelve positions), and both of the two positions that are left.
    assert (layer.receptive_field_px, layer.total_stride_px) == (11 + 5 * 4 + 24, 48)


@pytest.mark.parametrize(
    "pooled",
    [
        lambda x: x.mean((2, 3)),
        lambda x: x.mean([-1, -2]),
        lambda x: F.avg_pool2d(x, x.size()[2:]).flatten(1),
        lambda x: F.adaptive_max_pool2d(x, 1).view(x.size(0), -1),
        lambda x: x.amax((2, 3)),
    ],
)
def test_a_pooled_map_is_seen_whole_and_keeps_its_channels(pooled):
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 4, 5, padding=2), nn.Linear(4, 2)

        def forward(self, images):
            return self.fc(pooled(self.conv(images)))

    layer = walked(Model())["fc"]
    assert (layer.receptive_field_px, layer.total_stride_px) == (5 + 47, 48)
    assert layer.macs == 4 * 3 * 25 * 48 * 48 + 8


class Joined(nn.Module):
    """Two convs whose maps are joined in some way before a third reads them."""

    def __init__(self, join, n_joined: int = 4) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 3, padding=1)
        self.reader = nn.Conv2d(n_joined, 2, 1)
        self.join = join

    def forward(self, images: Tensor) -> Tensor:
        return self.reader(self.join(self.left(images), self.right(images)))


@pytest.mark.parametrize(
    "between",
    [
        lambda left, right: torch.cat(left.chunk(2, 1)[::-1], 1),
        lambda left, right: left.view(-1, 2, 2, 48, 48).transpose(1, 2).reshape(-1, 4, 48, 48),
        lambda left, right: left * F.adaptive_avg_pool2d(right, 1).sigmoid() + left,
    ],
    ids=["halves", "shuffled", "gated"],
)
def test_what_keeps_positions_keeps_their_stride(between):
    layers = walked(Joined(between))
    assert layers["reader"].total_stride_px == 1
    assert layers["reader"].output_px == (48, 48)


class Shuffled(nn.Module):
    """One of two maps, with its channels in another order."""

    def __init__(self) -> None:
        super().__init__()
        self.shuffle = nn.ChannelShuffle(2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.shuffle(left)


@pytest.mark.parametrize(
    ("join", "n_joined", "writers"),
    [
        (lambda left, right: left + right, 4, ("left", "right")),
        (lambda left, right: torch.relu(left).add(right), 4, ("left", "right")),
        (lambda left, right: left * 2.0, 4, ("left",)),
        (lambda left, right: torch.cat([left, right], 1), 8, ("left", "right")),
        (lambda left, right: torch.cat([left, right.mean(1, keepdim=True)], 1), 5, ()),
        (lambda left, right: left * right.sigmoid(), 4, ("left",)),
        (lambda left, right: left * right, 4, ()),
        (lambda left, right: left.chunk(2, 1)[0], 2, ("left",)),
        (lambda left, right: left.mean(1, keepdim=True), 1, ()),
        (lambda left, right: F.pixel_unshuffle(left, 2), 16, ()),
        (Shuffled(), 4, ("left",)),
    ],
    ids=[
        *("sum", "method", "scaled", "joined", "joined with an average", "gated", "multiplied"),
        *("a part", "averaged", "unshuffled", "shuffled"),
    ],
)
def test_writers_are_named_where_each_channel_has_one_in_every_layer(join, n_joined, writers):
    assert walked(Joined(join, n_joined))["reader"].writers == writers


def test_facts_survive_json(planted: Network):
    assert NetworkFacts.from_json(planted.facts.to_json()) == planted.facts


@pytest.mark.parametrize("precision", [None, "float32", "bfloat16"])
@pytest.mark.parametrize("make", [Planted, HiddenLinear])
def test_tap_equals_a_hook_in_the_whole_network(make, precision):
    model = randomise(make())
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


@pytest.mark.parametrize("make", [Planted, HiddenLinear])
def test_a_watch_reads_every_layer_as_its_tap_does(make):
    network = make_network(randomise(make()))
    images = torch.rand(2, 3, IMAGE_PX, IMAGE_PX)
    for reader, sigmas in network.watch(network.facts.layers).sigmas(images):
        tap = network.tap(reader.layer)
        expected = tap.all_sigmas(tap(tap.normalise(images)))
        torch.testing.assert_close(sigmas, expected, atol=1e-4, rtol=1e-4)
        assert network.weight(reader.layer).shape == (
            reader.layer.n_units,
            reader.layer.in_channels,
            *reader.layer.kernel,
        )


def test_a_layer_that_is_called_twice_is_one_layer():
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 2)

        def forward(self, images):
            return self.fc(self.conv(self.conv(images)).mean((2, 3)))

    network = make_network(Model())
    assert [layer.name for layer in network.facts.layers] == ["conv", "fc"]
    assert network.wiring["conv"] is None


class Pointwise(nn.Module):
    """A linear layer at every position, between two convs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.mix = nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4, 6)
        self.act, self.last, self.fc = nn.GELU(), nn.Conv2d(6, 4, 3), nn.Linear(4, 2)

    def forward(self, images):
        maps = self.act(self.mix(self.conv(images).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return self.fc(self.last(maps).mean((2, 3)))


def test_a_linear_layer_at_every_position_is_a_convolution_of_one_pixel():
    network = make_network(randomise(Pointwise()))
    conv, mix, last, _ = network.facts.layers
    assert (mix.kind, mix.has_maps, mix.kernel, mix.output_px) == (
        "pointwise",
        True,
        (1, 1),
        (24, 24),
    )
    assert (mix.inputs, mix.writers, last.inputs) == (("conv",), ("conv",), ("mix",))
    assert mix.receptive_field_px == conv.receptive_field_px == 3
    assert mix.macs - conv.macs == 4 * 6 * 24 * 24
    images, channels = torch.rand(6, 3, IMAGE_PX, IMAGE_PX), torch.arange(6)
    seen = network.model.mix(network.model.conv(images).permute(0, 2, 3, 1))
    expected = seen.permute(0, 3, 1, 2)
    tap, quick = network.tap(mix), network.tap(mix, "float32")
    torch.testing.assert_close(tap(images), expected)
    own = expected[channels, channels]
    torch.testing.assert_close(quick.own_maps(images, channels), own)
    torch.testing.assert_close(quick.own_maps(images, channels, 3), own[:, 3:-3, 3:-3])


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


class Viewed(nn.Module):
    """A convolution whose map is flattened with `view`, as tutorials do; untraceable if asked."""

    def __init__(self, is_traceable: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.hidden = nn.Linear(4 * 12 * 12, 5)
        self.fc = nn.Linear(5, 3)
        self.is_traceable = is_traceable

    def forward(self, images: Tensor) -> Tensor:
        maps = F.max_pool2d(torch.relu(self.conv(images)), 2)
        if not self.is_traceable and maps.sum() > 1e9:
            maps = maps * 2
        return self.fc(torch.relu(self.hidden(maps.view(maps.size(0), -1))))


@pytest.mark.parametrize("is_traceable", [True, False])
def test_maps_that_are_viewed_as_vectors_are_read(is_traceable):
    model = randomise(Viewed(is_traceable))
    network = make_network(copy.deepcopy(model), 24)
    assert all(layer.is_traced == is_traceable for layer in network.layers)
    images = torch.rand(2, 3, 24, 24)
    expected = model(images)
    logits = network.tap(network.facts.layer("fc"))(images)[:, :, 0, 0]
    torch.testing.assert_close(logits, expected)
    answers = {reader.layer.name: z for reader, z in network.watch(network.layers).sigmas(images)}
    assert set(answers) == {"conv", "hidden", "fc"}


class Enlarged(nn.Module):
    """Maps that are halved, enlarged again and joined with those before, as in a U-Net."""

    def __init__(self, *, rounds_up: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.deep = nn.Conv2d(4, 4, 3, padding=1)
        self.joined = nn.Conv2d(8, 4, 3, padding=1)
        self.last = nn.Conv2d(8, 5, 3, padding=1)
        self.halve = nn.MaxPool2d(2, ceil_mode=rounds_up)

    def forward(self, images: Tensor) -> Tensor:
        first = torch.relu(self.first(images))
        second = torch.relu(self.second(self.halve(first)))
        deep = torch.relu(self.deep(self.halve(second)))
        joined = self.joined(torch.cat([second, F.interpolate(deep, scale_factor=2.0)], 1))
        return self.last(torch.cat([first, F.interpolate(joined, scale_factor=2.0)], 1))


@pytest.mark.parametrize("size_px", [40, 48, 64, 100])
@pytest.mark.parametrize("rounds_up", [False, True])
def test_what_joins_enlarged_maps_takes_images_of_one_size(size_px: int, rounds_up: bool):
    layers = {layer.name: layer for layer in walk(Enlarged(rounds_up=rounds_up).eval(), size_px)}
    assert {name: layer.takes_one_size for name, layer in layers.items()} == {
        "first": False,
        "second": False,
        "deep": False,
        "joined": True,
        "last": True,
    }


RESIZERS = {
    "nearest": lambda: nn.Upsample(scale_factor=4),
    "bilinear": lambda: nn.Upsample(scale_factor=2, mode="bilinear"),
    "bicubic": lambda: nn.Upsample(scale_factor=2, mode="bicubic"),
    "smaller": lambda: nn.Upsample(scale_factor=0.5),
    "smaller, bilinear": lambda: nn.Upsample(scale_factor=0.5, mode="bilinear"),
    "transposed": lambda: nn.ConvTranspose2d(4, 4, 2, stride=2),
    "overlapping": lambda: nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1),
    "lopsided": lambda: nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1),
}


@pytest.mark.parametrize("name", RESIZERS)
def test_fields_after_maps_were_resized_hold_what_the_gradient_reaches(name: str):
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 3, 4, 1), RESIZERS[name](), nn.Conv2d(4, 2, 1)),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)),
    ).double()
    layer = walk(model.float().eval(), 64)[1]
    images = torch.rand(1, 3, 64, 64, dtype=torch.double, requires_grad=True)
    maps = model.double()[:3](images)
    assert layer.output_px == tuple(maps.shape[2:])
    assert layer.total_stride_px == 64 // maps.shape[2]
    reach_px = (layer.receptive_field_px - 1) / 2
    room_px = []  # in the field, above and below what the gradient reaches
    for row in range(len(maps[0, 0]) // 4, len(maps[0, 0]) * 3 // 4):
        (gradient,) = torch.autograd.grad(maps[0, 0, row].sum(), images, retain_graph=True)
        rows = gradient.abs().sum((0, 1, 3)).nonzero()[:, 0]
        centre_px = layer.field_centre_px + row * layer.total_stride_px
        room_px.append((int(rows[0]) - centre_px + reach_px, centre_px + reach_px - int(rows[-1])))
    above, below = (min(room) for room in zip(*room_px, strict=True))
    assert 0 <= above <= 2 and 0 <= below <= 2  # its centre is a whole or a half pixel
