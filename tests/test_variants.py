"""Variants differ more than the pictures of plain seeds, and drive the unit nearly as far."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from conftest import gabor, make_network
from test_fourier import angle_between, dominant
from torch import Tensor, nn

from atlas.asked import AtlasSpec
from atlas.network.network import Network
from atlas.on_demand import variants
from atlas.on_demand.variants import VariantsRecord, VariantsSpec
from atlas.on_demand.variants.make import likeness, make
from atlas.pixels import Pixels
from atlas.renderer import Renderer
from atlas.selection import unit_named


class Facets(nn.Module):
    """The unit conv2:0 answers to stripes at 30 degrees, and as much to those at 120."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 11, padding=5, bias=False)
        self.bn1 = nn.BatchNorm2d(2)
        self.conv2 = nn.Conv2d(2, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1)
        self.fc = nn.Linear(1, 2)
        with torch.no_grad():
            self.conv1.weight[0] = gabor()
            self.conv1.weight[1] = gabor().rot90(1, (1, 2))
            self.conv2.weight.fill_(1.0)

    def forward(self, images: Tensor) -> Tensor:
        x = self.bn1(self.conv1(images)).relu()
        return self.fc(self.bn2(self.conv2(x)).relu().mean((2, 3)))


def made(network: Network, unit_id: str, diversity: float) -> tuple[VariantsRecord, list[Pixels]]:
    """The record, and the unit's own picture and four variants."""
    facts = network.facts
    request = variants.request(facts.unit(unit_id), 4, AtlasSpec(), facts)
    assert isinstance(request.spec, VariantsSpec)
    spec = dataclasses.replace(request.spec, diversity=diversity)
    record, strip = make(Renderer(network), dataclasses.replace(request, spec=spec))
    return record, np.split(strip, 5, axis=1)


def between(record: VariantsRecord) -> float:
    """The mean likeness between two of the pictures."""
    matrix = np.array(record.likeness)
    return matrix[~np.eye(len(matrix), dtype=bool)].mean()


@pytest.fixture(scope="module")
def facets() -> Network:
    return make_network(Facets())


def test_they_differ_more_than_plain_seeds_and_drive_the_unit_as_far(facets: Network):
    plain, _ = made(facets, "conv2:0", 0.0)
    pushed, _ = made(facets, "conv2:0", VariantsSpec.diversity)
    assert between(pushed) < between(plain) - 0.1
    assert np.mean(pushed.peaks[1:]) >= 0.8 * pushed.peaks[0]


def test_both_facets_of_a_unit_appear(facets: Network):
    _, (_, *pictures) = made(facets, "conv2:0", VariantsSpec.diversity)
    angles = [dominant(picture)[0] for picture in pictures]
    assert min(angle_between(angle, 30) for angle in angles) < 20
    assert min(angle_between(angle, 120) for angle in angles) < 20


def test_the_first_is_the_unit_s_own_picture(facets: Network):
    _, (first, *_) = made(facets, "conv2:0", 0.0)
    _, (same, *_) = made(facets, "conv2:0", 1.0)
    assert np.abs(first.astype(int) - same.astype(int)).max() <= 3


@pytest.mark.parametrize("shape", [(3, 5, 4, 7), (3, 28, 2, 2), (3, 40)])
def test_likeness_is_the_cosine_of_gram_matrices(shape):
    features = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    maps = features.flatten(2) if len(shape) > 2 else features[:, :, None]
    grams = [(each @ each.T).flatten() for each in maps]
    found = likeness(features)
    for row in range(3):
        for column in range(3):
            expected = torch.cosine_similarity(grams[row], grams[column], dim=0)
            assert found[row, column] == pytest.approx(expected.item(), abs=1e-5)


def test_likeness_does_not_ask_where_something_is():
    maps = torch.rand(1, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    moved = torch.cat([maps, 3 * maps.roll(2, 3)])
    assert likeness(moved)[0, 1].item() == pytest.approx(1)
    assert math.isfinite(likeness(torch.zeros(2, 4, 6, 6)).sum())


def test_a_class_is_named_by_its_label(facets: Network):
    unit = unit_named("class 1", facets.facts)
    request = variants.request(unit, 2, AtlasSpec(), facets.facts)
    assert (request.name, request.unit.layer[:5]) == ("class 1 (fc:1)", "fc-1-")
