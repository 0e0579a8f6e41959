"""Circuits of networks whose wiring is known: strengths computed by hand, or found by sampling."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from conftest import make_network, randomise
from test_wiring import Function, Sum, phi, rectified_moments, set_norm
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import SqueezeExcitation

from atlas.families.demo.network import build_demo
from atlas.kinds.circuit import CircuitRecord, CircuitSpec
from atlas.kinds.circuit.make import circuit_panels
from atlas.network.network import Network
from atlas.network.walk import walk
from atlas.records import to_numbers

ALL = CircuitSpec(n_partners=10_000)


class Pair(nn.Module):
    """A conv, its BatchNorm and ReLU, another conv with BatchNorm, and classes."""

    def __init__(self, kernel: int = 1, groups: int = 1, n_units: int = 4) -> None:
        super().__init__()
        self.writer = nn.Conv2d(3, 4, 1)
        self.writer_norm = nn.BatchNorm2d(4)
        self.reader = nn.Conv2d(4, n_units, kernel, padding=kernel // 2, groups=groups)
        self.reader_norm = nn.BatchNorm2d(n_units)
        self.relu = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(n_units, 3)
        set_norm(self.writer_norm, gamma=1.0)
        set_norm(self.reader_norm, gamma=1.0)
        for layer in (self.writer, self.reader, self.fc):
            layer.weight.data.zero_()

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.writer_norm(self.writer(images)))
        x = self.relu(self.reader_norm(self.reader(x)))
        return self.fc(self.pool(x).flatten(1))


def circuits(model: nn.Module | Network, spec: CircuitSpec = ALL) -> dict[str, CircuitRecord]:
    """The circuits of every layer, by name."""
    network = model if isinstance(model, Network) else make_network(model, 16)
    panels = circuit_panels(network, network.facts.layers, spec)
    return {panel.unit.layer: panel.record for panel in panels}


def test_a_strength_is_the_weight_in_sigmas_of_both_ends():
    model = Pair()
    set_norm(model.writer_norm, gamma=(1.0, 3.0, 1.0, 1.0), beta=(0.0, 1.5, 0.0, 0.0))
    set_norm(model.reader_norm, gamma=1.0, mean=7.0, std=(2.0, 1.0, 1.0, 1.0))
    model.reader.weight.data[0, :, 0, 0] = torch.tensor([0.8, 0.6, -0.4, 0.0])
    found = circuits(model)
    strongest = round(0.6 / 2 * 3 * phi(0.5), 4)
    assert found["reader"].excited_by[0] == [[0, 1, strongest], [0, 0, 0.2]]
    assert found["reader"].inhibited_by[0] == [[0, 2, -0.1]]  # 0.4 / 2 * 0.5
    assert found["writer"].excites[1] == [[1, 0, strongest]]
    assert found["writer"].excites[3] == []


def test_a_negative_gamma_turns_a_unit_over_at_either_end():
    """What a unit passes on rises with its z, whichever way its BatchNorm turns it."""
    model = Pair()
    set_norm(model.writer_norm, gamma=(1.0, -1.0, 1.0, 1.0))
    set_norm(model.reader_norm, gamma=(1.0, -1.0, 1.0, 1.0))
    model.reader.weight.data[:2, :2, 0, 0] = torch.tensor([2.0, 1.0])
    found = circuits(model)["reader"]
    assert found.excited_by[0] == [[0, 0, 1.0], [0, 1, 0.5]]
    assert found.inhibited_by[1] == [[0, 0, -1.0], [0, 1, -0.5]]
    assert found.inhibited_by[0] == found.excited_by[1] == []


def test_an_edge_detector_is_excited_and_inhibited_by_the_same_channel():
    model = Pair(kernel=3)
    model.reader.weight.data[0, 2] = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1.5]])
    found = circuits(model)["reader"]
    assert found.excited_by[0] == [[0, 2, 4.5 / 2]]
    assert found.inhibited_by[0] == [[0, 2, -4.0 / 2]]


def test_inputs_of_a_grouped_conv_are_those_of_its_group():
    model = Pair(groups=2)
    model.reader.weight.data[:, :, 0, 0] = torch.tensor([[1.0, 2], [3, 4], [5, 6], [7, 8]])
    found = circuits(model)
    assert found["reader"].excited_by == [
        [[0, 1, 1.0], [0, 0, 0.5]],
        [[0, 1, 2.0], [0, 0, 1.5]],
        [[0, 3, 3.0], [0, 2, 2.5]],
        [[0, 3, 4.0], [0, 2, 3.5]],
    ]
    assert found["writer"].excites[3] == [[1, 3, 4.0], [1, 2, 3.0]]


def test_classes_name_the_channels_for_and_against_them_and_channels_their_classes():
    model = Pair()
    set_norm(model.reader_norm, gamma=(2.0, 2.0, 2.0, -2.0))
    model.fc.weight.data = torch.tensor([[1.0, -2, 0, 3], [0.0, 0, 0, -1], [0.5, 0, 0, 0]])
    found = circuits(model)
    assert found["fc"].excited_by[0] == [[1, 3, 3.0], [1, 0, 1.0]]
    assert found["fc"].inhibited_by[0] == [[1, 1, -2.0]]
    assert found["reader"].speaks_for[0] == [[2, 0, 1.0], [2, 2, 0.5]]
    assert found["reader"].speaks_against[3] == [[2, 1, -1.0]]
    assert found["reader"].excites is None and found["writer"].speaks_for is None


def test_only_so_many_are_named_and_the_image_is_nobody():
    model = randomise(Pair(n_units=6))
    found = circuits(model, CircuitSpec(n_partners=1))
    assert {len(partners) for partners in found["writer"].excites} == {1}
    assert set(to_numbers(found["writer"], "z")) == {"excites", "inhibits"}
    assert circuits(model)["writer"].excites[2][0] == found["writer"].excites[2][0]


def test_the_spread_counts_inputs():
    """As many as there are where all count alike, one where one does; the sum's share of five."""
    model = Pair()
    model.fc = nn.Linear(4, 3, bias=False)
    model.reader.weight.data[0, :, 0, 0] = torch.tensor([2.0, -2, 2, 2])
    model.reader.weight.data[1, 3] = -1.0
    model.reader.weight.data[2, :, 0, 0] = torch.tensor([3.0, 1, 0, 0])
    found = circuits(model)["reader"]
    assert found.n_effective == [4.0, 1.0, 1.6, 0.0]  # (3 + 1)^2 / (9 + 1)
    assert found.top_share == [1.0, 1.0, 1.0, 0.0]


