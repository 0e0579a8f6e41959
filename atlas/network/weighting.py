"""What a layer really does with its weights, also where its class has a forward of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from atlas.network.operators import pair

Pair = tuple[int, int]


@dataclass(frozen=True)
class Weighting:
    """How a layer applies its weights to its input."""

    weight: Tensor  # (n_units, in_channels / groups, kh, kw), or (n_units, in_features)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)  # above and to the left
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def kernel(self) -> Pair:
        """Height and width of the kernel."""
        return pair(tuple(self.weight.shape[2:]) or 1)

    @property
    def in_channels(self) -> int:
        """Number of channels that the layer reads."""
        return self.weight.shape[1] * self.groups

    @property
    def layer_facts(self) -> dict[str, Any]:
        """The fields of a `Layer` that say this."""
        return {
            "n_units": self.weight.shape[0],
            "in_channels": self.in_channels,
            "kernel": self.kernel,
            "stride": self.stride,
            "padding": self.padding,
            "dilation": self.dilation,
            "groups": self.groups,
        }


def is_plain(module: nn.Module) -> bool:
    """Whether a layer is a Conv2d or Linear of torch itself, padded with a number of zeros."""
    if type(module) is nn.Conv2d:
        return module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return type(module) is nn.Linear


def weighting(module: nn.Module, input_shape: Sequence[int]) -> Weighting:
    """How a layer applies its weights to an input of a shape.

    A layer with a forward of its own is run once on zeros, and its call of a convolution or of a
    linear map is read: its weights may be standardised, its padding computed.
    """
    if type(module) is nn.Linear:
        return Weighting(module.weight)
    if type(module) is nn.Conv2d:
        return _of_conv(module)
    calls = _Calls()
    weight = next(module.parameters())
    with torch.no_grad(), calls:
        module(torch.zeros(tuple(input_shape), dtype=weight.dtype, device=weight.device))
    if len(calls.weighted) != 1:  # the layer mixes several maps, or none
        return _of_conv(module) if isinstance(module, nn.Conv2d) else Weighting(_own(module))
    return _of_call(*calls.weighted[0], padded=calls.padded)


class _Calls(TorchFunctionMode):
    """Remembers the calls of convolutions, linear maps and paddings."""

    def __init__(self) -> None:
        super().__init__()
        self.weighted: list[tuple[Callable[..., Any], dict[str, Any]]] = []
        self.padded: Pair = (0, 0)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function, and remember it."""
        kwargs = kwargs or {}
        if func in (functional.conv2d, functional.linear):
            given = dict(zip(_ARGUMENTS, args, strict=False))
            self.weighted.append((func, {**given, **kwargs}))
        elif func is functional.pad and not self.weighted:
            widths = kwargs.get("pad", args[1] if len(args) > 1 else ())
            if len(widths) == 4:
                self.padded = (widths[2], widths[0])
        return func(*args, **kwargs)


_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


def _of_call(func: Callable[..., Any], given: dict[str, Any], padded: Pair) -> Weighting:
    weight = given["weight"].detach()
    if func is functional.linear:
        return Weighting(weight)
    dilation = pair(given.get("dilation", 1))
    own = _numbers(given.get("padding", 0), weight.shape[2:], dilation)
    padding = (own[0] + padded[0], own[1] + padded[1])
    return Weighting(
        weight, pair(given.get("stride", 1)), padding, dilation, given.get("groups", 1)
    )


def _of_conv(conv: nn.Conv2d) -> Weighting:
    dilation = pair(conv.dilation)
    padding = _numbers(conv.padding, conv.kernel_size, dilation)
    return Weighting(_own(conv), pair(conv.stride), padding, dilation, conv.groups)


def _own(module: nn.Module) -> Tensor:
    return cast(Tensor, module.weight).detach()


def _numbers(padding: Any, kernel: Sequence[int], dilation: Pair) -> Pair:
    """The padding above and to the left; torch puts the odd one of "same" to the other side."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        height, width = (d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True))
        return height, width
    return pair(padding)
