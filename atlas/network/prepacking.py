"""Convolutions on a processor whose weights are put in order once, not at every step.

oneDNN, which computes PyTorch's convolutions on processors, reads weights in blocks of its own.
PyTorch rearranges them at each call, forward and backward, which takes as long whatever the number
of images: half of a step for one small image. Here frozen weights are rearranged once for each
shape of maps, and a ReLU that follows is applied before the convolution's output is written.

All numbers are the same to the last bit, but for a few in 100,000 of the gradients of strided
convolutions in bfloat16 on processors with AMX. NaN is treated otherwise: oneDNN's ReLU makes 0 of
it. The finished picture is measured without prepacking, where NaN is an error.

Sources: https://uxlfoundation.github.io/oneDNN/dev_guide_convolution.html; the operators are those
of torch.compile, https://github.com/pytorch/pytorch/blob/main/torch/_inductor/mkldnn_ir.py
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.autograd.function import once_differentiable

from atlas.network.operators import module_of, operator_of
from atlas.network.weighting import is_plain


def prepacked(extractor: nn.Module) -> nn.Module:
    """A copy of a frozen graph whose plain convolutions keep their weights in oneDNN's order.

    Weights are shared. Modules that are no graphs are returned as they are.
    """
    if not isinstance(extractor, fx.GraphModule):
        return extractor
    packed = fx.GraphModule(extractor, copy.deepcopy(extractor.graph))
    calls = Counter(node.target for node in packed.graph.nodes)
    for node in list(packed.graph.nodes):
        conv = module_of(node, packed)
        if isinstance(conv, nn.Conv2d) and _is_packable(conv) and calls[node.target] == 1:
            followers = _up_to_rectifier(node, packed)
            node.target = f"{node.name}_prepacked"
            packed.add_submodule(node.target, PrepackedConv(conv, bool(followers)))
            for follower in followers:
                follower.replace_all_uses_with(node)
                packed.graph.erase_node(follower)
    packed.recompile()
    return packed


def _is_packable(conv: nn.Conv2d) -> bool:
    """Whether oneDNN's operators do all that a convolution does, with the same last digits.

    Of convolutions in groups, gradients in float32 differ in the last digit.
    """
    return is_plain(conv) and conv.groups == 1 and conv.weight.device.type == "cpu"


def _up_to_rectifier(node: fx.Node, graph: fx.GraphModule) -> list[fx.Node]:
    """The ReLU that alone reads a node, after what passes the node on to it; none without one."""
    found: list[fx.Node] = []
    while len(node.users) == 1:
        (node,) = node.users
        found.append(node)
        module = module_of(node, graph)
        if operator_of(node, module).role == "rectifier":
            return found
        if not isinstance(module, nn.Identity):
            return []
    return []


class PrepackedConv(nn.Module):
    """A convolution, and perhaps the ReLU after it, with prepacked weights where it has a gradient.

    Without a gradient, or where PyTorch would not compute it with oneDNN, PyTorch computes it.
    """

    def __init__(self, conv: nn.Conv2d, is_rectified: bool) -> None:
        super().__init__()
        self.conv = conv
        self.is_rectified = is_rectified
        self._shape: torch.Size | None = None  # of maps at the last call with a gradient
        self.weights: PackedWeights | None = None  # for that shape; None where they are not used

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, O, h, w)."""
        weights = self._weights_for(maps) if maps.requires_grad else None
        if weights:
            output: Tensor = _Convolution.apply(maps, weights, self.is_rectified)
            return output
        output = self.conv(maps)
        return output.relu_() if self.is_rectified else output

    def _weights_for(self, maps: Tensor) -> PackedWeights | None:
        if maps.shape != self._shape:
            self._shape = maps.shape
            self.weights = PackedWeights(self.conv, maps) if _uses_onednn(self.conv, maps) else None
        return self.weights


@functools.cache
def _has_onednn_operators() -> bool:
    """Whether this PyTorch has the undocumented operators, with the arguments given here."""
    conv, maps = nn.Conv2d(16, 16, 1).requires_grad_(False), torch.zeros(16, 16, 2, 2)
    try:
        torch._C._select_conv_backend  # noqa: B018
        weights = PackedWeights(conv, maps)
        weights.input_gradient(weights.output(maps, is_rectified=True))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return True


def _uses_onednn(conv: nn.Conv2d, maps: Tensor) -> bool:
    """Whether PyTorch would compute a convolution with oneDNN."""
    if conv.weight.requires_grad or not _has_onednn_operators():
        return False
    settings = conv.stride, conv.padding, conv.dilation, False, (0, 0), conv.groups, None
    backend = torch._C._select_conv_backend(maps, conv.weight, conv.bias, *settings)
    return str(backend).endswith(".Mkldnn")


class PackedWeights:
    """The weights of a convolution in oneDNN's order, for input of one shape.

    Args:
        conv: the convolution.
        maps: an input of that shape, (B, C, H, W).
    """

    def __init__(self, conv: nn.Conv2d, maps: Tensor) -> None:
        self._conv = conv
        self._input_size = maps.shape[2:]
        self._settings = conv.stride, conv.dilation, conv.groups
        self._forward_weight = torch.ops.mkldnn._reorder_convolution_weight(
            conv.weight, conv.padding, *self._settings, maps.shape
        )
        self._backward_weight: Tensor | None = None

    def output(self, maps: Tensor, is_rectified: bool) -> Tensor:
        """The convolution's output, perhaps rectified: (B, C, H, W) -> (B, O, h, w)."""
        conv, function = self._conv, "relu" if is_rectified else "none"
        output: Tensor = torch.ops.mkldnn._convolution_pointwise(
            maps, self._forward_weight, conv.bias, conv.padding, *self._settings, function, [], None
        )
        return output

    def input_gradient(self, gradient: Tensor) -> Tensor:
        """The input's gradient from that of the output: (B, O, h, w) -> (B, C, H, W)."""
        conv, paddings = self._conv, (self._conv.padding, self._output_padding)
        if self._backward_weight is None:
            self._backward_weight = torch.ops.mkldnn._reorder_convolution_transpose_weight(
                conv.weight, *paddings, *self._settings, gradient.shape
            )
        result: Tensor = torch.ops.mkldnn._convolution_transpose_pointwise(
            gradient, self._backward_weight, None, *paddings, *self._settings, "none", [], None
        )
        return result

    @functools.cached_property
    def _output_padding(self) -> list[int]:
        """Rows and columns at the end of the padded input that no kernel reaches."""
        conv, padding = self._conv, cast("tuple[int, int]", self._conv.padding)
        settings = self._input_size, padding, conv.dilation, conv.kernel_size, conv.stride
        return [
            (size + 2 * pad - dilation * (kernel - 1) - 1) % stride
            for size, pad, dilation, kernel, stride in zip(*settings, strict=True)
        ]


class _Convolution(torch.autograd.Function):
    """A convolution that keeps nothing of its input: its weights have no gradient."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weights: PackedWeights, is_rectified: bool) -> Tensor:
        """(B, C, H, W) -> (B, O, h, w)."""
        output = weights.output(maps, is_rectified)
        ctx.weights = weights
        if is_rectified:
            ctx.save_for_backward(output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """(B, O, h, w) -> (B, C, H, W)."""
        for output in ctx.saved_tensors:  # none if it is not rectified
            gradient = torch.ops.aten.threshold_backward(gradient, output, 0)
        return ctx.weights.input_gradient(gradient), None, None