def test_inputs_too_weak_for_the_digits_of_a_number_count_as_none():
    model = Pair()
    model.fc = nn.Linear(4, 3, bias=False)
    model.reader.weight.data[:] = 1e-42
    assert circuits(model)["reader"].n_effective == [0.0] * 4


def test_the_five_strongest_inputs_carry_their_share():
    model = nn.Sequential(nn.Conv2d(3, 10, 1), nn.Conv2d(10, 1, 1))
    model[1].weight.data = torch.arange(1.0, 11).view(1, 10, 1, 1)
    network = make_network(model, 16)
    sizes = torch.arange(1.0, 11) * network.reader(network.facts.layers[0]).std
    share = float(sizes.sort().values[5:].sum() / sizes.sum())
    assert circuits(network)["1"].top_share == [pytest.approx(share, abs=1e-3)]


def test_a_channel_of_a_sum_is_named_after_the_layer_that_moves_it_most():
    model = Sum()
    set_norm(model.left_norm, gamma=(3.0, 1.0))
    set_norm(model.right_norm, gamma=(1.0, 3.0))
    model.reader.weight.data = torch.tensor([2.0, 1.0]).view(1, 2, 1, 1)
    network = make_network(model, 16)
    found = circuits(network)
    std = float(network.reader(network.facts.layer("reader")).std)  # measured on images

    def strengths(*connections: tuple[int, int, float]) -> list[list[float]]:
        return [[layer, unit, float(f"{size / std:.4g}")] for layer, unit, size in connections]

    assert found["reader"].excited_by[0] == strengths((0, 0, 3.0), (1, 1, 1.5))
    both_ends = [strengths((2, 0, 3.0)), strengths((2, 0, 0.5))]
    assert found["left"].excites == both_ends
    assert found["right"].excites == [strengths((2, 0, 1.0)), strengths((2, 0, 1.5))]


