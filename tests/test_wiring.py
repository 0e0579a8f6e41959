"""What is known of a signal before any image is shown, against integrals and sums done by hand."""

from __future__ import annotations

import math

import pytest
import torch
from conftest import HiddenLinear, Planted, make_network, randomise
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import SqueezeExcitation

from atlas.families import find_family
from atlas.network.network import Network
from atlas.network.signals import Signal


def phi(x: float) -> float:
    return (1 + math.erf(x / math.sqrt(2))) / 2


def rectified_moments(mean: float, std: float) -> tuple[float, float]:
    """Mean and variance of a rectified Gaussian, by adding up thin slices."""
    x = torch.linspace(mean - 9 * std, mean + 9 * std, 200_001, dtype=torch.float64)
    density = torch.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))
    first, second = (float(torch.trapezoid(x.relu() ** n * density, x)) for n in (1, 2))
    return first, second - first**2


class Chain(nn.Module):
    """A conv with BatchNorm, something in between, and a conv that reads it."""

    def __init__(self, between: nn.Module, n_read: int = 2) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.norm = nn.BatchNorm2d(2)
        self.between = between
        self.reader = nn.Conv2d(n_read, 1, 1)
        set_norm(self.norm, gamma=(2.0, -0.5), beta=(0.3, -0.4))

    def forward(self, images: Tensor) -> Tensor:
        return self.reader(self.between(self.norm(self.conv(images))))


