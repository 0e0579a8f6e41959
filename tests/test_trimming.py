"""What is left of trimmed maps is what the whole maps have there, and so are its gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from conftest import Planted, make_network, randomise
from torch import nn
from torch.nn import functional as F
from torchvision import models
from torchvision.models import resnet50
from torchvision.ops import SqueezeExcitation

from atlas.asked import AtlasSpec
from atlas.families import find_family
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.shortcuts import UnstridedConv
from atlas.network.taps import Tap
from atlas.network.trimming import NOTHING, Trim, cut, trim_module
from atlas.pictures.fourier import unread_rim
from atlas.recipes import Fourier, Stage, unit_recipe


def check_inside(
    tap: Tap, size_px: int, n_unread: int, units: tuple[int, int] | None = None
) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, size_px, size_px, generator=generator).requires_grad_(True)
    channels = torch.tensor(units or (0, tap.layer.n_units - 1))
    whole = cut(tap.own_maps(images, channels), n_unread)
    inside = tap.own_maps(images, channels, n_unread)
    assert inside.shape == whole.shape
    assert min(inside.shape) > 0
    for given, expected in (
        (inside, whole),
        (gradient(inside, images), gradient(whole, images)),
    ):
        scale = expected.abs().max()
        assert scale > 0
        torch.testing.assert_close(given / scale, expected / scale, atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def small_network() -> Network:
    return load_network(AtlasSpec(), find_family("demo"))


def gradient(maps: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(maps.square().sum(), images)
    return found


@pytest.mark.parametrize("n_unread", [1, 2, 3])
@pytest.mark.parametrize("size_px", [64, 71])
def test_every_layer_of_a_small_network(small_network, size_px, n_unread):
    for layer in small_network.facts.layers[:-1]:
        check_inside(small_network.tap(layer, "float32"), size_px, n_unread)
        check_inside(small_network.tap(layer), size_px, n_unread)


@pytest.mark.parametrize("layer", ["conv1", "layer1.1.conv1", "layer1.1.conv2"])
def test_wide_kernels_and_units_that_are_not_read_alone(layer):
    network = make_network(randomise(Planted()))
    check_inside(network.tap(network.facts.layer(layer)), 40, 6)


@pytest.fixture(scope="module")
def random_resnet() -> Network:
    torch.manual_seed(0)
    return make_network(resnet50(num_classes=10), input_size_px=224)


@pytest.mark.parametrize("name", ["conv1", "layer1.2.conv2", "layer2.0.downsample.0"])
def test_layers_of_a_resnet_with_the_rims_of_their_recipes(random_resnet, name):
    layer = random_resnet.facts.layer(name)
    recipe = unit_recipe("fourier", "standard", layer, random_resnet.facts, seed=0)
    assert isinstance(recipe, Fourier)
    size_px = recipe.stages[0].size_px
    n_unread = unread_rim(recipe, layer, size_px)
    assert n_unread > 0
    check_inside(random_resnet.tap(layer, "float32"), size_px, n_unread)


@pytest.mark.parametrize("size_px", [40, 44, 50])
def test_of_a_single_field_the_middle_is_left(small_network, size_px):
    for layer in small_network.facts.layers[:-1]:
        recipe = Fourier((Stage(size_px, 1),), margin_px=0, objective="centre")
        n_unread = unread_rim(recipe, layer, size_px)
        tap = small_network.tap(layer, "float32")
        images = torch.randn(2, 3, size_px, size_px)
        channels = torch.tensor([0, 1])
        whole = tap.own_maps(images, channels)
        part = tap.own_maps(images, channels, n_unread)
        assert part.shape[-1] in (1, 2, 3)
        torch.testing.assert_close(tap.middle(part), tap.middle(whole), rtol=1e-4, atol=1e-4)


def test_less_is_computed_of_all_that_leads_there(random_resnet):
    tap = random_resnet.tap(random_resnet.facts.layer("layer2.1.conv2"), "float32")
    assert heights_px(tap, 0) == [16, 32, 32, 32, 64]
    # Of the tap's map four rows on each side, of what it reads three; then the stride doubles what
    # is left out, every 3x3 takes one of it, and the pool's stride doubles it once more.
    assert heights_px(tap, 4) == [16 - 2 * 3, 32 - 2 * 5, 32 - 2 * 4, 32 - 2 * 3, 64 - 2 * 3]


def heights_px(tap: Tap, n_unread: int) -> list[int]:
    """Of the maps of all kernels larger than 1x1 before the tap, from back to front."""
    image, found = torch.zeros(1, 3, 128, 128), []
    tap.own_maps(image, torch.tensor([0]), n_unread)
    extractor = tap._ways[n_unread, False].extractor
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, maps: found.append(maps.shape[2]))
        for module in extractor.modules()
        if isinstance(module, nn.Conv2d | UnstridedConv) and module.kernel_size != (1, 1)
    ]
    extractor(image)
    for hook in hooks:
        hook.remove()
    return found[::-1]


def test_only_what_can_be_left_out_is():
    conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)
    short, trim = trim_module(conv, 2)
    assert trim == Trim(made=2, read=3)
    assert isinstance(short, nn.Conv2d)
    assert short.weight is conv.weight
    assert conv.padding == (1, 1)
    assert trim_module(conv, 0) == (conv, NOTHING)
    wide = nn.Conv2d(3, 4, 7, stride=2, padding=3)
    assert trim_module(wide, 1) == (wide, NOTHING)  # its second position reads the padding
    flat = nn.Conv2d(3, 4, (1, 3), padding=(0, 1))
    assert trim_module(flat, 2) == (flat, NOTHING)
    pool = nn.AdaptiveAvgPool2d(1)
    assert trim_module(pool, 2) == (pool, NOTHING)


def test_of_small_maps_the_middle_is_kept():
    """Code that crops maps may leave fewer rows than strides fit into an image."""
    maps = torch.arange(35.0).view(5, 7)
    assert torch.equal(cut(maps, 1), maps[1:-1, 1:-1])
    assert torch.equal(cut(maps, 9), maps[2:3, 3:4])
    assert cut(torch.zeros(1, 4, 6), 9).shape == (1, 2, 2)


def test_the_rim_is_what_the_margin_covers_and_leaves_something(small_network):
    network = small_network
    recipe = Fourier((Stage(64, 1),), margin_px=9, objective="power")
    rims = {layer.name: unread_rim(recipe, layer, 64) for layer in network.facts.layers}
    assert rims["conv1"] == 5
    assert rims["layer1.0.conv2"] == 3
    assert rims["layer2.1.conv3"] == 2
    assert rims["fc"] == 0
    middle = dataclasses.replace(recipe, objective="centre")
    assert unread_rim(middle, network.facts.layer("conv1"), 64) == 15  # of 32: two are left
    assert (
        unread_rim(dataclasses.replace(recipe, objective="layer"), network.facts.layers[0], 64) == 0
    )
    assert unread_rim(recipe, network.facts.layer("layer2.1.conv3"), 24) == 1
    assert unread_rim(recipe, network.facts.layer("layer2.1.conv3"), 8) == 0


KINDS = (
    *("alexnet", "vgg11_bn", "squeezenet1_1", "densenet121", "googlenet", "inception_v3"),
    *("mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "shufflenet_v2_x0_5", "resnext50_32x4d"),
    *("efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "convnext_tiny"),
)


@pytest.mark.parametrize("name", KINDS)
def test_layers_of_all_kinds_of_networks_are_the_same_where_they_are_left(name):
    torch.manual_seed(0)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model = models.get_model_builder(name)(weights=None, num_classes=10, **options)
    network = make_network(randomise(model), 96)
    layers = [layer for layer in network.facts.layers if min(layer.output_px) >= 5]
    for layer in layers[1 :: max(1, len(layers) // 6)]:
        tap = network.tap(layer, "float32")
        responses = tap(torch.randn(1, 3, 96, 96)).detach()
        first, second = responses.std((0, 2, 3)).topk(2).indices.tolist()  # none of them is dead
        check_inside(tap, 96, 1 if min(layer.output_px) < 9 else 2, (first, second))


class Around(nn.Module):
    """Something between two convs whose output's rim is not wanted."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.between = between
        self.last = nn.Conv2d(6, 4, 3, padding=1)
        self.fc = nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.last(self.between(self.first(images))).mean((2, 3)))


class Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return self.function(maps)


class OwnPadding(nn.Conv2d):
    """A conv that pads by itself, more on one side."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return super().forward(F.pad(maps, (0, 2, 0, 2)))


class Scaled(nn.Module):
    """Multiplies by a tensor that differs between positions, or only between channels."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(shape))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps * self.scale + self.scale


def pooled_and_spread(maps: torch.Tensor) -> torch.Tensor:
    pooled = F.adaptive_avg_pool2d(maps, 1)
    return maps + F.interpolate(pooled, maps.shape[-2:]).relu()


def overwritten(maps: torch.Tensor) -> torch.Tensor:
    rectified = F.max_pool2d(maps.relu_(), 3, 1, 1)
    return maps + rectified


BETWEEN = {
    "same": nn.Conv2d(6, 6, 3, padding="same"),
    "reflected": nn.Conv2d(6, 6, 3, padding=1, padding_mode="reflect"),
    "own padding": OwnPadding(6, 6, 3),
    "depthwise": nn.Conv2d(6, 6, 3, padding=1, groups=6),
    "dilated": nn.Conv2d(6, 6, 3, padding=2, dilation=2),
    "strided": nn.Conv2d(6, 6, 3, stride=2, padding=1),
    "pool": nn.MaxPool2d(3, 2, 1),
    "pool that reaches over": nn.MaxPool2d(3, 2, ceil_mode=True),
    "padded pool that reaches over": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
    "average": nn.AvgPool2d(3, 1, 1),
    "average that leaves out": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "gate": SqueezeExcitation(6, 3),
    "gate of positions": Function(lambda maps: maps * maps.mean(1, keepdim=True).sigmoid()),
    "gate of rows": Function(lambda maps: maps * maps.mean(3, keepdim=True).sigmoid()),
    "gate of vectors": Function(lambda x: x * x.mean((2, 3)).sigmoid()[:, :, None, None]),
    "strongest": Function(lambda maps: maps - maps.amax((2, 3), keepdim=True)),
    "layer norm": nn.GroupNorm(1, 6),
    "channels last": Function(lambda x: F.gelu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)),
    "upsampled": nn.Upsample(scale_factor=2),
    "pooled and spread": Function(pooled_and_spread),
    "concatenated": Function(lambda maps: torch.cat([maps[:, :3], maps[:, 3:].relu()], 1)),
    "rows concatenated": Function(lambda maps: torch.cat([maps, maps.relu()], 2)),
    "turned over": Function(lambda maps: maps.flip(3) + maps),
    "scale of channels": Scaled(6, 1, 1),
    "scale of positions": Scaled(6, 24, 24),
    "scale of columns": Scaled(24),
    "one scale": Scaled(1),
    "no dims": Scaled(),
    "slopes": nn.PReLU(6),
    "overwritten": Function(overwritten),
    "its size": Function(lambda maps: maps / maps.shape[-1] + maps.size(2)),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_is_between_layers_is_cut_or_left_whole(name):
    torch.manual_seed(0)
    network = make_network(Around(BETWEEN[name]), 24)
    check_inside(network.tap(network.facts.layer("last"), "float32"), 24, 3)


def test_a_gate_reads_its_whole_map_and_what_it_multiplies_is_cut():
    network = make_network(Around(nn.Sequential(SqueezeExcitation(6, 3), nn.Conv2d(6, 6, 1))), 24)
    tap = network.tap(network.facts.layer("last"), "float32")
    tap.own_maps(torch.zeros(1, 3, 24, 24), torch.tensor([0]), 4)
    sizes = {}
    for name, module in tap._ways[4, False].extractor.named_modules():
        if isinstance(module, nn.Conv2d | nn.AdaptiveAvgPool2d):
            module.register_forward_hook(
                lambda _module, maps, _output, name=name: sizes.update({name: maps[0].shape[-1]})
            )
    tap._ways[4, False].extractor(torch.zeros(1, 3, 24, 24))
    assert sizes["between.0.avgpool"] == 24
    assert min(sizes["between.0.fc1"], sizes["between.0.fc2"]) == 1
    (last,) = (size for name, size in sizes.items() if "between_1" in name)
    assert last == 24 - 2 * 3