def test_bottlenecks_read_and_write_the_stream_through_skip_and_strided_downsample():
    """The demo's second stage: sums and ReLUs followed by hand, with moments by integration."""
    model = randomise(build_demo(5)).eval()
    network = make_network(model, 80)
    names = [layer.name for layer in network.facts.layers]
    found = circuits(network)
    first, second = model.layer2
    channel = 7
    down = first.downsample[1]
    mean = float(first.bn3.bias[channel] + down.bias[channel])
    std = math.hypot(float(first.bn3.weight[channel]), float(down.weight[channel]))
    swings = {
        "layer2.0.conv3": abs(float(first.bn3.weight[channel])) * phi(mean / std),
        "layer2.0.downsample.0": abs(float(down.weight[channel])) * phi(mean / std),
    }

    norm = second.bn1
    in_sigmas = second.conv1.weight[:, channel, 0, 0] / (norm.running_var + norm.eps).sqrt()
    in_sigmas *= norm.weight.sign()
    for name, swing in swings.items():
        partners = found[name].excites[channel] + found[name].inhibits[channel]
        reader = names.index("layer2.1.conv1")
        strengths = {unit: strength for layer, unit, strength in partners if layer == reader}
        expected = (in_sigmas * swing).tolist()
        assert strengths == pytest.approx(dict(enumerate(expected)), rel=1e-3)

    # And once more around the second block, to the classes.
    mean, variance = rectified_moments(mean, std)
    mean += float(second.bn3.bias[channel])
    std = math.sqrt(variance + float(second.bn3.weight[channel]) ** 2)
    swings = {name: swing * phi(mean / std) for name, swing in swings.items()}
    swings["layer2.1.conv3"] = abs(float(second.bn3.weight[channel])) * phi(mean / std)
    for name, swing in swings.items():
        partners = found[name].speaks_for[channel] + found[name].speaks_against[channel]
        expected = (model.fc.weight[:, channel] * swing).tolist()
        strengths = {unit: strength for _, unit, strength in partners}
        assert strengths == pytest.approx(dict(enumerate(expected)), rel=1e-3)


def test_both_ends_of_a_connection_give_the_same_strength(seeded: Network):
    found = circuits(seeded)
    names = [layer.name for layer in seeded.facts.layers]
    sides = {
        "excited_by": ("excites", "speaks_for"),
        "inhibited_by": ("inhibits", "speaks_against"),
    }
    n_checked = 0
    for reader, record in found.items():
        for side, others in sides.items():
            for unit, partners in enumerate(getattr(record, side) or ()):
                for layer, channel, strength in partners:
                    outputs = [getattr(found[names[layer]], other) for other in others]
                    named = [entry for one in outputs if one for entry in one[channel]]
                    assert [names.index(reader), unit, strength] in named
                    n_checked += 1
    assert n_checked > 50


