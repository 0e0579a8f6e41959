"""Weight pictures, computed by hand."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from atlas.kinds.filter import KIND, FilterRecord, FilterSpec
from atlas.kinds.filter.make import NEGATIVE, POSITIVE, diverging, filter_picture, make
from atlas.kinds.filter.montage import Montage
from atlas.network.network import Network
from atlas.plan import Job
from atlas.renderer import Renderer

ALIKE = np.ones(8, np.float32)  # inputs that all move as far


def layer_like(planted: Network, name: str = "layer1.0.conv2", **changes):
    return dataclasses.replace(planted.facts.layer(name), **changes)


def test_image_filters_are_stretched_from_their_minimum_to_their_maximum(planted: Network):
    kernel = np.zeros((3, 2, 2), np.float32)
    kernel[0, 0, 0], kernel[1, 0, 1], kernel[2, 1, 0] = 1.0, -1.0, 0.5
    layer = layer_like(planted, "conv1")
    picture = filter_picture(layer, kernel, ALIKE, layer.unit(0), FilterSpec(size_px=4))
    expected = [  # (w + 1) / 2 * 255, every pixel twice as large
        [[255, 128, 128], [128, 0, 128]],
        [[128, 128, 191], [128, 128, 128]],
    ]
    assert picture.pixels.shape == (4, 4, 3)
    np.testing.assert_array_equal(picture.pixels[::2, ::2], expected)
    np.testing.assert_array_equal(picture.pixels[1::2, 1::2], expected)
    assert picture.record == FilterRecord("rgb", low=-1.0, high=1.0)


def test_diverging_colours_are_symmetric_and_zero_is_white():
    pixels = diverging(np.array([-2.0, -1.0, 0.0, 1.0, 2.0], np.float32), limit=2.0)
    np.testing.assert_array_equal(pixels[0], NEGATIVE)
    np.testing.assert_array_equal(pixels[2], [255, 255, 255])
    np.testing.assert_array_equal(pixels[4], POSITIVE)
    np.testing.assert_array_equal(pixels[3], np.rint((255 + POSITIVE) / 2))


def test_montage_shows_the_strongest_slices_first_on_one_scale(planted: Network):
    kernel = np.zeros((5, 3, 3), np.float32)
    kernel[3] = 2.0  # norm 6
    kernel[1] = -1.0  # norm 3
    kernel[4, 1, 1] = 0.5
    layer = layer_like(planted)
    spec = FilterSpec(size_px=24, n_slices=4)
    picture = filter_picture(layer, kernel, ALIKE, layer.unit(0), spec)
    assert picture.record.inputs == [3, 1, 4, 0]
    assert picture.record.columns == 2
    assert (picture.record.low, picture.record.high) == (-2.0, 2.0)
    factor, gap = 24 // 6, 1  # two columns of 3 weights; gap is a quarter of a weight
    pitch = 3 * factor + gap
    assert picture.pixels.shape == (2 * pitch - gap, 2 * pitch - gap, 3)
    np.testing.assert_array_equal(picture.pixels[0, 0], POSITIVE)
    np.testing.assert_array_equal(
        picture.pixels[0, pitch], np.rint((255 + NEGATIVE) / 2)
    )  # half of the scale
    np.testing.assert_array_equal(picture.pixels[pitch, 0], [255, 255, 255])
    centre = pitch + factor + 1
    assert (picture.pixels[centre, factor + 1] < 255).any()
    montage = Montage(layer.kernel, picture.record.columns, picture.record.factor)
    assert [montage.corner_px(place) for place in (1, 2)] == [(pitch, 0), (0, pitch)]
    assert montage.slice_px == (3 * factor, 3 * factor)


def test_slices_count_by_what_comes_of_their_inputs(planted: Network):
    kernel = np.ones((3, 3, 3), np.float32)
    kernel[0] = -2.0
    layer = layer_like(planted)
    swings = np.array([1.0, 3.0, -4.0], np.float32)
    spec = FilterSpec(n_slices=2)
    assert filter_picture(layer, kernel, swings, layer.unit(0), spec).record.inputs == [2, 1]


def test_kernels_of_other_shapes_keep_their_slices_apart(planted: Network):
    layer = layer_like(planted, kernel=(1, 3))
    picture = filter_picture(
        layer, np.ones((4, 1, 3), np.float32), ALIKE, layer.unit(0), FilterSpec(size_px=24)
    )
    montage = Montage((1, 3), picture.record.columns, picture.record.factor)
    (x, y), (width, height) = montage.corner_px(3), montage.slice_px
    assert picture.pixels.shape[:2] == (y + height, x + width)
    np.testing.assert_array_equal(picture.pixels[y, x], POSITIVE)
    assert (picture.pixels[y - 1, x] != POSITIVE).any()


def test_bars_are_sorted_and_signed(planted: Network):
    weights = np.array([0.5, -1.0, 0.0, 1.0], np.float32)
    layer = layer_like(planted, "layer1.0.conv1")
    spec = FilterSpec(size_px=40)
    picture = filter_picture(layer, weights[:, None, None], ALIKE, layer.unit(0), spec)
    height, width, _ = picture.pixels.shape
    assert (height, width) == (20, 40)
    orange = (picture.pixels == POSITIVE).all(2).sum(0)  # bar height of each column
    blue = (picture.pixels == NEGATIVE).all(2).sum(0)
    assert orange[0] == pytest.approx(height / 2, abs=1)
    assert blue[-1] == pytest.approx(height / 2, abs=1)
    assert (np.diff(orange) <= 0).all() and (np.diff(blue) >= 0).all()
    assert orange[-1] == blue[0] == 0


def test_inputs_of_a_grouped_conv_count_from_its_group(planted: Network):
    layer = layer_like(planted, n_units=4, groups=2, in_channels=6)
    kernel = np.ones((3, 3, 3), np.float32)
    swings = np.array([9.0, 9, 9, 1, 3, 2], np.float32)
    second_group = filter_picture(layer, kernel, swings, layer.unit(2), FilterSpec())
    assert second_group.record.inputs == [4, 5, 3]


def test_all_zero_weights_give_a_neutral_picture(planted: Network):
    layer = layer_like(planted, "layer1.0.conv1")
    kernel = np.zeros((4, 1, 1), np.float32)
    picture = filter_picture(layer, kernel, ALIKE, layer.unit(0), FilterSpec())
    assert not (picture.pixels == POSITIVE).all(2).any()


def test_a_unit_that_its_batch_norm_scales_down_is_told_from_the_others(planted: Network):
    network = Network(copy.deepcopy(planted.model), planted.facts)
    layer = network.facts.layer("layer1.0.conv2")
    norm = network.model.get_submodule(layer.batch_norm)
    with torch.no_grad():
        norm.weight.fill_(-0.5)  # a factor's sign says nothing about how far a unit varies
        norm.weight[1] = 0.005
    shares = network.norm_shares(layer)
    assert shares is not None
    assert shares.tolist() == pytest.approx([1, 0.01, *[1] * (layer.n_units - 2)])
    job = Job(layer, KIND, FilterSpec(), layer.units[:2], keys=("", ""))
    ordinary, switched_off = (each.record for each in next(make(Renderer(network), [job])))
    assert (ordinary.norm_share, ordinary.off_mark) == (1, None)
    assert (switched_off.norm_share, switched_off.off_mark) == (0.01, 1)
    with torch.no_grad():
        norm.weight.zero_()
    assert network.norm_shares(layer) is None
    assert network.norm_shares(network.facts.layers[-1]) is None
