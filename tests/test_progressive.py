"""The batched tutorial recipe is the tutorial's loop, and its resampling is OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from conftest import Planted, make_network, randomise

from atlas.pictures.progressive import ascend, box_blur, enlarge, stretch
from atlas.pictures.reference import render_one
from atlas.recipes import Progressive, unit_recipe


def as_opencv(images: torch.Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).contiguous().numpy()


@pytest.mark.parametrize(("small_px", "large_px"), [(56, 62), (83, 92), (229, 254)])
def test_enlarging_equals_opencv(small_px, large_px):
    images = torch.rand(1, 3, small_px, small_px)
    expected = cv2.resize(as_opencv(images), (large_px, large_px), interpolation=cv2.INTER_CUBIC)
    np.testing.assert_allclose(as_opencv(enlarge(images, large_px)), expected, atol=1e-5)


@pytest.mark.parametrize("width_px", [5, 7])
def test_blur_equals_opencv(width_px):
    images = torch.rand(1, 3, 62, 62)
    expected = cv2.blur(as_opencv(images), (width_px, width_px))
    np.testing.assert_allclose(as_opencv(box_blur(images, width_px)), expected, atol=1e-5)


@pytest.mark.parametrize("layer_name", ["conv1", "layer1.0.conv2", "layer1.1.conv1", "fc"])
def test_batched_equals_one_at_a_time(layer_name):
    model = randomise(Planted()).eval()
    network = make_network(model)
    recipe = Progressive(n_scales=2, blur_px=5, start_px=24, steps=4)
    layer = network.facts.layer(layer_name)
    expected = np.stack([render_one(model, unit, recipe) for unit in layer.units])
    shown = stretch(torch.from_numpy(expected).permute(0, 3, 1, 2))
    for batch in (layer.units, layer.units[:2], layer.units[1:2]):
        ascent = ascend(network.tap(layer), batch, recipe)
        rows = [unit.index for unit in batch]
        torch.testing.assert_close(ascent.final, shown[rows], atol=1e-4, rtol=0)


def test_the_tutorials_sizes():
    """Sizes reached in the tutorial: 254 px after 15 scales, 424 after 20, 711 after 25."""
    sizes = {n: Progressive(n_scales=n, blur_px=5).picture_px for n in (15, 20, 25)}
    assert sizes == {15: 254, 20: 424, 25: 711}


def test_scales_and_blur_per_kind_of_layer(planted):
    recipes = {
        layer.name: unit_recipe("progressive", "standard", layer, planted.facts, seed=0)
        for layer in planted.facts.layers
    }
    settings = {name: (recipe.n_scales, recipe.blur_px) for name, recipe in recipes.items()}
    assert settings["conv1"] == (20, 5)
    assert settings["layer1.0.conv2"] == (15, 5)
    assert settings["fc"] == (25, 7)