def test_strengths_are_what_regression_finds_on_images_of_noise():
    """Two layers that see independent pixels, summed and read: in sigmas, from answers alone."""
    model = Sum(1)
    model.left, model.right = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 1, 1)
    model.reader = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    model.left.weight.data = torch.tensor([2.0, 0, 0]).view(1, 3, 1, 1)
    model.right.weight.data = torch.tensor([0.0, -3, 0]).view(1, 3, 1, 1)
    set_norm(model.left_norm, gamma=-0.8, beta=0.4, mean=model.left.bias.item(), std=2.0)
    set_norm(model.right_norm, gamma=1.1, beta=-0.1, mean=model.right.bias.item(), std=3.0)
    set_norm(model.reader[1], gamma=-1.0, mean=0.2, std=0.7)
    network = make_network(model, 16)
    found = circuits(network)

    images = torch.randn(8, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    layers = network.facts.layers
    left, right, reader = (
        network.tap(layer).all_sigmas(network.tap(layer)(images)).flatten() for layer in layers
    )
    for name, z in (("left", left), ("right", right)):
        slope = float((z * (reader - reader.mean())).mean())
        (partner,) = getattr(found[name], "excites" if slope > 0 else "inhibits")[0]
        assert partner[:2] == [2, 0] and partner[2] == pytest.approx(slope, abs=0.01)


class Joined(nn.Module):
    """Two convs whose channels are concatenated and shuffled, and convs that read them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 4, 1)
        self.one_norm, self.other_norm = nn.BatchNorm2d(2), nn.BatchNorm2d(4)
        self.shuffle = nn.ChannelShuffle(2)
        self.all, self.depthwise = nn.Conv2d(6, 6, 3), nn.Conv2d(6, 6, 3, groups=6)
        self.pairs = nn.Conv2d(6, 3, 1, groups=3)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (6, 6, 3))
        for norm in (self.one_norm, self.other_norm, *self.norms):
            set_norm(norm, gamma=1.0)
        for layer in (self.all, self.depthwise, self.pairs):
            layer.weight.data.zero_()

    def forward(self, images: Tensor) -> Tensor:
        parts = [self.one_norm(self.one(images)), self.other_norm(self.other(images))]
        maps = self.shuffle(torch.cat(parts, 1))
        readers = zip(self.norms, (self.all, self.depthwise, self.pairs), strict=True)
        return torch.cat([norm(layer(maps)).mean((2, 3)) for norm, layer in readers], 1)


def test_planted_weights_name_the_unit_behind_each_shuffled_channel():
    """Channels 0 to 5 after the concatenation come to the places 0, 2, 4, 1, 3, 5."""
    model = Joined()
    behind = [(0, 0), (1, 1), (0, 1), (1, 2), (1, 0), (1, 3)]  # layer and unit of each place
    for place in range(6):
        model.all.weight.data[place, place, 1, 1] = 1.0
        model.depthwise.weight.data[place, 0, 0, 0] = -2.0
    model.pairs.weight.data[:, :, 0, 0] = torch.tensor([[1.0, 2.0]])
    found = circuits(model)
    for place, (layer, unit) in enumerate(behind):
        assert found["all"].excited_by[place] == [[layer, unit, 1.0]]
        assert found["depthwise"].inhibited_by[place] == [[layer, unit, -2.0]]
        writer = found["one" if layer == 0 else "other"]
        assert [2, place, 1.0] in writer.excites[unit]
        assert writer.inhibits[unit] == [[3, place, -2.0]]
    for group in range(3):
        first, second = behind[2 * group : 2 * group + 2]
        assert found["pairs"].excited_by[group] == [[*second, 2.0], [*first, 1.0]]
    assert found["all"].input_units == [list(each) for each in behind]
    assert found["pairs"].input_units is None  # it has no slices
    assert found["depthwise"].n_effective == [1.0] * 6


def test_positions_of_a_flattened_map_are_those_of_a_kernel():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))
    model.append(nn.Linear(3, 2))
    set_norm(model[1], gamma=1.0)
    model[3].weight.data.zero_()
    model[3].weight.data[0] = torch.tensor([1.0, 2, 0, -1, 0, 3, 0, 0])
    network = make_network(model, 2)
    std = float(network.reader(network.facts.layers[1]).std[0])
    found = circuits(network)
    names = [layer.name for layer in network.facts.layers]
    assert names == ["0", "3", "4"]
    first = found["3"]
    assert first.excited_by[0] == [
        [0, channel, pytest.approx(3 / std, rel=1e-3)] for channel in (0, 1)
    ]
    assert first.inhibited_by[0] == [[0, 0, pytest.approx(-1 / std, rel=1e-3)]]
    assert first.n_inputs == 2
    assert found["0"].excites[1] == [[1, 0, pytest.approx(3 / std, rel=1e-3)]]


def test_a_gate_is_no_partner_of_what_it_multiplies():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), SqueezeExcitation(4, 2), nn.Conv2d(4, 3, 1)
    )
    found = circuits(randomise(model))
    assert found["2.fc1"].excited_by and found["2.fc2"].excited_by
    partners = [each for unit in found["3"].excited_by + found["3"].inhibited_by for each in unit]
    assert {layer for layer, _, _ in partners} == {0}
    assert found["2.fc2"].excites is None


def test_a_classifier_that_is_a_conv_has_circuits_in_logits():
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    set_norm(model[1], gamma=1.0)
    model[3].weight.data[:, :, 0, 0] = torch.arange(12.0).view(3, 4)
    facts = make_network(model).facts
    layers = walk(model, 16)
    assert layers[1].is_classifier
    found = circuits(Network(model, dataclasses.replace(facts, layers=layers)))
    assert found["3"].excited_by[2] == [[0, 3, 5.5], [0, 2, 5.0], [0, 1, 4.5], [0, 0, 4.0]]
    assert found["0"].speaks_for[3] == [[1, 2, 5.5], [1, 1, 3.5], [1, 0, 1.5]]


class Paths(nn.Module):
    """A conv whose units reach the next one in several channels."""

    def __init__(
        self, between: Callable[[Tensor], Tensor], n_read: int, kernel: int = 1, groups: int = 1
    ) -> None:
        super().__init__()
        self.writer, self.writer_norm = nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6)
        self.between = Function(between)
        self.reader = nn.Conv2d(n_read, 4, kernel, groups=groups)
        self.reader_norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)
        std = torch.rand(6, generator=torch.Generator().manual_seed(1)) + 0.5
        set_norm(self.writer_norm, gamma=1.5, std=std)
        set_norm(self.reader_norm, gamma=1.0, std=std[:4])

    def after(self, written: Tensor) -> Tensor:
        return self.reader(self.between(self.writer_norm(written)))

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.reader_norm(self.after(self.writer(images))).mean((2, 3)))


def effects_by_autograd(model: Paths) -> Tensor:
    """By how many sigmas a reader moves per sigma of a writer, at each position: (4, 6, h, w)."""
    written = torch.zeros(1, 6, 8, 8, requires_grad=True)
    read = model.after(written)
    middle = read[0, :, read.shape[2] // 2, read.shape[3] // 2]
    rows = [torch.autograd.grad(each, written, retain_graph=True)[0][0] for each in middle]
    stds = [(n.running_var + n.eps).sqrt() for n in (model.writer_norm, model.reader_norm)]
    return torch.stack(rows) * stds[0].view(1, -1, 1, 1) / stds[1].view(-1, 1, 1, 1)


@pytest.mark.parametrize(
    ("between", "n_read", "kernel", "groups"),
    [
        (lambda x: x - x.roll(1, 1), 6, 1, 1),
        (lambda x: x - x.roll(1, 1), 6, 3, 1),
        (lambda x: x - x.roll(1, 1), 6, 3, 2),
        (lambda x: x + x.flip(1), 6, 3, 1),
        (lambda x: x.repeat(1, 2, 1, 1), 12, 3, 1),
        (lambda x: torch.cat([x, 2 * x], 1), 12, 1, 2),
        (lambda x: torch.index_select(x, 1, torch.tensor([5, 0, 3, 3])), 4, 1, 1),
        (lambda x: F.pixel_unshuffle(x, 2), 24, 1, 1),
    ],
)
def test_the_paths_of_one_unit_are_summed_as_autograd_does(between, n_read, kernel, groups):
    torch.manual_seed(0)
    model = Paths(between, n_read, kernel, groups).eval()
    effects = effects_by_autograd(model)
    if n_read == 24:  # a unit's channels are different positions of its map
        effects = effects.sum((2, 3), keepdim=True)
    found = circuits(model)
    for sign, inputs, outputs in (
        (1, found["reader"].excited_by, found["writer"].excites),
        (-1, found["reader"].inhibited_by, found["writer"].inhibits),
    ):
        expected = (sign * effects).clamp(min=0).sum((2, 3))  # (4, 6)
        assert inputs is not None and outputs is not None
        assert_partners(inputs, sign * expected, layer=0)
        assert_partners(outputs, sign * expected.T, layer=1)


def assert_partners(found: list, strengths: Tensor, layer: int) -> None:
    """Each unit's partners are those with a strength, each of them once."""
    for partners, expected in zip(found, strengths, strict=True):
        assert {each[0] for each in partners} <= {layer}
        by_unit = {unit: strength for _, unit, strength in partners}
        assert len(by_unit) == len(partners)
        filled = [by_unit.get(unit, 0.0) for unit in range(len(expected))]
        torch.testing.assert_close(torch.tensor(filled), expected, atol=1e-5, rtol=1e-3)
