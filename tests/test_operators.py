"""The table of operations: subclasses, what works in place, and which functions never fall."""

from __future__ import annotations

import pkgutil

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision.ops import StochasticDepth, stochastic_depth

from atlas.network.operators import (
    OPERATORS,
    UNKNOWN,
    operator_of,
    operator_of_module,
    works_in_place,
)


class SamePadding(nn.Conv2d):
    """A conv with its own padding, as those of EfficientNet ports have it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


class Standardised(nn.Conv2d):
    def _conv_forward(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(x, weight - weight.mean(), bias)


class NormAndReLU(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


class Named(nn.Conv2d):
    """A subclass that adds nothing to what is computed."""


@pytest.mark.parametrize("module", [SamePadding(3, 4, 3), Standardised(3, 4, 3), NormAndReLU(3)])
def test_what_computes_in_its_own_way_is_not_its_base_class(module: nn.Module) -> None:
    assert operator_of_module(module) == UNKNOWN


@pytest.mark.parametrize("module", [Named(3, 4, 3), weight_norm(nn.Conv2d(3, 4, 3))])
def test_what_only_has_another_class_is(module: nn.Module) -> None:
    assert operator_of_module(module).role == "conv"


def test_relu6_is_not_mistaken_for_its_base_class_nor_an_identity_for_all_modules() -> None:
    assert operator_of_module(nn.ReLU6()).never_falls
    assert operator_of_module(nn.Module()) == UNKNOWN
    assert operator_of_module(nn.Softmin(1)) == UNKNOWN


def test_what_torchvision_defines_is_listed_by_a_name_that_it_has() -> None:
    names = [each for each in OPERATORS if isinstance(each, str) and "." in each]
    assert [pkgutil.resolve_name(each) for each in names] == [StochasticDepth, stochastic_depth]
    assert operator_of_module(StochasticDepth(0.5, "row")).role == "passing"
    node = fx.Graph().call_function(stochastic_depth, (None, 0.5, "row"))
    assert operator_of(node, None).role == "passing"


def test_methods_in_the_table_are_those_of_tensors() -> None:
    methods = [each for each in OPERATORS if isinstance(each, str) and "." not in each]
    assert [each for each in methods if not hasattr(Tensor, each)] == []


def test_functions_that_are_said_never_to_fall_do_not() -> None:
    x = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    options = {torch.clamp: (-1, 1), torch.clip: (-1, 1), torch.clamp_min: (0,)}
    options[torch.clamp_max] = (1,)
    n_checked = 0
    for operation, what in OPERATORS.items():
        if not what.is_pointwise or isinstance(operation, str) or operation is nn.PReLU:
            continue
        function = operation() if isinstance(operation, type) else operation
        others = {torch.prelu: (torch.ones(1).double(),), F.prelu: (torch.ones(1).double(),)}
        if operation in (torch.clamp_, torch.clip_):
            others[operation] = (-1, 1)
        values = function(x.clone(), *options.get(operation, others.get(operation, ())))
        if what.never_falls:
            assert (values.diff() >= 0).all(), operation
        if what.is_bounded:
            assert values.abs().max() <= 1
        n_checked += 1
    assert n_checked > 40


@pytest.mark.parametrize(
    ("function", "is_in_place"),
    [
        (lambda x: x.relu_(), True),
        (lambda x: F.relu(x, inplace=True), True),
        (lambda x: F.relu(x, True), True),
        (lambda x: x.__iadd__(1), True),
        (torch.relu_, True),
        (lambda x: F.hardtanh(x, -1, 1, True), True),
        (lambda x: x + 1, False),
        (lambda x: x.mean((2, 3), True), False),
        (lambda x: torch.mean(x, 1, True), False),
        (F.relu, False),
    ],
)
def test_what_works_in_place(function, is_in_place: bool) -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return function(x)

    node = list(fx.symbolic_trace(Model()).graph.nodes)[1]
    assert works_in_place(node, None) == is_in_place


def test_functions_and_methods_of_the_same_name_do_the_same() -> None:
    graph = fx.Graph()
    image = graph.placeholder("image")
    for name in ("relu", "sigmoid", "tanh", "clamp", "add", "mul", "permute", "chunk", "mean"):
        function = operator_of(graph.call_function(getattr(torch, name), (image,)), None)
        assert function == operator_of(graph.call_method(name, (image,)), None) != UNKNOWN
