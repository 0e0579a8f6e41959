"""Weights of two networks: cosines and lengths of planted changes, and where changes begin."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from conftest import Planted, make_network, randomise
from torch import Tensor

from atlas.comparing.filters import filters_record, filters_records, first_changed
from atlas.network.network import Network


@pytest.fixture
def changed(seeded: Network) -> Network:
    """A copy, to be changed."""
    return Network(copy.deepcopy(seeded.model), seeded.facts)


def perpendicular(weight: Tensor) -> Tensor:
    """Weights of the same length at a right angle to `weight`."""
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(5)).double()
    unit = weight.double() / weight.double().norm()
    noise = noise - (noise * unit).sum() * unit
    return noise / noise.norm() * weight.double().norm()


def test_equal_weights_have_a_cosine_of_exactly_one():
    weight = torch.randn(50, 7, 3, 3)
    record = filters_record(weight, weight.clone(), is_equal=False)
    assert record.cosine == [1.0] * 50 and record.norm_ratio == [1.0] * 50


def test_planted_changes_have_their_angle_and_length():
    weight = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    other = weight.clone()
    other[1] *= 3
    other[2] *= -1
    other[3] = math.cos(0.6) * weight[3] + math.sin(0.6) * perpendicular(weight[3])
    other[4] = 0
    record = filters_record(weight, other, is_equal=False)
    assert record.cosine[:4] == pytest.approx([1, 1, -1, math.cos(0.6)], abs=1e-6)
    assert record.norm_ratio == pytest.approx([1, 3, 1, 1, 0], abs=1e-6)
    assert record.cosine[4] is None


def test_weights_that_were_all_zero_have_no_angle_and_no_length():
    record = filters_record(torch.zeros(1, 3), torch.ones(1, 3), is_equal=False)
    assert record.cosine == [None] and record.norm_ratio == [None]


@pytest.mark.parametrize(
    ("key", "first"),
    [
        ("conv1.weight", "conv1"),
        ("bn1.bias", "conv1"),
        ("layer1.0.conv2.weight", "layer1.0.conv2"),
        ("layer1.1.bn1.running_mean", "layer1.1.conv1"),
        ("fc.bias", "fc"),
    ],
)
def test_the_first_layer_that_may_differ_is_found(
    seeded: Network, changed: Network, key: str, first: str
):
    with torch.no_grad():
        changed.model.state_dict()[key][0] += 1
    layer = seeded.facts.layers[first_changed(seeded, changed)]
    assert layer.name == first
    records = filters_records(seeded, changed, seeded.facts.layers)
    assert [record.is_equal for record in records] == [
        each.index < layer.index for each in seeded.facts.layers
    ]


def test_nothing_differs_between_copies(seeded: Network, changed: Network):
    changed.model.state_dict()["bn1.num_batches_tracked"] += 5
    assert first_changed(seeded, changed) == len(seeded.facts.layers)


def test_another_preprocessing_changes_everything(seeded: Network, changed: Network):
    preprocessing = dataclasses.replace(seeded.facts.preprocessing, mean=(0.4, 0.5, 0.5))
    changed.facts = dataclasses.replace(seeded.facts, preprocessing=preprocessing)
    assert first_changed(seeded, changed) == 0


def test_a_module_of_no_layer_may_be_anywhere():
    class Scaled(Planted):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("scale", torch.ones(1))

    a, b = (make_network(randomise(Scaled())) for _ in range(2))
    b.model.scale += 1
    assert first_changed(a, b) == 0
