"""Signals against networks whose layers give Gaussian noise: moments, and who moves what how far.

Every layer's output is replaced by independent noise with the mean and the deviation that its
reader holds. So the assumptions of signals are true, and what is left to test is how they are
computed. To see which channels a unit writes, its noise alone is shifted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import make_network, randomise
from torch import Tensor, nn
from torchvision import models
from torchvision.models.shufflenetv2 import channel_shuffle
from torchvision.ops import SqueezeExcitation

from atlas.network.network import Network
from atlas.network.taps import Statistics

SIZE_PX = 4
N_IMAGES = 2000
SHIFT = 0.2  # sigmas by which a unit is shifted, to either side


def conv(n_inputs: int, n_outputs: int, kernel: int = 1, **options: Any) -> nn.Sequential:
    """A conv with BatchNorm."""
    layer = nn.Conv2d(n_inputs, n_outputs, kernel, padding=kernel // 2, bias=False, **options)
    return nn.Sequential(layer, nn.BatchNorm2d(n_outputs))


class Net(nn.Module):
    """A stem of six channels, something after it, and classes."""

    def __init__(self, n_channels: int = 6) -> None:
        super().__init__()
        self.stem = conv(3, 6)
        self.reader = nn.Conv2d(n_channels, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.reader(self.middle(self.stem(images)))

    def middle(self, x: Tensor) -> Tensor:
        raise NotImplementedError


class Pointwise(Net):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def middle(self, x: Tensor) -> Tensor:
        return self.function(x)


class Dense(Net):
    """Concatenations that are normalised before they are read, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__(6 + 2 + 2)
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (6, 8, 10))
        self.convs = nn.ModuleList(nn.Conv2d(n, 2, 3, padding=1) for n in (6, 8))

    def middle(self, x: Tensor) -> Tensor:
        features = [x]
        for norm, layer in zip(self.norms, self.convs, strict=False):
            features.append(layer(F.relu(norm(torch.cat(features, 1)))))
        return self.norms[2](torch.cat(features, 1)).relu_()


class Shuffled(Net):
    """Half of the channels pass, the rest is read; then all are shuffled, as in ShuffleNet."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            conv(3, 3), nn.ReLU(inplace=True), conv(3, 3, 3, groups=3), conv(3, 3), nn.ReLU(True)
        )

    def middle(self, x: Tensor) -> Tensor:
        passing, read = x.chunk(2, dim=1)
        return channel_shuffle(torch.cat((passing, self.branch(read)), dim=1), 2)


class ShuffledByMethods(Shuffled):
    """The same shuffle through the methods of tensors."""

    def middle(self, x: Tensor) -> Tensor:
        passing, read = x.chunk(2, dim=1)
        both = torch.cat((passing, self.branch(read)), dim=1)
        n_images, n_channels, height, width = both.shape
        halves = both.view(n_images, 2, n_channels // 2, height, width)
        return halves.transpose(1, 2).contiguous().view(n_images, n_channels, height, width)


class Sliced(Net):
    """Channels by index, split in uneven parts, in reverse, and through torch's own shuffle."""

    def __init__(self) -> None:
        super().__init__(10)
        self.first, self.second = nn.Conv2d(2, 2, 1), nn.Conv2d(4, 4, 1, groups=2)
        self.shuffle = nn.ChannelShuffle(5)

    def middle(self, x: Tensor) -> Tensor:
        two, four = x.split([2, 4], 1)
        first = self.first(x[:, 1:3] + two)
        second = self.second(x[:, [5, 0, 0, 3]] * 2 - four.flip(1))
        return self.shuffle(torch.cat([first, second, four], 1))


class Squeezed(Net):
    """A gate for each channel, as in EfficientNet; what comes after is a residual sum."""

    def __init__(self, gate: type[nn.Module] = nn.Sigmoid) -> None:
        super().__init__()
        self.expand = conv(6, 6)
        self.gate = SqueezeExcitation(6, 3, nn.SiLU, gate)
        self.project = conv(6, 6)

    def middle(self, x: Tensor) -> Tensor:
        return x + self.project(self.gate(F.silu(self.expand(x))))


class Gate(Net):
    """A map that opens and closes all channels at a position."""

    def __init__(self) -> None:
        super().__init__()
        self.opens = nn.Conv2d(6, 1, 1)

    def middle(self, x: Tensor) -> Tensor:
        return torch.relu(x) * torch.sigmoid(self.opens(x))


