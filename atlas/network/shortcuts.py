"""Quicker ways to the same function of a frozen network.

BatchNorms are folded into the convs before them; a strided conv over the image is run without its
stride over more channels; what is rectified and pooled is pooled first; and of a tapped layer only
the unit that an image is made for is computed. All are exact up to rounding.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from atlas.units import Layer

FEW_CHANNELS = 4  # too few for the matrix products that convs are made of


def shortened(model: nn.Module, layers: Sequence[Layer]) -> nn.Module:
    """A model in evaluation mode, rewritten in place; layers keep their names."""
    for layer in layers:
        if layer.batch_norm:
            conv = cast(nn.Conv2d, model.get_submodule(layer.name))
            norm = cast(nn.BatchNorm2d, model.get_submodule(layer.batch_norm))
            model.set_submodule(layer.name, fuse_conv_bn_eval(conv, norm))
            model.set_submodule(layer.batch_norm, nn.Identity())
    return _unstrided(model, layers)


def _unstrided(model: nn.Module, layers: Sequence[Layer]) -> nn.Module:
    first = model.get_submodule(layers[0].name)
    if isinstance(first, nn.Conv2d) and _is_worth_unstriding(first):
        model.set_submodule(layers[0].name, UnstridedConv(first))
    return model


def _is_worth_unstriding(conv: nn.Conv2d) -> bool:
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    square = conv.stride[0] == conv.stride[1] > 1 and not isinstance(conv.padding, str)
    return plain and square and conv.in_channels <= FEW_CHANNELS


@torch.no_grad()
def in_sigmas(model: nn.Module, layers: Sequence[Layer]) -> nn.Module:
    """The same function, of a model whose convs give sigmas from each unit's average themselves.

    What the BatchNorm after a conv does before it scales and shifts is moved into the conv, with
    its scale's sign; so one unit's numbers need no other unit's magnitude, and half precision
    keeps them. A conv without BatchNorm stays what it is. The model is changed.
    """
    for layer in layers:
        if layer.batch_norm:
            norm = cast(nn.BatchNorm2d, model.get_submodule(layer.batch_norm))
            conv = cast(nn.Conv2d, model.get_submodule(layer.name))
            mean, var = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
            turned = (
                torch.where(norm.weight < 0, -1.0, 1.0) if norm.affine else torch.ones_like(mean)
            )
            scale = turned * (var + norm.eps).rsqrt()
            bias = -mean if conv.bias is None else conv.bias - mean
            conv.weight.mul_(scale[:, None, None, None])
            conv.bias = nn.Parameter(bias * scale)
            mean.zero_()
            var.fill_(1 - norm.eps)
            if norm.affine:
                norm.weight.abs_()
    return _unstrided(model, layers)


class UnstridedConv(nn.Module):
    """A conv of stride s as one of stride 1 over s * s as many channels.

    Each channel holds every s-th pixel of every s-th row. The gradient of a conv with three inputs
    is slow everywhere; with twelve it took half the time on a processor.

    Source: Ridnik et al. 2020, https://arxiv.org/abs/2003.13630, "space to depth"
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.stride = conv.stride[0]
        self.kernel_size = conv.kernel_size
        self.padding = cast("tuple[int, int]", conv.padding)
        self.weight = nn.Parameter(self._rearranged(conv.weight.detach()))
        self.bias = conv.bias
        self.n_unread = 0  # rows and columns at each side of the map that are not computed

    def trimmed(self, n_unread: int) -> UnstridedConv:
        """The same with less of the map; the weights are shared."""
        short = copy.copy(self)
        short.n_unread = n_unread
        return short

    def _rearranged(self, weight: Tensor) -> Tensor:
        """(O, C, kh, kw) -> (O, C * s * s, kh', kw'), in the order of `pixel_unshuffle`."""
        pads = []
        for size, padding in zip(self.kernel_size, self.padding, strict=True):
            before = -padding % self.stride  # so that the padding, too, is a multiple of s
            pads.append((before, -(size + before) % self.stride))
        (top, bottom), (left, right) = pads
        return F.pixel_unshuffle(F.pad(weight, (left, right, top, bottom)), self.stride)

    def forward(self, images: Tensor) -> Tensor:
        """As the conv: (B, C, H, W) -> (B, O, h, w)."""
        pads = []  # of the finer map
        for size_px, size, padding in zip(
            images.shape[2:], self.kernel_size, self.padding, strict=True
        ):
            n_out = (size_px + 2 * padding - size) // self.stride + 1
            n_fine = math.ceil(size_px / self.stride)
            before = math.ceil(padding / self.stride)
            taps = math.ceil((size + -padding % self.stride) / self.stride)
            after = n_out + taps - 1 - n_fine - before
            pads.append((before - self.n_unread, after - self.n_unread))
        (top, bottom), (left, right) = pads
        height, width = images.shape[2:]
        rest = (0, -width % self.stride, 0, -height % self.stride)
        whole = F.pad(images, rest) if any(rest) else images
        fine = F.pad(F.pixel_unshuffle(whole, self.stride), (left, right, top, bottom))
        fine = fine.contiguous(memory_format=torch.channels_last)  # (B, C * s * s, H/s, W/s)
        return F.conv2d(fine, self.weight, self.bias)


