"""Faster ways to compute the same function of a frozen network, exact up to rounding.

BatchNorms are folded into the convs before them. A strided conv over the image is run without its
stride over more channels. A ReLU before a max pooling is moved behind it. Of the read layer, only
the unit that an image is made for is computed.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from atlas.families.modules import sharing_weights
from atlas.network.operators import argument, module_of, operator_of, put_module
from atlas.units import Layer

FEW_CHANNELS = 4  # with so few input channels, the matrix products inside a conv are inefficient


def shortened(model: nn.Module, layers: Sequence[Layer]) -> nn.Module:
    """The model with BatchNorms folded into convs and the first conv run without its stride.

    The model, in evaluation mode, is changed in place; its weights are not. Layers keep their
    names.
    """
    for layer in layers:
        if layer.batch_norm:
            conv = cast(nn.Conv2d, model.get_submodule(layer.name))
            norm = cast(nn.BatchNorm2d, model.get_submodule(layer.batch_norm))
            put_module(model, layer.name, _fused(conv, norm))
            put_module(model, layer.batch_norm, nn.Identity())
    return _unstrided(model, layers)


def _fused(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    """What `fuse_conv_bn_eval` gives, which copies the convolution's weights for nothing."""
    fused = sharing_weights(conv)
    mean, var = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, mean, var, norm.eps, norm.weight, norm.bias
    )
    return fused


def _unstrided(model: nn.Module, layers: Sequence[Layer]) -> nn.Module:
    for layer in layers[:1]:
        first = model.get_submodule(layer.name)
        if isinstance(first, nn.Conv2d) and _is_worth_unstriding(first):
            put_module(model, layer.name, UnstridedConv(first))
    return model


def _is_worth_unstriding(conv: nn.Conv2d) -> bool:
    is_plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
    is_strided = conv.stride[0] == conv.stride[1] > 1 and not isinstance(conv.padding, str)
    return is_plain and is_strided and conv.in_channels <= FEW_CHANNELS


@torch.no_grad()
def in_sigmas(model: nn.Module, layers: Sequence[Layer]) -> nn.Module:
    """The model with convs that give their responses in sigmas from each unit's average.

    A sigma is one standard deviation in the statistics of the BatchNorm that follows. That
    BatchNorm's normalisation and the sign of its scale are moved into the conv, so that the
    responses of all units are of similar size and half precision can represent them. A conv
    without BatchNorm is left as it is. The model is changed in place; its function is the same.
    """
    for layer in layers:
        if layer.batch_norm:
            norm = cast(nn.BatchNorm2d, model.get_submodule(layer.batch_norm))
            conv = cast(nn.Conv2d, model.get_submodule(layer.name))
            mean, var = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
            sign = torch.where(norm.weight < 0, -1.0, 1.0) if norm.affine else torch.ones_like(mean)
            scale = sign * (var + norm.eps).rsqrt()
            bias = -mean if conv.bias is None else conv.bias - mean
            conv.weight.mul_(scale[:, None, None, None])
            conv.bias = nn.Parameter(bias * scale)
            mean.zero_()
            var.fill_(1 - norm.eps)
            if norm.affine:
                norm.weight.abs_()
    return _unstrided(model, layers)