class ChannelsLast(Net):
    """Linear layers at every position and a scale for each channel, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(6, 8), nn.Linear(8, 6)
        self.layer_scale = nn.Parameter(torch.linspace(-1, 2, 6)[:, None, None])

    def middle(self, x: Tensor) -> Tensor:
        positions = x.permute(0, 2, 3, 1)
        maps = self.narrow(F.gelu(self.wide(positions))).permute(0, 3, 1, 2)
        return x + self.layer_scale * maps


class Padded(Net):
    """A shortcut without weights that adds channels of zeros, as in the first CIFAR networks."""

    def __init__(self) -> None:
        super().__init__(10)
        self.branch = conv(6, 10, 3, stride=2)

    def middle(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2)).add_(self.branch(x)).relu()


class TwoWays(Net):
    """Channels that reach a sum on two ways, once as another channel."""

    def middle(self, x: Tensor) -> Tensor:
        return x.relu() + x.roll(1, 1) * 0.5 + 1


class InPlace(Net):
    """What is overwritten is read later under its old name."""

    def middle(self, x: Tensor) -> Tensor:
        rectified = x.relu_()
        return x + rectified


class Pooled(Net):
    """The mean over positions, twice, and a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(6, 5)
        self.reader = nn.Linear(5, 3)

    def middle(self, x: Tensor) -> Tensor:
        return F.hardswish(self.hidden(F.relu6(x).mean([2, 3])))


class Unfolded(Net):
    """Positions become channels."""

    def __init__(self) -> None:
        super().__init__(24)

    def middle(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x.relu(), 2)


def prelu() -> nn.PReLU:
    function = nn.PReLU(6)
    function.weight.data = torch.linspace(-0.5, 1.5, 6)
    return function


GATES = ("gate.fc2", "opens")  # layers whose output multiplies maps
# Layers that read averages of whole maps, whose moments are not known.
POOLED = {"sigmoid gate": ["gate.fc1"], "hardsigmoid gate": ["gate.fc1"], "pooled": ["hidden"]}
NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "relu6": lambda: Pointwise(nn.ReLU6()),
    "prelu": lambda: Pointwise(prelu()),
    "leaky": lambda: Pointwise(nn.LeakyReLU(0.2, inplace=True)),
    "hardswish by hand": lambda: Pointwise(lambda x: x * F.relu6(x + 3) / 6),
    "swish by hand": lambda: Pointwise(lambda x: x * torch.sigmoid(1.702 * x)),
    "affine": lambda: Pointwise(lambda x: (3 - x.mul(2)) / 4 - 1),
    "both signs": lambda: Pointwise(lambda x: torch.relu(x) - torch.relu(-x) * 0.3),
    "clamped": lambda: Pointwise(lambda x: x.clamp(-0.5, max=0.4).abs()),
    "dense": Dense,
    "shuffled": Shuffled,
    "shuffled by methods": ShuffledByMethods,
    "sliced": Sliced,
    "sigmoid gate": Squeezed,
    "hardsigmoid gate": lambda: Squeezed(nn.Hardsigmoid),
    "gate of positions": Gate,
    "channels last": ChannelsLast,
    "padded": Padded,
    "two ways": TwoWays,
    "in place": InPlace,
    "pooled": Pooled,
    "unfolded": Unfolded,
}


def standard_noise(shape: torch.Size, seed: int) -> Tensor:
    """Gaussian noise whose mean over all but the last dim is 0, and the deviation 1."""
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).flatten(0, -2)
    return ((noise - noise.mean(0)) / noise.std(0)).view(shape)


class Noisy:
    """A network whose layers give noise, and what they read of each other."""

    def __init__(self, network: Network, shape: tuple[int, ...]) -> None:
        self.network = network
        self.shape = shape  # of the images
        self.inputs: dict[str, Tensor] = {}
        self.readers = {layer.name: network.reader(layer) for layer in network.facts.layers}
        self.shifts: dict[str, Tensor] = {}  # by layer, of each unit in sigmas
        self.noise: dict[str, Tensor] = {}  # by layer
        for layer in network.facts.layers:
            module = network.model.get_submodule(layer.name)
            module.register_forward_hook(self.replace)
            module.atlas_name = layer.name

    def replace(self, module: nn.Module, args: tuple[Tensor], output: Tensor) -> Tensor:
        """Noise in place of a layer's output, always the same."""
        if output.is_meta:  # only its shape is asked for
            return output
        layer = self.network.facts.layer(module.atlas_name)
        reader = self.readers[layer.name]
        self.inputs[layer.name] = args[0].detach().clone()
        dim = -1 if isinstance(module, nn.Linear) else 1
        if layer.name not in self.noise:
            noise = standard_noise(output.movedim(dim, -1).shape, layer.index)
            self.noise[layer.name] = noise.movedim(-1, dim)
        shape = [1] * output.ndim
        shape[dim] = -1
        shift = self.shifts.get(layer.name, torch.zeros(layer.n_units))
        centre = reader.mean + reader.sign * reader.std * shift
        return centre.view(shape) + reader.std.view(shape) * self.noise[layer.name]

    @torch.no_grad()
    def run(self) -> dict[str, Tensor]:
        """Per layer its inputs, (n, in_channels), over all images and positions."""
        self.network.model(torch.zeros(self.shape))
        found = {}
        for name, values in self.inputs.items():
            is_conv = isinstance(self.network.model.get_submodule(name), nn.Conv2d)
            found[name] = (values.permute(0, 2, 3, 1) if is_conv else values).flatten(0, -2)
        return found

    @torch.no_grad()
    def calibrate(self) -> None:
        """Statistics of those BatchNorms that do not follow a layer at once."""
        own = {layer.batch_norm for layer in self.network.facts.layers}
        for name, module in self.network.model.named_modules():
            if isinstance(module, nn.BatchNorm2d) and name not in own:
                module.momentum = 1.0
                module.train()
                self.run()  # what is before it is calibrated already
                module.eval()

    def moved(self, layer: str, unit: int) -> dict[str, Tensor]:
        """Per layer how far its inputs move with a unit, per sigma of the unit."""
        n_units = self.network.facts.layer(layer).n_units
        sides = []
        for shift in (SHIFT, -SHIFT):
            self.shifts = {layer: torch.eye(n_units)[unit] * shift}
            sides.append({name: values.mean(0) for name, values in self.run().items()})
        self.shifts = {}
        return {name: (sides[0][name] - sides[1][name]) / (2 * SHIFT) for name in sides[0]}


