"""What units answer to the border of an image of one colour."""

from __future__ import annotations

import pytest
import site_factory
import torch
from conftest import IMAGE_PX, make_network, randomise
from torch import Tensor, nn

from atlas.asked import AtlasSpec
from atlas.kinds.border import KIND, BorderRecord, BorderSpec, place_words
from atlas.kinds.border.make import border_panel
from atlas.network.network import Network

SPEC = BorderSpec(IMAGE_PX)
SIZE = 8  # positions in a row of the second layer's map


class Bordered(nn.Module):
    """A stem whose maps are all 1 where nothing is shown, and a layer that counts them.

    Its units lose 1 for each position of the image in their 3 x 3 neighbourhood, or in the left
    column, the lower row or the lower right quarter of it: zeros of the padding count for nothing.
    """

    def __init__(self, padding: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 1, 1, stride=IMAGE_PX // SIZE, bias=True)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(1, 4, 3, padding=padding, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 3)
        self.conv1.weight.data.zero_()
        self.conv1.bias.data.fill_(1)
        kernels = torch.zeros(4, 1, 3, 3)
        kernels[0] = -1
        kernels[1, 0, :, 0] = -2
        kernels[2, 0, 2] = -2
        kernels[3, 0, 1:, 1:] = -1
        self.conv2.weight.data.copy_(kernels)
        self.bn2.running_var.fill_(1 - self.bn2.eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        return self.fc(self.avgpool(self.bn2(self.conv2(x)).relu()).flatten(1))


def record_of(network: Network, name: str) -> BorderRecord:
    record = border_panel(network.tap(network.facts.layer(name), "float32"), SPEC).record
    assert isinstance(record, BorderRecord)
    return record


def test_planted_units_answer_to_the_corner_or_the_edge_that_they_read():
    network = make_network(Bordered().eval())
    record = record_of(network, "conv2")
    assert record.middle == pytest.approx([-9, -6, -6, -4], abs=1e-3)
    assert record.excess == pytest.approx([5, 6, 6, 3], abs=1e-3)
    assert record.place == ["corners", "left edge", "bottom edge", "bottom right corner"]


def test_without_padding_no_border_can_be_told():
    record = record_of(make_network(Bordered(padding=0).eval()), "conv2")
    assert record.excess == [0, 0, 0, 0] and record.place == [None] * 4
    assert record.highest == record.middle


def test_the_response_is_that_to_the_mean_colour_of_photographs(seeded: Network):
    """Shown as an image of that colour rather than as the zeros that it becomes."""
    layer = seeded.facts.layers[1]
    tap = seeded.tap(layer, "float32")
    mean = torch.tensor(seeded.facts.preprocessing.mean).view(1, 3, 1, 1)
    with torch.inference_mode():
        image = mean.expand(1, 3, IMAGE_PX, IMAGE_PX)
        z = tap.all_sigmas(tap(tap.normalise(image)))[0]
    record = border_panel(tap, SPEC).record
    assert record.highest == pytest.approx(z.amax((1, 2)).tolist(), abs=2e-3)


@pytest.mark.parametrize(
    ("strong", "words"),
    [
        ("x.. ... ...", "top left corner"),
        ("..x ... ...", "top right corner"),
        ("x.. ... ..x", "corners"),
        ("xxx ... ...", "top edge"),
        ("xx. x.. ...", "top and left edge"),
        ("..x ..x ...", "right edge"),
        ("xxx x.x xxx", "edges"),
        ("... .x. ...", ""),
    ],
)
def test_places_are_named_by_ninths_of_the_map(strong: str, words: str):
    assert place_words([[each == "x" for each in row] for row in strong.split()]) == words


def test_layers_with_one_position_have_no_border():
    facts = site_factory.network()
    possible = {layer.name: KIND.is_possible(AtlasSpec(), layer, facts) for layer in facts.layers}
    assert possible["fc"] is False and True in possible.values()


def test_random_networks_have_finite_numbers_in_every_layer():
    network = make_network(randomise(Bordered()).eval())
    for layer in network.facts.layers:
        if layer.has_maps:
            record = record_of(network, layer.name)
            assert all(above >= 0 for above in record.excess)
