"""Which units respond to the border of an image of one colour, and where."""

from __future__ import annotations

import pytest
import site_factory
import torch
from conftest import IMAGE_PX, make_network
from torch import Tensor, nn

from atlas.asked import AtlasSpec
from atlas.kinds.border import KIND, BorderRecord, BorderSpec, place_words, responds_to_borders
from atlas.kinds.border.make import border_panel, border_peaks
from atlas.network.network import Network

SPEC = BorderSpec(IMAGE_PX)
SIZE = 8  # positions in a row of the second layer's map
SQUARE = torch.ones(3, 3)
LEFT, LOWER = torch.zeros(2, 3, 3)
LEFT[:, 0] = LOWER[2] = 2
LOWER_RIGHT = torch.zeros(3, 3)
LOWER_RIGHT[1:, 1:] = 2


class Bordered(nn.Module):
    """A stem whose maps are all 1 where nothing is shown, and a layer that misses what is not 1.

    Units of conv2 lose the weights of a kernel at all positions of their neighbourhood that are in
    the map; those in the padding count for nothing. `means` are their averages.
    """

    def __init__(self, padding: int = 1, means: tuple[float, ...] = (-9, -6, -6, -8)) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 1, 1, stride=IMAGE_PX // SIZE)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(1, 4, 3, padding=padding, bias=False)
        self.bn2 = nn.BatchNorm2d(4)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(4, 3)
        self.conv1.weight.data.zero_()
        self.conv1.bias.data.fill_(1)
        self.conv2.weight.data.copy_(-torch.stack([SQUARE, LEFT, LOWER, LOWER_RIGHT])[:, None])
        self.bn2.running_mean.copy_(torch.tensor(means))
        self.bn2.running_var.fill_(1 - self.bn2.eps)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        return self.fc(self.avgpool(self.bn2(self.conv2(x)).relu()).flatten(1))


def record_of(network: Network, name: str = "conv2") -> BorderRecord:
    record = border_panel(network.tap(network.facts.layer(name), "float32"), SPEC).record
    assert isinstance(record, BorderRecord)
    return record


def test_planted_units_respond_to_the_corner_or_the_edge_that_they_read():
    record = record_of(make_network(Bordered().eval()))
    assert record.middle == pytest.approx([0, 0, 0, 0], abs=1e-3)
    assert record.border == pytest.approx([5, 6, 6, 6], abs=1e-3)
    assert record.place == ["corners", "left edge", "bottom edge", "bottom right corner"]
    assert record.large_excess == record.excess == record.border


def test_units_that_the_border_does_not_drive_above_their_average_do_not_respond_to_it():
    """Of the first two the border is less far below the average than the middle is."""
    record = record_of(make_network(Bordered(means=(0, -2.9, -3, 9)).eval()))
    assert record.excess == pytest.approx([5, 6, 6, 6], abs=1e-3)
    assert record.border == pytest.approx([-4, 2.9, 3, -11], abs=1e-3)
    assert record.place == [None, None, "bottom edge", None]
    assert record.large_excess == [None, None, pytest.approx(6, abs=1e-3), None]


def test_a_negative_scale_of_the_batch_norm_turns_responses_round():
    model = Bordered().eval()
    model.bn2.weight.data[0] = -1
    record = record_of(make_network(model))
    assert record.border[0] == pytest.approx(-3, abs=1e-3)  # along the edges
    assert record.excess[0] == record.border[0] and record.place[0] is None


def test_without_padding_no_border_can_be_told():
    record = record_of(make_network(Bordered(padding=0).eval()))
    assert record.excess == [0, 0, 0, 0] and record.place == [None] * 4
    assert record.border == record.middle


def test_without_batch_norm_borders_are_found_too():
    model = Bordered().eval()
    model.bn2 = nn.Identity()  # type: ignore[assignment]
    network = make_network(model)
    assert network.facts.layer("conv2").sigma == "measured"
    assert all(above > 0 for above in record_of(network).excess)


def test_the_response_is_that_to_the_colour_that_the_preprocessing_subtracts(seeded: Network):
    """Shown as an image of that colour rather than as the zeros that it becomes."""
    tap = seeded.tap(seeded.facts.layers[1], "float32")
    mean = torch.tensor(seeded.facts.preprocessing.mean).view(1, 3, 1, 1)
    with torch.inference_mode():
        image = mean.expand(1, 3, IMAGE_PX, IMAGE_PX)
        z = tap.all_sigmas(tap(tap.normalise(image)))[0]
    record = border_panel(tap, SPEC).record
    assert record.border == pytest.approx(border_peaks(z).amax((1, 2)).tolist(), abs=2e-3)
    assert record.middle == pytest.approx(tap.middle(z).tolist(), abs=2e-3)


@pytest.mark.parametrize("shape", [(3, 3), (4, 4), (7, 7), (3, 9), (14, 14), (56, 56)])
def test_every_position_is_in_one_part_and_the_middle_one_in_none(shape: tuple[int, int]):
    height, width = shape
    seen = torch.zeros(shape)
    for position in range(height * width):
        maps = torch.zeros(1, height * width)
        maps[0, position] = 1
        parts = border_peaks(maps.view(1, height, width))
        assert parts[0, 1, 1] == -torch.inf
        seen.view(-1)[position] = parts.clamp(min=0).sum()
    assert seen[height // 2, width // 2] == 0 and set(seen.unique().tolist()) == {0, 1}
    assert seen[0].min() == seen[-1].min() == seen[:, 0].min() == seen[:, -1].min() == 1


def test_parts_are_where_they_are_called():
    maps = torch.zeros(9, 7, 7)
    for nth, (row, column) in enumerate((r, c) for r in (0, 3, 6) for c in (0, 3, 6)):
        maps[nth, row, column] = 1
    strong = border_peaks(maps) > 0
    words = [place_words(each.tolist()) for each in torch.cat([strong[:4], strong[5:]])]
    assert words == [
        "top left corner",
        "top edge",
        "top right corner",
        "left edge",
        "right edge",
        "bottom left corner",
        "bottom edge",
        "bottom right corner",
    ]


@pytest.mark.parametrize(
    ("strong", "words"),
    [
        ("x.. ... ...", "top left corner"),
        ("x.. ... ..x", "corners"),
        ("xxx ... ...", "top edge"),
        ("xx. x.. ...", "top and left edges"),
        ("xxx x.x ...", "top, left and right edges"),
        ("xxx x.x xxx", "edges"),
    ],
)
def test_parts_together_have_one_name(strong: str, words: str):
    assert place_words([[each == "x" for each in row] for row in strong.split()]) == words


def test_the_border_counts_from_three_sigmas_and_from_five_beyond_the_middle():
    assert responds_to_borders(3.0, 5.0)
    assert not responds_to_borders(2.999, 9.0) and not responds_to_borders(9.0, 4.999)


def test_layers_with_one_position_have_no_border():
    facts = site_factory.network()
    possible = {layer.name: KIND.is_possible(AtlasSpec(), layer, facts) for layer in facts.layers}
    assert possible["fc"] is False and True in possible.values()
