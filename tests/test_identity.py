"""What identifies a network: its tensors, and what its code does with them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from atlas.asked import AtlasSpec
from atlas.families import find_family
from atlas.families.custom import family_in_memory
from atlas.network.identity import computation_sha256, state_sha256
from atlas.network.load import load_network


class Net(nn.Module):
    """A network whose code calls a function that it was given, between its layers."""

    def __init__(self, between: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.between = between
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.b(self.between(self.a(images)))  # (B, 8, H, W)
        return self.fc(maps.mean((2, 3)))


class Untraceable(Net):
    """The same, with a branch that depends on numbers."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images if images.sum() > 0 else images * 1)


def digest(model: nn.Module) -> str:
    return computation_sha256(model.eval(), 3, 32)


def identity_of(model: nn.Module) -> str:
    asked = AtlasSpec(family="in memory")
    return load_network(asked, family_in_memory(model)).facts.identity


# What changes it


@pytest.mark.parametrize("net", [Net, Untraceable])
def test_functions_that_a_network_keeps_tell_it_from_others(net):
    functions = [
        lambda maps: maps,
        lambda maps: -maps,
        lambda maps: maps.flip(1),
        lambda maps: maps.flip(3),  # the answers of the network are the same, those at places not
        lambda maps: maps * 1.01,
        functional.relu,
        functional.relu6,  # differs from it only where values are large
        functional.silu,
    ]
    nets = [net(function) for function in functions]
    assert len({state_sha256(each) for each in nets}) == 1
    assert len({digest(each) for each in nets}) == len(functions)


def test_constants_of_the_graph_that_images_hardly_show_tell_networks_apart():
    assert digest(Net(lambda maps: maps + 1e-7)) != digest(Net(lambda maps: maps + 2e-7))


def test_networks_in_memory_with_other_functions_are_others():
    assert identity_of(Net(torch.tanh)) == identity_of(Net(torch.tanh))
    assert identity_of(Net(torch.tanh)) != identity_of(Net(torch.sigmoid))


@pytest.fixture
def imported(tmp_path, monkeypatch):
    """Gives the identity of a network after its file or the module that it imports is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # files change within a second

    def identity(factory: str = "plain", blocks: str = "def middle(x): return x.relu()") -> str:
        code = """
            import torch
            from torch import nn
            from blocks import middle

            class Net(nn.Module):
                def __init__(self, before):
                    super().__init__()
                    torch.manual_seed(0)
                    self.before = before
                    self.a, self.b = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 5, 1)

                def forward(self, images):
                    return self.b(middle(self.before(self.a(images)))).mean((2, 3))

            def plain(): return Net(lambda maps: maps)
            def flipped(): return Net(lambda maps: maps.flip(1))
        """
        Path("net.py").write_text(textwrap.dedent(code), encoding="utf-8")
        Path("blocks.py").write_text(blocks, encoding="utf-8")
        monkeypatch.delitem(sys.modules, "blocks", raising=False)
        name = f"net.py:{factory}"
        return load_network(AtlasSpec(family=name), find_family(name)).facts.identity

    yield identity
    sys.modules.pop("blocks", None)


def test_a_change_in_an_imported_file_changes_the_identity(imported):
    before = imported()
    assert imported() == before
    assert imported(blocks="# a remark\ndef middle(maps): return maps.relu()") == before
    assert imported(blocks="import torch\nmiddle = torch.nn.functional.silu") != before


def test_functions_of_one_file_that_differ_in_what_they_store_are_different_networks(imported):
    assert imported("plain") != imported("flipped")


# What does not change it


class Refusing(Net):
    """Computes in float32 whatever it is given, so that its layers must be in float32."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.float())


class OtherArithmetic(TorchFunctionMode):
    """Errors of some units in the last place after each layer, as another device makes them."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in (functional.conv2d, functional.linear, torch.conv2d):
            noise = torch.from_numpy(np.random.default_rng(1).standard_normal(result.shape))
            result = result * (1 + 8 * torch.finfo(result.dtype).eps * noise).to(result.dtype)
        return result


@pytest.mark.parametrize("net", [Net, Untraceable, Refusing])
def test_another_arithmetic_does_not_change_the_identity(net):
    model = net(torch.tanh).eval()
    images = torch.rand(1, 3, 32, 32)
    usual, before = model(images), digest(model)
    with OtherArithmetic():
        assert not torch.equal(model(images), usual)
        assert digest(model) == before
    assert digest(model.to(memory_format=torch.channels_last)) == before


def test_a_network_that_refuses_float64_is_known_by_its_answers_in_float32():
    assert digest(Refusing(torch.tanh)) != digest(Refusing(torch.neg))


def test_random_numbers_in_the_code_are_the_same_each_time():
    def noisy(maps: Tensor) -> Tensor:
        return maps + torch.randn(8, 1, 1)

    model = Untraceable(noisy)
    torch.manual_seed(1)
    before, state = digest(model), torch.get_rng_state()
    torch.rand(3)
    assert digest(model) == before
    torch.manual_seed(1)
    digest(model)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_network_is_left_as_it_is():
    model = Net(nn.BatchNorm2d(8))
    model.between.train()  # it changes with every image
    before = state_sha256(model)
    computation_sha256(model, 3, 32)
    assert state_sha256(model) == before
    assert {tensor.dtype for tensor in model.parameters()} == {torch.float32}
    assert torch.get_default_dtype() == torch.float32
    assert not any(module._forward_hooks for module in model.modules())


def test_code_that_runs_nowhere_has_no_answers():
    def refuse(maps: Tensor) -> Tensor:
        raise ValueError("no")

    assert digest(Net(refuse)) == digest(Untraceable(refuse))


def test_networks_of_the_package_and_of_torchvision_are_known_by_their_weights():
    facts = load_network(AtlasSpec(family="demo"), find_family("demo")).facts
    assert facts.identity == facts.sha256
    assert not find_family("resnet18").is_own_code