def pooled_first(extractor: fx.GraphModule) -> fx.GraphModule:
    """The same maps, with a ReLU after the pooling instead of before: there is less to rectify.

    The largest of rectified values is the largest value, rectified. The graph is changed.
    """
    for pool in list(extractor.graph.nodes):
        relu = pool.all_input_nodes[0] if _is_a(nn.MaxPool2d, pool, extractor) else None
        if relu is not None and _is_a(nn.ReLU, relu, extractor) and len(relu.users) == 1:
            pool.replace_all_uses_with(relu)
            pool.args = relu.args
            relu.args = (pool,)
            pool.append(relu)
    extractor.recompile()
    return extractor


def _is_a(kind: type[nn.Module], node: fx.Node, model: fx.GraphModule) -> bool:
    return node.op == "call_module" and isinstance(model.get_submodule(str(node.target)), kind)


def pays_alone(layer: Layer) -> bool:
    """Whether `own_maps` can read a layer, and is quicker than computing all of its units."""
    return layer.groups == 1 and layer.in_channels >= math.prod(layer.kernel)


def own_maps(module: nn.Module, layer: Layer, inputs: Tensor, channels: Tensor) -> Tensor:
    """For each image the raw output of its own unit, and of no other.

    A conv with one output is a sum of shifted maps, one for each place of its kernel; all of them
    are one matrix product per image.

    Args:
        module: the layer's conv with zeros as padding, or its linear layer.
        layer: its facts.
        inputs: what the layer takes in: (B, C, H, W), or (B, C) for a linear layer.
        channels: the units, (B,).

    Returns:
        (B, h, w), in float32.
    """
    module = cast("nn.Conv2d | nn.Linear", module)
    weight = module.weight[channels]  # (B, C, kh, kw), or (B, C)
    bias = 0.0 if module.bias is None else module.bias[channels, None, None].float()
    if isinstance(module, nn.Linear):
        return (inputs.float() * weight.float()).sum(1)[:, None, None] + bias
    height, width = inputs.shape[2:]
    pixels = inputs.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H * W, C)
    places = torch.bmm(pixels, weight.flatten(2)).float().unflatten(1, (height, width))
    return _shifted_sum(places, layer) + bias


def _shifted_sum(places: Tensor, layer: Layer) -> Tensor:
    """What a conv gives, from the map of each place of its kernel: (B, H, W, kh * kw)."""
    (kh, kw), (sy, sx), (py, px), (dy, dx) = (
        layer.kernel,
        layer.stride,
        layer.padding,
        layer.dilation,
    )
    padded = F.pad(places, (0, 0, px, px, py, py))
    height = (padded.shape[1] - dy * (kh - 1) - 1) // sy + 1
    width = (padded.shape[2] - dx * (kw - 1) - 1) // sx + 1
    total = padded.new_zeros(len(padded), height, width)
    for place in range(kh * kw):
        top, left = place // kw * dy, place % kw * dx
        rows = slice(top, top + (height - 1) * sy + 1, sy)
        columns = slice(left, left + (width - 1) * sx + 1, sx)
        total = total + padded[:, rows, columns, place]
    return total
