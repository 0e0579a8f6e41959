"""A network that does not run in half precision is rendered in float32, and that is said once."""

from __future__ import annotations

import pytest
import torch
from conftest import Planted, make_network, randomise
from torch import Tensor, nn
from torch.nn import functional as F

from atlas import renderer as renderer_module
from atlas.network.trial import is_random, why_it_fails
from atlas.pictures.recipes import ascend
from atlas.recipes import Fourier, Stage
from atlas.renderer import Renderer

SIZE_PX = 32
RECIPE = Fourier((Stage(24, 2),), margin_px=0, objective="mean")


class OwnTensors(nn.Module):
    """Makes tensors of its own, or leaves PyTorch, in one of several ways."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.first, self.second = nn.Conv2d(3, 6, 3), nn.Conv2d(8, 6, 3)
        self.fc = nn.Linear(6, 3)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images).relu()
        if self.way == "zeros":
            more = torch.zeros(len(x), 2, *x.shape[2:])
        elif self.way == "ramp":
            more = torch.linspace(-1, 1, x.shape[3]).expand(len(x), 2, *x.shape[2:])
        elif self.way == "float":
            x, more = x.float(), x[:, :2].float()
        else:
            more = torch.from_numpy(x[:, :2].detach().numpy())
        return self.fc(self.second(torch.cat([x, more], 1)).relu().mean((2, 3)))


@pytest.mark.parametrize("way", ["zeros", "ramp", "float", "numpy"])
def test_what_does_not_run_in_half_precision_is_rendered_in_float32(way, monkeypatch, capsys):
    pictures = []
    for precision in ("bfloat16", "float32"):
        monkeypatch.setattr(renderer_module, "fastest_precision", lambda _, it=precision: it)
        torch.manual_seed(0)  # of the biases
        network = make_network(randomise(OwnTensors(way)), SIZE_PX)
        capsys.readouterr()
        for _ in range(2):
            renderer = Renderer(network)
        said = capsys.readouterr().err
        assert said.count("\n") == (1 if precision == "bfloat16" else 0), said
        assert renderer.precision == "float32"
        layer = network.facts.layer("second")
        fast, _ = renderer.taps(layer, RECIPE)
        pictures.append(ascend(fast, layer.units[:2], RECIPE).final)
    assert torch.equal(*pictures)


def test_what_runs_in_half_precision_is_left_there(capsys):
    network = make_network(randomise(Planted()))
    assert network.usable("bfloat16") == "bfloat16"
    assert not capsys.readouterr().err


def test_what_runs_in_no_precision_says_nothing_about_one(capsys):
    class Overwriting(OwnTensors):
        def forward(self, images: Tensor) -> Tensor:
            return self.fc(self.first(images).relu().mul_(2).mean((2, 3)))

    network = make_network(randomise(Overwriting("")), SIZE_PX)
    assert network.usable("bfloat16") == "bfloat16"
    assert not capsys.readouterr().err


def test_a_network_is_tried_backwards_as_well():
    """The output of a ReLU is needed for its gradient, so that no gradient comes through here."""

    class Overwriting(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.relu().mul_(2)

    images = torch.ones(1, 3, 4, 4)
    assert "modified by an inplace operation" in why_it_fails(Overwriting(), images)
    assert not why_it_fails(nn.ReLU(), images)


class Drawing(nn.Module):
    """Draws random numbers in evaluation mode, or does not."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.conv, self.fc = way, nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.dropout = nn.Dropout()

    def forward(self, images: Tensor) -> Tensor:
        x = self.dropout(self.conv(images))
        if self.way == "dropout":
            x = F.dropout(x)
        elif self.way == "noise":
            x = x + 0.1 * torch.randn_like(x)
        return self.fc(x.mean((2, 3)))


@pytest.mark.parametrize(("way", "draws"), [("dropout", True), ("noise", True), ("none", False)])
def test_chance_is_said_once(way, draws, capsys):
    network = make_network(Drawing(way), SIZE_PX)
    capsys.readouterr()
    state = torch.get_rng_state()
    network.prepare()
    assert capsys.readouterr().err.count("depend on chance") == draws
    assert torch.equal(torch.get_rng_state(), state)
    assert is_random(network.model, torch.rand(2, 3, SIZE_PX, SIZE_PX)) == draws