class Function(nn.Module):
    """Any function in a module's place; torch.fx looks inside."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def set_norm(norm: nn.BatchNorm2d, gamma, beta=0.0, mean=0.0, std=1.0) -> None:
    for tensor, value in (
        (norm.weight.data, gamma),
        (norm.bias.data, beta),
        (norm.running_mean, mean),
        (norm.running_var, torch.as_tensor(std) ** 2 - norm.eps),
    ):
        tensor.copy_(torch.as_tensor(value))


def signal_into(model: nn.Module, name: str = "reader") -> Signal:
    signal = make_network(model, 8).wiring[name]
    assert signal is not None
    return signal


def swing(signal: Signal, layer: str) -> Tensor:
    """How far a layer moves each channel, in which it has one unit."""
    (found,) = (writer.swing for writer in signal.writers if writer.layer == layer)
    return found


def names(signal: Signal) -> list[str]:
    return [writer.layer for writer in signal.writers]


def assert_close(found: Tensor, expected) -> None:
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("between", [nn.Identity(), nn.Dropout()])
def test_a_batchnorm_says_what_leaves_it(between: nn.Module):
    signal = signal_into(Chain(between))
    assert_close(signal.mean, [0.3, -0.4])
    assert_close(signal.variance, [4.0, 0.25])
    assert_close(swing(signal, "conv"), [2.0, 0.5])  # a unit's own sigma is turned with its gamma


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2)])
def test_through_a_pool_units_move_as_before_and_the_moments_are_not_known(pool: nn.Module):
    signal = signal_into(Chain(pool))
    assert_close(swing(signal, "conv"), [2.0, 0.5])
    assert signal.mean.isnan().all() and signal.variance.isnan().all()
    known_again = nn.BatchNorm2d(2)
    set_norm(known_again, gamma=(3.0, -1.0), beta=(0.1, 0.2), std=(4.0, 0.5))
    signal = signal_into(Chain(nn.Sequential(pool, known_again)))
    assert_close(signal.mean, [0.1, 0.2])
    assert_close(signal.variance, [9.0, 1.0])


@pytest.mark.parametrize(
    "between",
    [nn.ReLU(), nn.ReLU(inplace=True), Function(torch.relu), Function(lambda x: x.relu_())],
)
def test_a_relu_gives_the_moments_of_a_rectified_gaussian(between: nn.Module):
    signal = signal_into(Chain(between))
    expected = [rectified_moments(0.3, 2.0), rectified_moments(-0.4, 0.5)]
    assert_close(signal.mean, [mean for mean, _ in expected])
    assert_close(signal.variance, [variance for _, variance in expected])
    assert_close(swing(signal, "conv"), [2.0 * phi(0.15), 0.5 * phi(-0.8)])


def test_the_slope_of_a_relu_is_that_of_the_best_line():
    """As a regression on samples finds it, also for one of several summands."""
    generator = torch.Generator().manual_seed(0)
    own, other = torch.randn(2, 400_000, generator=generator)
    answer = (0.3 + 1.2 * own + 0.9 * other).relu()
    slope = float((answer * own).mean())

    model = Sum(1)
    set_norm(model.left_norm, gamma=1.2, beta=0.1)
    set_norm(model.right_norm, gamma=0.9, beta=0.2)
    assert float(swing(signal_into(model), "left")) == pytest.approx(slope, abs=0.005)


class Sum(nn.Module):
    """Two convs whose outputs are summed, one of them with a stride as on a shortcut."""

    def __init__(self, n_channels: int = 2) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, n_channels, 3, 2, padding=1)
        self.left_norm = nn.BatchNorm2d(n_channels)
        self.right = nn.Conv2d(3, n_channels, 1, 2)
        self.right_norm = nn.BatchNorm2d(n_channels)
        self.relu = nn.ReLU(inplace=True)
        self.reader = nn.Conv2d(n_channels, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        out = self.left_norm(self.left(images))
        out += self.right_norm(self.right(images))
        return self.reader(self.relu(out))


def test_means_and_variances_of_a_sum_add_and_each_writer_keeps_its_swing():
    model = Sum()
    set_norm(model.left_norm, gamma=(3.0, 1.0), beta=(1.0, 0.0))
    set_norm(model.right_norm, gamma=(4.0, -2.0), beta=(1.5, 1.0))
    signal = signal_into(model)
    is_open = [phi(2.5 / 5), phi(1 / math.sqrt(5))]
    assert_close(swing(signal, "left"), [3.0 * is_open[0], 1.0 * is_open[1]])
    assert_close(swing(signal, "right"), [4.0 * is_open[0], 2.0 * is_open[1]])
    writer, unit, swings = signal.strongest()
    assert [names(signal)[index] for index in writer] == ["right", "right"]
    assert unit.tolist() == [0, 1]
    assert_close(swings, [4.0 * is_open[0], 2.0 * is_open[1]])


def test_a_layer_that_reaches_a_sum_by_two_ways_counts_with_both():
    signal = signal_into(Chain(Function(lambda x: x + torch.relu(x))))
    assert_close(swing(signal, "conv"), [2.0 * (1 + phi(0.15)), 0.5 * (1 + phi(-0.8))])


def test_a_batchnorm_after_the_sum_scales_by_its_own_statistics():
    norm = nn.BatchNorm2d(2)
    set_norm(norm, gamma=(3.0, -1.0), beta=(0.1, 0.2), std=(4.0, 0.5))
    signal = signal_into(Chain(nn.Sequential(nn.ReLU(), norm)))
    assert_close(signal.variance, [9.0, 1.0])
    assert_close(swing(signal, "conv"), [2.0 * phi(0.15) * 3 / 4, -0.5 * phi(-0.8) / 0.5])


def test_a_conv_without_batchnorm_moves_by_its_raw_output():
    model = Chain(nn.ReLU())
    model.norm = nn.Identity()
    network = make_network(model, 8)
    reader, signal = network.reader(network.facts.layer("conv")), network.wiring["reader"]
    is_open = [phi(float(mean / std)) for mean, std in zip(reader.mean, reader.std, strict=True)]
    assert_close(swing(signal, "conv"), (reader.std * torch.tensor(is_open)).tolist())


@pytest.mark.parametrize(
    "between",
    [
        nn.Softmax(1),
        nn.LayerNorm(8),  # over columns
        nn.LayerNorm([2, 8, 8]),
        Function(lambda x: F.layer_norm(x.movedim(1, 3), (2,)).movedim(3, 1)),  # of two channels
        nn.Threshold(0.1, 0.0),
        Function(lambda x: x.sort(1).values),
        Function(lambda x: x.cumsum(1)),
        Function(lambda x: x * x.sum(1, keepdim=True)),
        Function(lambda x: x.flip(1) * x),
        Function(lambda x: x / x.flip(1)),
        Function(lambda x: 1 / x),
        Function(lambda x: x + torch.arange(8.0)),  # another constant at each column
        Function(lambda x: torch.special.expit(x).mean(1, keepdim=True).expand(-1, 2, -1, -1)),
    ],
    ids=str,
)
def test_what_is_not_understood_is_not_guessed(between: nn.Module):
    network = make_network(Chain(between), 8)
    assert network.wiring["reader"] is None
    assert network.wiring["conv"] is None  # the image


class OwnForward(nn.ReLU):
    """A subclass that does more than its base class; torch.fx does not look inside."""

    __module__ = "torch.nn.own"

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class Renamed(nn.ReLU):
    """A subclass that does what its base class does."""

    __module__ = "torch.nn.own"


def test_a_subclass_is_its_base_class_only_if_it_computes_as_that_does():
    assert make_network(Chain(OwnForward()), 8).wiring["reader"] is None
    assert_close(swing(signal_into(Chain(Renamed())), "conv"), [2.0 * phi(0.15), 0.5 * phi(-0.8)])


def test_a_layer_that_is_called_twice_is_not_known_nor_what_it_writes():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.shared = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)
            self.reader = nn.Conv2d(4, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.reader(self.shared(self.shared(self.conv(images))))

    wiring = make_network(Twice(), 8).wiring
    assert wiring["shared"] is None and wiring["reader"] is None


def test_a_batchnorm_of_two_signals_says_nothing_about_either():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
            self.norm, self.reader = nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.reader(self.norm(self.one(images)) + self.norm(self.other(images)))

    assert make_network(Shared(), 8).wiring["reader"] is None


def test_columns_of_a_flattened_map_are_written_by_their_channels():
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten(), nn.Linear(2 * 8 * 8, 3))
    (writer,) = signal_into(model, "2").writers
    assert writer.layer == "0"
    assert writer.unit.tolist() == [0] * 64 + [1] * 64
    last = nn.Sequential(nn.Conv2d(3, 2, 1), Function(lambda x: x.permute(0, 2, 3, 1).flatten(1)))
    model = nn.Sequential(last, nn.Linear(2 * 8 * 8, 3))
    (writer,) = signal_into(model, "1").writers
    assert writer.unit.tolist() == [0, 1] * 64


def test_hidden_linear_layers_are_followed():
    network = make_network(HiddenLinear(8), 8)
    for name, writer, n_columns in (("hidden", "conv", 4), ("fc", "hidden", 1)):
        signal = network.wiring[name]
        assert signal is not None
        (found,) = signal.writers
        assert found.layer == writer
        n_units = network.facts.layer(writer).n_units
        assert found.unit.tolist() == [u for u in range(n_units) for _ in range(n_columns)]
    assert len(network.input_swings(network.facts.layer("hidden"))) == 20


def test_what_is_broadcast_writes_all_channels():
    class Summed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.many = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 4, 1)
            self.reader = nn.Conv2d(4, 2, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.reader(self.one(images) + self.many(images))

    one, many = signal_into(Summed()).writers
    assert one.layer == "one" and one.unit.tolist() == [0, 0, 0, 0]
    assert many.layer == "many" and many.unit.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("pooled", [lambda x: x.mean((2, 3)), lambda x: torch.mean(x, [-2, -1])])
def test_a_mean_over_positions_lets_a_signal_pass_and_one_over_channels_does_not(pooled):
    model = Chain(Function(pooled))
    model.reader = nn.Linear(2, 3)
    assert_close(swing(signal_into(model), "conv"), [2.0, 0.5])
    model.between = Function(lambda x: x.mean((1, 2)))
    model.reader = nn.Linear(8, 3)
    assert make_network(model, 8).wiring["reader"] is None


@pytest.mark.parametrize(
    "model", [Planted(), find_family("demo").build(5)], ids=["planted", "demo"]
)
def test_signals_come_from_the_layers_that_the_walk_names(model: nn.Module):
    network: Network = make_network(randomise(model))
    for layer in network.facts.layers[1:]:
        signal = network.wiring[layer.name]
        assert signal is not None and set(names(signal)) == set(layer.writers), layer.name


class Branches(nn.Module):
    """Blocks as in mobile and dense networks: depthwise convs, gates, sums, a concatenation."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.stem = normed(3, width, 3)
        self.expand, self.depth = normed(width, width), normed(width, width, 3, groups=width)
        self.gate = SqueezeExcitation(width, 8)
        self.project = normed(width, width)
        self.side = normed(width, width, 3)
        self.last = normed(3 * width, width)
        self.fc = nn.Linear(width, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = F.silu(self.stem(images))
        inner = F.relu6(self.depth(F.hardswish(self.expand(x))))
        x = x + self.project(self.gate(inner))
        maps = torch.cat([x, F.leaky_relu(self.side(x), 0.1), F.gelu(x)], 1)
        return self.fc(F.elu(self.last(maps)).mean((2, 3)))


def normed(n_inputs: int, n_outputs: int, kernel: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(n_inputs, n_outputs, kernel, groups=groups, bias=False)
    if kernel > 1:
        layer.padding, layer.padding_mode = (kernel // 2,) * 2, "circular"  # no border
        layer._reversed_padding_repeated_twice = [kernel // 2] * 4
    return nn.Sequential(layer, nn.BatchNorm2d(n_outputs))


@pytest.mark.parametrize("seed", range(3))
def test_predicted_moments_are_those_of_a_calibrated_random_network(seed: int) -> None:
    """On images of noise; channels of random layers are nearly Gaussian and independent."""
    torch.manual_seed(seed)
    model = randomise(Branches(), seed)
    images = torch.randn(24, 3, 24, 24)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images)
    network = make_network(model, 24)
    wiring, inputs = network.wiring, dict[str, Tensor]()
    for layer in network.facts.layers:
        network.model.get_submodule(layer.name).register_forward_hook(
            lambda _module, args, _output, name=layer.name: inputs.update({name: args[0]})
        )
    network.model(images)
    vectors = {"gate.fc1", "gate.fc2", "fc"}  # pooled: they vary less
    for name in {layer.name for layer in network.facts.layers[1:]} - vectors:
        signal, values = wiring[name], inputs[name]
        assert signal is not None, name
        std = values.std((0, 2, 3)).clamp(min=0.02)  # some channels are never above zero
        assert ((signal.mean - values.mean((0, 2, 3))) / std).abs().median() < 0.05, name
        assert (signal.variance.sqrt() / std - 1).abs().median() < 0.1, name


def test_a_network_whose_shapes_depend_on_numbers_is_not_known():
    """torch.fx traces it, but what it computes needs real tensors."""
    between = Function(lambda x: x[torch.nonzero(x.sum((1, 2, 3)) > -1e9).flatten()])
    network = make_network(Chain(between), 8)
    assert network.wiring == {"conv": None, "reader": None}


@pytest.mark.parametrize("divisor", [0, 0.0, torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)])
def test_what_is_divided_by_zero_is_not_known(divisor) -> None:
    network = make_network(Chain(Function(lambda x: x / divisor)))
    assert network.wiring["reader"] is None
