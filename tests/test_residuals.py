"""Residual branches: which they are, and what damping and varying them does."""

from __future__ import annotations

import pytest
import torch
from conftest import IMAGE_PX, Planted, make_network, randomise
from torch import nn
from torchvision import models

from atlas.network.residuals import ResidualBranches, residual_branches
from atlas.network.tracing import trace
from atlas.pictures.fourier import BranchNoise, Stream
from atlas.recipes import Fourier, Stage


@pytest.mark.parametrize(
    ("name", "n_branches"),
    # Blocks with a shortcut; networks without sums have none.
    [("resnet18", 8), ("resnet50", 16), ("mobilenet_v2", 10), ("vgg11", 0), ("densenet121", 0)],
)
def test_each_block_with_a_shortcut_has_one(name: str, n_branches: int):
    with torch.device("meta"):
        model = models.get_model(name).eval()
    graph = trace(model, 3, 64)
    found = residual_branches(graph)
    assert len(found) == n_branches
    if name == "resnet50":
        assert [branch.name for _, branch in found][:2] == ["layer1_0_bn3", "layer1_1_bn3"]


class Sum(nn.Module):
    """A shortcut, and a branch that doubles what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(self.branch.weight, 2.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images + self.branch(images)


class OwnPadding(nn.Conv2d):
    """A convolution that computes in its own way, as those of ports from TensorFlow do."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pad(images, (0, 1, 0, 1))) * 1.0


def test_a_branch_of_convolutions_of_ones_own_is_found():
    module = Sum().eval()
    module.branch = OwnPadding(1, 1, 2, bias=False)
    assert len(residual_branches(trace(module, 1, 4))) == 1


def test_gains_are_an_images_own_and_scale_value_and_gradient():
    branches = ResidualBranches(trace(Sum().eval(), 1, 4))
    branches.scale(torch.tensor([[0.8], [1.2]]))
    both = branches.graph(torch.ones(2, 1, 4, 4)).detach()[:, 0, 0, 0]
    branches.scale(torch.tensor([[1.2]]))
    images = torch.ones(1, 1, 4, 4, requires_grad=True)
    alone = branches.graph(images)
    alone.sum().backward()
    assert alone.detach()[0, 0, 0, 0] == both[1] != both[0]
    assert images.grad == pytest.approx(both[1].item())
    assert both.tolist() == pytest.approx([1 + 2 * 0.8, 1 + 2 * 1.2])


def test_gradients_through_a_branch_are_damped_and_its_values_are_not():
    branches = ResidualBranches(trace(Sum().eval(), 1, 4), gradient=0.7)
    images = torch.ones(1, 1, 4, 4, requires_grad=True)
    total = branches.graph(images)
    total.sum().backward()
    assert total.detach().eq(3).all()  # the shortcut, and twice that
    assert images.grad == pytest.approx(1 + 0.7 * 2)


def test_each_branch_reads_its_gains_from_a_place_of_its_own():
    network = make_network(randomise(Planted()))
    tap, branches = network.tap(network.layers[-1], "float32").with_residual_branches()
    assert branches is not None and branches.sizes == [4, 4]
    recipe = Fourier((Stage(IMAGE_PX, 64),), 0, "power", branch_noise=0.6)
    scaled: list[torch.Tensor] = []
    branches.scale = scaled.append  # type: ignore[method-assign]
    noise = BranchNoise(branches, [Stream(0, network.layers[-1].unit(0))], recipe, tap.device)
    for _ in range(recipe.n_steps):
        noise.step()
    same = [torch.equal(gains[0, :4], gains[0, 4:]) for gains in scaled]
    assert any(same) and not all(same)


def test_gains_are_new_at_every_step_and_one_on_average():
    network = make_network(randomise(Planted()))
    tap, branches = network.tap(network.layers[-1], "float32").with_residual_branches()
    assert branches is not None and branches.n_channels == 8  # two blocks of four
    recipe = Fourier((Stage(IMAGE_PX, 500),), 0, "power", branch_noise=0.6)
    scaled: list[torch.Tensor] = []
    branches.scale = scaled.append  # type: ignore[method-assign]
    streams = [Stream(seed, network.layers[-1].unit(0)) for seed in (0, 1)]
    noise = BranchNoise(branches, streams, recipe, tap.device)
    for _ in range(recipe.n_steps):
        noise.step()
    gains = torch.stack(scaled)  # (steps, B, channels)
    assert 0.4 <= gains.min() < 0.6 and 1.4 < gains.max() <= 1.6
    assert gains[:, :, 0].std(0).min() > 0.1
    assert not torch.equal(gains[:, 0], gains[:, 1])
    alone = BranchNoise(branches, streams[1:], recipe, tap.device)
    alone.step()
    assert torch.equal(scaled[-1][0], gains[0, 1])  # whatever its batch


def test_a_tap_with_branches_at_rest_reads_what_it_read():
    network = make_network(randomise(Planted()))
    images = torch.rand(2, 3, IMAGE_PX, IMAGE_PX)
    for layer in network.layers:
        tap = network.tap(layer, "float32")
        varied, branches = tap.with_residual_branches()
        assert branches is not None
        torch.testing.assert_close(varied(images), tap(images))
        torch.testing.assert_close(tap(images), network.tap(layer)(images), atol=1e-4, rtol=1e-4)
