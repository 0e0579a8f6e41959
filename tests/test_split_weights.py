"""Weights that a file has in parts are those that the network computes with."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from atlas.network.fitted import FittedModel, load_weights
from atlas.network.split_weights import with_whole_tensors
from atlas.network.weights import open_weights


class Net(nn.Module):
    def __init__(self, n_classes: int = 5) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(images).relu().mean((2, 3)))


def pruned(layer: nn.Module) -> nn.Module:
    prune.random_unstructured(layer, "bias", amount=2)
    return prune.l1_unstructured(layer, "weight", amount=0.5)


def load(path: Path, build: type = Net) -> FittedModel:
    with open_weights(path) as weights:
        return load_weights(build, "fc", weights, "Net", 5)


IN_PARTS = {
    "weight norm": weight_norm,
    "weight norm of inputs": lambda layer: weight_norm(layer, dim=1),
    "weight norm of all": lambda layer: weight_norm(layer, dim=None),
    "parametrised weight norm": parametrizations.weight_norm,
    "spectral norm": spectral_norm,
    "parametrised spectral norm": parametrizations.spectral_norm,
    "pruned": pruned,
}


@pytest.fixture(params=IN_PARTS.values(), ids=IN_PARTS)
def changed(request) -> nn.Module:
    """A network with three classes whose layers have their weights in parts."""
    torch.manual_seed(0)
    net = Net(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the older ones are deprecated
        net.conv, net.fc = request.param(net.conv), request.param(net.fc)
    for parameter in net.parameters():
        parameter.data += 0.1 * torch.rand_like(parameter)
    net(torch.rand(2, 3, 8, 8))
    return net.eval()


def test_parts_are_put_together_as_the_network_does_it(tmp_path, changed):
    torch.save(changed.state_dict(), tmp_path / "a.pth")
    fitted = load(tmp_path / "a.pth")
    images = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(fitted.model(images), changed(images))
    assert (fitted.n_classes, fitted.absent) == (3, ())
    assert [line for line in fitted.remarks if "in parts in the file" in line]
    assert not [line for line in fitted.remarks if "left over" in line]


class Normed(Net):
    """Its own code has the classifier's weight in parts."""

    def __init__(self, n_classes: int = 5) -> None:
        super().__init__(n_classes)
        self.fc = parametrizations.weight_norm(self.fc)


@pytest.mark.parametrize("n_classes", [5, 3])
def test_a_network_with_parts_of_its_own_has_its_classes(tmp_path, n_classes):
    trained = Normed(n_classes).eval()
    torch.save(trained.state_dict(), tmp_path / "a.pth")
    fitted = load(tmp_path / "a.pth", Normed)
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(fitted.model(images), trained(images))
    assert (fitted.n_classes, fitted.remarks) == (n_classes, ())


def test_parts_of_shapes_that_do_not_belong_together_are_no_tensor(tmp_path):
    parts = {"conv.weight_v": torch.ones(8, 3, 3, 3), "conv.weight_g": torch.ones(7, 1, 1, 1)}
    torch.save(parts, tmp_path / "a.pth")
    with open_weights(tmp_path / "a.pth") as weights:
        assert list(with_whole_tensors(weights).tensors) == list(parts)
