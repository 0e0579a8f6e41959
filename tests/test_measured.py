"""Operations without running statistics: what is said of them against what they do to real maps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import pytest
import torch
import torch.nn.functional as F
from conftest import make_network, randomise
from torch import Tensor, nn
from torchvision.models.convnext import CNBlock, LayerNorm2d

from atlas.generated_images import reference_images
from atlas.network.measured import nodes_to_measure
from atlas.network.network import Network
from atlas.network.signals import Signal
from atlas.network.statistics import normalised_batches

SIZE_PX = 16
N_CHANNELS = 32
STEP = 0.05  # sigmas by which a unit is moved, to either side


class Function(nn.Module):
    """Any function in a module's place; torch.fx looks inside."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Around(nn.Module):
    """Something between two convs."""

    def __init__(self, between: nn.Module, n_channels: int = N_CHANNELS) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, n_channels, 3, padding=1)
        self.between = between
        self.reader = nn.Conv2d(n_channels, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.reader(self.between(self.conv(images)))


def affine(norm: nn.Module) -> nn.Module:
    """A normaliser with a scale and a shift of its own for each channel."""
    norm.weight.data = torch.linspace(-0.5, 1.5, N_CHANNELS)
    norm.bias.data = torch.linspace(1, -1, N_CHANNELS)
    return norm


class GlobalResponseNorm(nn.Module):
    """As in ConvNeXt V2, https://arxiv.org/abs/2301.00808."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-0.5, 1.5, N_CHANNELS))
        self.bias = nn.Parameter(torch.linspace(1, -1, N_CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        size = x.norm(p=2, dim=(1, 2), keepdim=True)
        scale = size / (size.mean(-1, keepdim=True) + 1e-6)
        response = torch.addcmul(self.bias.view(1, 1, 1, -1), self.weight, x * scale)
        return (x + response).permute(0, 3, 1, 2)


def channels_last(normalise: Callable[[Tensor], Tensor]) -> nn.Module:
    return Function(lambda x: normalise(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


NORMALISERS: Mapping[str, Callable[[], nn.Module]] = {
    "layer norm of maps": lambda: affine(LayerNorm2d(N_CHANNELS)),
    "layer norm, channels last": lambda: channels_last(lambda x: F.layer_norm(x, (N_CHANNELS,))),
    "root of squares": lambda: channels_last(lambda x: F.rms_norm(x, (N_CHANNELS,))),
    "groups": lambda: affine(nn.GroupNorm(16, N_CHANNELS)),
    "groups and then a relu": lambda: nn.Sequential(affine(nn.GroupNorm(4, N_CHANNELS)), nn.ReLU()),
    "one group": lambda: nn.GroupNorm(1, N_CHANNELS),
    "each channel": lambda: nn.InstanceNorm2d(N_CHANNELS),
    "neighbouring channels": lambda: nn.LocalResponseNorm(5),
    "global response": GlobalResponseNorm,
    "a repeated gate": lambda: Function(
        lambda x: x * torch.sigmoid(3 * x.mean((2, 3), keepdim=True)).expand_as(x)
    ),
    "a gate of its own": lambda: Function(
        lambda x: x * torch.sigmoid(3 * x.mean((2, 3), keepdim=True))
    ),
}
POOLS: Mapping[str, Callable[[], nn.Module]] = {
    "max": lambda: nn.MaxPool2d(3, 2, 1),
    "function": lambda: Function(lambda x: F.max_pool2d(x, 2)),
    "average": lambda: nn.AvgPool2d(2),
}


def network_of(between: nn.Module) -> Network:
    torch.manual_seed(0)
    network = make_network(randomise(Around(between)), SIZE_PX)
    network.model.get_submodule("between").load_state_dict(between.state_dict())
    return network


def images_of(network: Network) -> Tensor:
    """The images that are measured on, as the network is given them."""
    images = reference_images(SIZE_PX, 3)
    return torch.cat([*normalised_batches(images, network.facts.preprocessing, network.device)])


def signal_into(network: Network) -> Signal:
    signal = network.wiring["reader"]
    assert signal is not None
    return signal


@torch.no_grad()
def slopes(network: Network, moved: Tensor, read: Tensor) -> Tensor:
    """How far each channel moves with its own unit, per sigma: (N_CHANNELS,).

    Args:
        network: of convs around something.
        moved: where units are moved, as zeros and ones, (B, h, w).
        read: the positions that are read, as zeros and ones.
    """
    maps = network.model.conv(images_of(network))
    std = network.reader(network.facts.layer("conv")).std
    found = []
    for unit in range(N_CHANNELS):
        step = torch.zeros_like(maps)
        step[:, unit] = STEP * std[unit] * moved
        up, down = (network.model.between(maps + sign * step)[:, unit] for sign in (1, -1))
        found.append(((up - down) * read).sum() / (2 * STEP * read.sum()))
    return torch.stack(found)


@pytest.mark.parametrize("name", NORMALISERS)
def test_a_unit_moves_what_a_normaliser_gives_as_far_as_is_said(name: str) -> None:
    network = network_of(NORMALISERS[name]())
    # So few positions that one hardly changes what others are divided by.
    chosen = (torch.rand(len(images_of(network)), SIZE_PX, SIZE_PX) < 0.03).float()
    expected = slopes(network, chosen, chosen)
    _, units, swings = signal_into(network).strongest()
    assert units.tolist() == list(range(N_CHANNELS))
    assert ((swings - expected).abs() / expected.abs().median()).median() < 0.06
    assert torch.corrcoef(torch.stack([swings, expected]))[0, 1] > 0.98


@pytest.mark.parametrize("name", NORMALISERS)
def test_moments_after_a_normaliser_are_those_of_the_images(name: str) -> None:
    network = network_of(NORMALISERS[name]())
    with torch.no_grad():
        maps = network.model.between(network.model.conv(images_of(network)))
    signal = signal_into(network)
    is_predicted = name in ("groups and then a relu", "global response")  # what comes after it
    tolerance = 0.15 if is_predicted else 1e-4
    std = maps.std((0, 2, 3))
    assert ((signal.mean - maps.mean((0, 2, 3))) / std).abs().median() < tolerance
    assert (signal.variance.sqrt() / std - 1).abs().median() < tolerance


@pytest.mark.parametrize(
    "between",
    [
        nn.LayerNorm(SIZE_PX),  # over columns
        nn.LayerNorm([N_CHANNELS, SIZE_PX, SIZE_PX]),
        Function(lambda x: x * x.sum(1, keepdim=True)),
        channels_last(lambda x: F.layer_norm(x.unflatten(3, (4, 8)), (8,)).flatten(3)),
    ],
    ids=["columns", "whole images", "all channels", "few channels"],
)
def test_a_normaliser_that_joins_other_things_or_few_channels_is_not_known(between: nn.Module):
    assert network_of(between).wiring["reader"] is None


def distances(x: Tensor) -> Tensor:
    return torch.cdist(x.flatten(2), x.flatten(2)).mean(-1)[:, :, None, None]


def test_what_has_no_forward_derivative_in_torch_is_not_known() -> None:
    maps = torch.rand(2, 3, 4, 4)
    with pytest.raises(RuntimeError, match="forward AD"):
        torch.func.jvp(distances, (maps,), (maps,))
    assert network_of(Function(lambda x: x * distances(x))).wiring["reader"] is None


def test_what_torch_says_of_its_own_derivatives_is_not_shown(monkeypatch: pytest.MonkeyPatch):
    derivative, called = torch.func.jvp, []

    def warning(*args: object) -> object:
        called.append(args)
        warnings.warn("`torch.jit.script` is deprecated", FutureWarning, stacklevel=2)
        return derivative(*args)

    monkeypatch.setattr(torch.func, "jvp", warning)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert network_of(nn.GroupNorm(4, N_CHANNELS)).wiring["reader"] is not None
    assert called


def test_a_normaliser_that_says_nothing_is_known() -> None:
    """As the last ones of blocks do when training begins."""
    norm = nn.GroupNorm(4, N_CHANNELS)
    norm.weight.data.zero_()
    signal = signal_into(network_of(norm))
    assert (signal.variance == 0).all() and (signal.strongest()[2] == 0).all()


@pytest.mark.parametrize("name", POOLS)
def test_what_a_relu_makes_of_a_pool_follows_from_what_the_pool_gives(name: str) -> None:
    """Most units are above zero somewhere in a window, though they are not at most positions."""
    pool = POOLS[name]()
    network = network_of(nn.Sequential(pool, nn.ReLU()))
    with torch.no_grad():
        maps = network.model.between(network.model.conv(images_of(network)))
    signal = signal_into(network)
    std = maps.std((0, 2, 3)).clamp(min=0.05)
    assert ((signal.mean - maps.mean((0, 2, 3))) / std).abs().median() < 0.1
    assert (signal.variance.sqrt() / std).median() == pytest.approx(1, abs=0.1)
    expected = slopes(network, torch.ones(SIZE_PX, SIZE_PX), torch.ones_like(maps[:, 0]))
    _, _, swings = signal.strongest()
    assert ((swings - expected).abs() / expected.clamp(min=0.05)).median() < 0.06


def test_pools_are_measured_only_where_their_moments_matter() -> None:
    def measured(*between: nn.Module) -> int:
        graph = network_of(nn.Sequential(*between)).graph
        assert graph is not None
        return len(nodes_to_measure(graph))

    pool, concatenated = nn.MaxPool2d(2), Function(lambda x: torch.cat([x[:, :8], x[:, 8:]], 1))
    norm = nn.BatchNorm2d(N_CHANNELS)
    assert measured(nn.ReLU(), pool) == 0
    assert measured(pool, concatenated, norm, nn.ReLU()) == 0
    assert measured(pool, nn.Dropout()) == 0
    assert measured(pool, concatenated, nn.ReLU()) == 1
    assert measured(pool, nn.GroupNorm(4, N_CHANNELS)) == 1  # the normaliser


class Blocks(nn.Module):
    """A stem and blocks as in ConvNeXt, and a stage of its own after a LayerNorm and a stride."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 4, 4), LayerNorm2d(width))
        self.first = CNBlock(width, 1.0, 0.0)
        self.down = nn.Sequential(LayerNorm2d(width), nn.Conv2d(width, 2 * width, 2, 2))
        self.second = CNBlock(2 * width, 1.0, 0.0)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), LayerNorm2d(2 * width), nn.Flatten())
        self.classifier = nn.Linear(2 * width, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.second(self.down(self.first(self.stem(images))))
        return self.classifier(self.head(maps))


@pytest.mark.parametrize("seed", range(2))
def test_moments_of_a_network_with_layer_norms_hold_for_other_images(seed: int) -> None:
    """All layers are known; channels of one layer differ, which the correlations show."""
    torch.manual_seed(seed)
    network = make_network(randomise(Blocks(), seed), 64)
    wiring, inputs = network.wiring, dict[str, Tensor]()
    for layer in network.facts.layers[1:]:
        network.model.get_submodule(layer.name).register_forward_pre_hook(
            lambda _module, args, name=layer.name: inputs.update({name: args[0]})
        )
    seen = network.facts.preprocessing
    images = [*reference_images(64, 3, 64 + 16)][64:]
    with torch.no_grad():
        network.model(torch.cat([*normalised_batches(iter(images), seen, network.device)]))
    correlations = []
    for name, values in inputs.items():
        signal = wiring[name]
        assert signal is not None, name
        is_last = values.ndim == 2 or values.shape[-1] == len(signal.mean)
        own = values.movedim(-1 if is_last else 1, 0).flatten(1)
        for predicted, measured in (
            (signal.mean, own.mean(1)),
            (signal.variance.sqrt(), own.std(1)),
        ):
            correlations.append(torch.corrcoef(torch.stack([predicted, measured]))[0, 1])
    assert len(correlations) == 2 * 8
    assert torch.stack(correlations).median() > 0.97
