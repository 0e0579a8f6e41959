"""Prepacked convolutions give the same bits as those of PyTorch, whatever is around them."""

from __future__ import annotations

import pytest
import torch
from conftest import IMAGE_PX, Planted, make_network, randomise
from torch import nn
from torch.nn import functional

from atlas.network import prepacking
from atlas.network.prepacking import PrepackedConv, prepacked
from atlas.network.tracing import trace

Pair = tuple[torch.Tensor, torch.Tensor]
N_IMAGES = 16  # of fewer, PyTorch computes a 1x1 convolution in float32 without oneDNN


def maps(channels: int, size_px: int = 15, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    made = torch.randn(N_IMAGES, channels, size_px, size_px, generator=generator)
    return made.to(dtype, memory_format=torch.channels_last).requires_grad_(True)


def is_onednns(dtype: torch.dtype) -> bool:
    """Whether this processor's convolutions in a type are computed by oneDNN."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def frozen(module: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    module = module.eval().requires_grad_(False).to(dtype)
    return module.to(memory_format=torch.channels_last)


def assert_same(found: torch.Tensor, wanted: torch.Tensor, is_strided: bool) -> None:
    """The same bits, but for some last digits of strided convolutions' gradients with AMX."""
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)()
    if is_strided and has_amx and wanted.dtype == torch.bfloat16:
        assert (found != wanted).float().mean() < 2e-4
        nearly_cancelled = 1e-6 * float(wanted.abs().max())
        torch.testing.assert_close(found, wanted, rtol=2**-7, atol=nearly_cancelled)
    else:
        assert torch.equal(found, wanted)
    assert found.stride() == wanted.stride()


def prepacked_convs(module: nn.Module) -> list[PrepackedConv]:
    return [each for each in module.modules() if isinstance(each, PrepackedConv)]


def output_and_gradient(
    module: nn.Module, given: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    output = module(given)
    pull = torch.randn(output.shape, generator=torch.Generator().manual_seed(2)).to(output.dtype)
    (gradient,) = torch.autograd.grad(output, given, pull)
    return output, gradient


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("channels", "units", "options"),
    [
        (64, 48, {"kernel_size": 1}),
        (48, 64, {"kernel_size": 1, "stride": 2, "bias": False}),
        (32, 32, {"kernel_size": 3, "padding": 1}),
        (32, 40, {"kernel_size": 3, "stride": (2, 1), "padding": 1}),
        (16, 20, {"kernel_size": 5, "stride": 3}),
        (16, 16, {"kernel_size": 3, "padding": 2, "dilation": 2}),
        (17, 5, {"kernel_size": (1, 7), "padding": (0, 3)}),
    ],
)
def test_output_and_gradient_are_the_same_bits(channels, units, options, dtype):
    chain = frozen(nn.Sequential(nn.Conv2d(channels, units, **options), nn.ReLU()), dtype)
    for size_px in (15, 14):
        given = maps(channels, size_px, dtype)
        for is_rectified in (False, True):
            conv = PrepackedConv(chain[0], is_rectified)
            expected = output_and_gradient(chain if is_rectified else chain[0], given)
            output, gradient = output_and_gradient(conv, given)
            assert_same(output, expected[0], is_strided=False)
            assert_same(gradient, expected[1], is_strided="stride" in options)
            assert (conv.weights is not None) == is_onednns(dtype)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_whole_network_gives_the_same_bits(precision):
    network = make_network(randomise(Planted()))
    tap, dtype = network.tap(network.layers[-1], precision), getattr(torch, precision)
    images = maps(3, IMAGE_PX, dtype)
    inputs = tap.inputs(images)
    plain = tap.extractor(images)["tap"]
    assert torch.equal(inputs, plain)
    found, wanted = (torch.autograd.grad(each.sum(), images)[0] for each in (inputs, plain))
    assert torch.equal(found, wanted) and found.abs().max() > 0
    convs = prepacked_convs(tap._ways[0, True].extractor)
    assert len(convs) == 5
    assert all((conv.weights is not None) == is_onednns(dtype) for conv in convs)


class Branches(nn.Module):
    """ReLUs as a function, a method and a module; one whose input is also read by others."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(4))
        self.passed = nn.Identity()
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        one = functional.relu(self.convs[0](images))
        two = self.convs[1](one).relu()
        three = self.relu(self.passed(self.convs[2](two)))
        four = self.convs[3](three)
        return four.relu() + four


def test_a_relu_is_taken_in_if_nothing_else_reads_the_convolution():
    model = frozen(Branches())
    graph = trace(model, 4, 8)
    before = str(graph.graph)
    packed = prepacked(graph)
    assert [conv.is_rectified for conv in prepacked_convs(packed)] == [True, True, True, False]
    assert [node.name for node in packed.graph.nodes if "relu" in node.name] == ["relu_3"]
    assert str(graph.graph) == before
    given = maps(4, 8)
    sides = output_and_gradient(packed, given), output_and_gradient(model, given)
    for found, wanted in zip(*sides, strict=True):
        assert torch.equal(found, wanted)


class Left(nn.Module):
    """Convolutions that are not prepacked: in groups, padded otherwise, or called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 4, 3, groups=2)
        self.mirrored = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect")
        self.named = nn.Conv2d(4, 4, 3, padding="same")
        self.twice = nn.Conv2d(4, 4, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.twice(self.twice(self.named(self.mirrored(self.grouped(images)))))


def test_what_may_differ_is_left_as_it_is():
    assert not prepacked_convs(prepacked(trace(frozen(Left()), 4, 16)))
    module = nn.Sequential(nn.Conv2d(4, 4, 1))
    assert prepacked(module) is module  # no graph


@pytest.mark.parametrize("reason", ["no gradient", "learning", "elsewhere"])
def test_where_it_cannot_be_used_the_convolution_is_computed_as_ever(reason):
    conv = frozen(nn.Conv2d(4, 4, 3)).requires_grad_(reason == "learning")
    packed, given = PrepackedConv(conv, True), maps(4).detach()
    given.requires_grad_(reason != "no gradient")
    if reason == "elsewhere":
        conv, given = conv.to("meta"), given.to("meta")
    output = packed(given)
    assert packed.weights is None
    assert output.shape == (N_IMAGES, 4, 13, 13)
    assert reason == "elsewhere" or torch.equal(output, conv(given).relu())


def test_weights_are_put_in_order_once_for_each_shape_of_maps():
    conv, used = PrepackedConv(frozen(nn.Conv2d(4, 4, 3)), True), []
    for size_px in (15, 15, 14, 14):
        output_and_gradient(conv, maps(4, size_px))
        used.append(conv.weights)
    assert used[0] is used[1] and used[2] is used[3]
    assert (used[1] is not used[2]) == is_onednns(torch.float32)


def test_a_pytorch_without_these_operators_computes_as_ever(monkeypatch):
    def missing(*_: object) -> None:
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no such attribute")

    prepacking._has_onednn_operators.cache_clear()
    monkeypatch.setattr(prepacking, "PackedWeights", missing)
    conv = frozen(nn.Conv2d(16, 16, 3, padding=1))
    quick = prepacking.PrepackedConv(conv, is_rectified=True)
    output, gradient = output_and_gradient(quick, maps(16))
    expected, expected_gradient = output_and_gradient(nn.Sequential(conv, nn.ReLU()), maps(16))
    prepacking._has_onednn_operators.cache_clear()
    assert quick.weights is None
    assert output.equal(expected) and gradient.equal(expected_gradient)