def noisy(name: str) -> Noisy:
    torch.manual_seed(0)
    network = make_network(randomise(NETWORKS[name]()), SIZE_PX)
    found = Noisy(network, (N_IMAGES, 3, SIZE_PX, SIZE_PX))
    found.calibrate()
    return found


def read_layers(network: Network) -> list[str]:
    """The layers that do not read the image."""
    return [layer.name for layer in network.facts.layers[1:]]


@pytest.mark.parametrize("name", NETWORKS)
def test_predicted_moments_are_those_measured_on_noise(name: str) -> None:
    found = noisy(name)
    inputs = found.run()
    for layer in read_layers(found.network):
        signal = found.network.wiring[layer]
        assert signal is not None, layer
        if layer in POOLED.get(name, ()):
            assert signal.mean.isnan().all() and signal.variance.isnan().all()
            continue
        values = inputs[layer]
        std = values.std(0).clamp(min=0.05)
        torch.testing.assert_close(signal.mean / std, values.mean(0) / std, atol=0.03, rtol=0)
        deviations = signal.variance.sqrt() / std, values.std(0) / std
        torch.testing.assert_close(*deviations, atol=0.03, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_each_unit_moves_the_channels_that_it_is_named_for_and_as_far(name: str) -> None:
    found = noisy(name)
    network = found.network
    writers = [each for each in network.facts.layers[:-1] if each.name not in GATES]
    for writer in writers:
        for unit in range(writer.n_units):
            moved = found.moved(writer.name, unit)
            for layer in read_layers(network):
                signal = network.wiring[layer]
                assert signal is not None
                expected = torch.zeros_like(signal.mean)
                is_named = torch.zeros_like(signal.mean, dtype=torch.bool)
                for each in signal.writers:
                    if each.layer == writer.name:
                        expected += torch.where(each.unit == unit, each.swing, 0)
                        is_named |= each.unit == unit
                torch.testing.assert_close(moved[layer], expected, atol=0.03, rtol=0.03)
                assert ((moved[layer] != 0) <= is_named).all(), (layer, writer.name)


@pytest.mark.parametrize(
    "name",
    [
        *("shufflenet_v2_x0_5", "densenet121", "googlenet", "squeezenet1_1", "regnet_y_400mf"),
        *("mobilenet_v3_small", "efficientnet_b0", "vgg11_bn", "convnext_tiny"),
    ],
)
def test_units_of_known_networks_move_the_channels_that_they_are_named_for(name: str) -> None:
    """All others' inputs are not changed by the shift; a LayerNorm changes them a little."""
    most_of_others = 0.15 if name == "convnext_tiny" else 0.0
    torch.manual_seed(0)
    options = {"init_weights": False} if name == "googlenet" else {}
    model = models.get_model_builder(name)(weights=None, num_classes=10, **options)
    network = make_network(randomise(model), 64)
    network.__dict__["measured"] = {
        layer.name: Statistics.none(layer.n_units, network.device) for layer in network.layers
    }
    found = Noisy(network, (2, 3, 64, 64))
    gates = {gate for layer in network.layers for gate in layer.gates}
    writers = [layer for layer in network.layers[:-1] if layer.name not in gates]
    before = found.run()
    n_checked = 0
    for writer in writers[:: max(1, len(writers) // 8)]:
        unit = writer.n_units // 3
        after = []
        for shift in (3.0, -3.0):
            found.shifts = {writer.name: torch.eye(writer.n_units)[unit] * shift}
            after.append(found.run())
        for layer in read_layers(network):
            if signal := network.wiring[layer]:
                changes = [(each[layer] - before[layer]).abs().mean(0) for each in after]
                change = torch.stack(changes)
                moved = change.amax(0) > most_of_others * change.max()
                swings = [
                    torch.where(each.unit == unit, each.swing.abs(), 0)
                    for each in signal.writers
                    if each.layer == writer.name
                ]
                swing = torch.stack(swings).sum(0) if swings else torch.zeros_like(signal.mean)
                assert (moved <= (swing > 0)).all(), (layer, writer.name)
                assert (moved >= (swing > 0.2)).all(), (layer, writer.name)
                n_checked += bool(swings)
    assert n_checked > 5