class UnstridedConv(nn.Module):
    """A conv of stride s, computed as a conv of stride 1 over s * s times as many channels.

    Each channel holds every s-th pixel of every s-th row. The gradient of a conv with three input
    channels is slow on every device; with twelve it took half the time on a CPU.

    Source: Ridnik et al. 2020, https://arxiv.org/abs/2003.13630, "space to depth"
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.stride = conv.stride[0]
        self.kernel_size = conv.kernel_size
        self.padding = cast("tuple[int, int]", conv.padding)
        self.weight = nn.Parameter(self._rearranged(conv.weight.detach()))
        self.bias = conv.bias
        self.n_unread = 0  # rows and columns at each side of the output that are not computed

    def trimmed(self, n_unread: int) -> UnstridedConv:
        """A copy that does not compute `n_unread` rows and columns at each side of its output.

        It shares the weights.
        """
        trimmed_conv = copy.copy(self)
        trimmed_conv.n_unread = n_unread
        return trimmed_conv

    def _rearranged(self, weight: Tensor) -> Tensor:
        """(O, C, kh, kw) -> (O, C * s * s, kh', kw'), in the order of `pixel_unshuffle`."""
        pads = []
        for kernel_size, padding in zip(self.kernel_size, self.padding, strict=True):
            pad_before = -padding % self.stride  # makes the padding a multiple of s
            pads.append((pad_before, -(kernel_size + pad_before) % self.stride))
        (top, bottom), (left, right) = pads
        return F.pixel_unshuffle(F.pad(weight, (left, right, top, bottom)), self.stride)

    def forward(self, images: Tensor) -> Tensor:
        """The output of the original conv: (B, C, H, W) -> (B, O, h, w)."""
        pads = []  # of the rearranged image, by height and width
        for size_px, kernel_size, padding in zip(
            images.shape[2:], self.kernel_size, self.padding, strict=True
        ):
            n_out = (size_px + 2 * padding - kernel_size) // self.stride + 1
            n_rearranged = math.ceil(size_px / self.stride)
            new_kernel_size = math.ceil((kernel_size + -padding % self.stride) / self.stride)
            pad_before = math.ceil(padding / self.stride)
            pad_after = n_out + new_kernel_size - 1 - n_rearranged - pad_before
            pads.append((pad_before - self.n_unread, pad_after - self.n_unread))
        (top, bottom), (left, right) = pads
        height, width = images.shape[2:]
        to_multiple = (0, -width % self.stride, 0, -height % self.stride)
        padded = F.pad(images, to_multiple) if any(to_multiple) else images
        rearranged = F.pad(F.pixel_unshuffle(padded, self.stride), (left, right, top, bottom))
        # (B, C * s * s, H/s, W/s)
        rearranged = rearranged.contiguous(memory_format=torch.channels_last)
        return F.conv2d(rearranged, self.weight, self.bias)


def pooled_first(extractor: fx.GraphModule) -> fx.GraphModule:
    """The extractor with pointwise functions before max poolings moved behind them.

    There maps are smaller. They are the same for functions that never fall: the maximum of
    rectified values is the rectified maximum. The graph is changed in place.
    """
    pools = [node for node in extractor.graph.nodes if _is_max_pool(node, extractor)]
    for pool in pools:
        function = argument(pool, 0, "input")
        if _never_falls(function, extractor):
            pool.replace_all_uses_with(function)
            pool.replace_input_with(function, function.all_input_nodes[0])
            function.replace_input_with(function.all_input_nodes[0], pool)
            pool.append(function)
    if pools:
        extractor.recompile()
    return extractor


def _is_max_pool(node: fx.Node, model: fx.GraphModule) -> bool:
    module = module_of(node, model)
    gives_indices = getattr(module, "return_indices", node.kwargs.get("return_indices", False))
    return operator_of(node, module).role == "max pool" and not gives_indices


def _never_falls(node: object, model: fx.GraphModule) -> bool:
    """Whether a node is a pointwise function that never falls and is read once."""
    if not isinstance(node, fx.Node) or len(node.users) > 1 or len(node.all_input_nodes) != 1:
        return False
    return operator_of(node, module_of(node, model)).never_falls


def pays_alone(layer: Layer) -> bool:
    """Whether `own_maps` can compute a layer, and is faster than computing all of its units."""
    return layer.groups > 1 or layer.in_channels >= math.prod(layer.kernel)


def own_maps(module: nn.Module, layer: Layer, inputs: Tensor, channels: Tensor) -> Tensor:
    """For each image the raw output of one unit, without computing the layer's other units.

    A conv with one output channel is a sum of shifted maps, one for each position in its kernel.
    All these maps come from one matrix product per image. Of a conv in groups, the channels of the
    unit's group are taken instead, and all images are convolved at once, as groups of one conv.

    Args:
        module: the layer itself, a conv with zero padding or a linear layer.
        layer: its description.
        inputs: the layer's input, (B, C, H, W), or (B, C) for a linear layer, or (B, H, W, C) for
            a pointwise one.
        channels: index of each image's unit, (B,).

    Returns:
        (B, h, w), in float32.
    """
    module = cast("nn.Conv2d | nn.Linear", module)
    weight = module.weight[channels]  # (B, C, kh, kw), or (B, C)
    bias = 0.0 if module.bias is None else module.bias[channels, None, None].float()
    if layer.kind == "pointwise":
        return torch.einsum("bhwc,bc->bhw", inputs.float(), weight.float()) + bias
    if isinstance(module, nn.Linear):
        return (inputs.float() * weight.float()).sum(1)[:, None, None] + bias
    if layer.groups > 1:
        return _own_group(weight, layer, inputs, channels) + bias
    height, width = inputs.shape[2:]
    pixels = inputs.permute(0, 2, 3, 1).flatten(1, 2)  # (B, H * W, C)
    position_maps = torch.bmm(pixels, weight.flatten(2)).float().unflatten(1, (height, width))
    return _shifted_sum(position_maps, layer) + bias


def _own_group(weight: Tensor, layer: Layer, inputs: Tensor, channels: Tensor) -> Tensor:
    """The output of one unit per image, (B, h, w), of a conv in groups, without its bias."""
    n_images, n_channels = weight.shape[:2]
    first = channels // (layer.n_units // layer.groups) * n_channels
    own = first[:, None] + torch.arange(n_channels, device=first.device)  # (B, channels)
    images = torch.arange(n_images, device=first.device)[:, None]
    maps = F.conv2d(
        inputs[images, own].flatten(0, 1)[None],  # (1, B * channels, H, W)
        weight,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=n_images,
    )
    return maps[0].float()


def _shifted_sum(position_maps: Tensor, layer: Layer) -> Tensor:
    """A conv's output from the maps of its kernel's positions: (B, H, W, kh * kw) -> (B, h, w)."""
    (kh, kw), (sy, sx), (py, px), (dy, dx) = (
        layer.kernel,
        layer.stride,
        layer.padding,
        layer.dilation,
    )
    padded = F.pad(position_maps, (0, 0, px, px, py, py))
    height = (padded.shape[1] - dy * (kh - 1) - 1) // sy + 1
    width = (padded.shape[2] - dx * (kw - 1) - 1) // sx + 1
    total = padded.new_zeros(len(padded), height, width)
    for position in range(kh * kw):
        top, left = position // kw * dy, position % kw * dx
        rows = slice(top, top + (height - 1) * sy + 1, sy)
        columns = slice(left, left + (width - 1) * sx + 1, sx)
        total = total + padded[:, rows, columns, position]
    return total
