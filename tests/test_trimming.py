"""What is left of trimmed maps is what the whole maps have there, and so are its gradients."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from conftest import Planted, make_network, randomise
from torch import nn
from torchvision.models import resnet50

from atlas.asked import AtlasSpec
from atlas.families import find_family
from atlas.network.load import load_network
from atlas.network.network import Network
from atlas.network.shortcuts import UnstridedConv
from atlas.network.taps import Tap
from atlas.network.trimming import NOTHING, Trim, cut, trim_module
from atlas.pictures.fourier import unread_rim
from atlas.recipes import Fourier, Stage, unit_recipe


def check_inside(tap: Tap, size_px: int, n_unread: int) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, 3, size_px, size_px, generator=generator).requires_grad_(True)
    channels = torch.tensor([0, tap.layer.n_units - 1])
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


def small_network() -> Network:
    return load_network(AtlasSpec(), find_family("demo"))


def gradient(maps: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(maps.square().sum(), images)
    return found


@pytest.mark.parametrize("n_unread", [1, 2, 3])
@pytest.mark.parametrize("size_px", [64, 71])
def test_every_layer_of_a_small_network(size_px, n_unread):
    network = small_network()
    for layer in network.facts.layers[:-1]:
        check_inside(network.tap(layer, "float32"), size_px, n_unread)
        check_inside(network.tap(layer), size_px, n_unread)


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
def test_of_a_single_field_the_middle_is_left(size_px):
    network = small_network()
    for layer in network.facts.layers[:-1]:
        recipe = Fourier((Stage(size_px, 1),), margin_px=0, objective="centre")
        n_unread = unread_rim(recipe, layer, size_px)
        tap = network.tap(layer, "float32")
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
    extractor = tap._ways[n_unread].extractor
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


def test_the_rim_is_what_the_margin_covers_and_leaves_something():
    network = small_network()
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
