"""Tables of the operations between layers, shared by the modules that walk a network's graph.

An operation is given as the class of a module, as a function, or as the name of a method.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

RECTIFIERS: frozenset[Any] = frozenset(
    {nn.ReLU, functional.relu, torch.relu, torch.relu_, "relu", "relu_"}
)
SUMS: frozenset[Any] = frozenset({operator.add, operator.iadd, torch.add, "add", "add_"})
MAX_POOLS: frozenset[Any] = frozenset({nn.MaxPool2d, functional.max_pool2d, torch.max_pool2d})
AVERAGE_POOLS: frozenset[Any] = frozenset({nn.AvgPool2d, functional.avg_pool2d})
ADAPTIVE_POOLS: frozenset[Any] = frozenset(
    {
        nn.AdaptiveAvgPool2d,
        nn.AdaptiveMaxPool2d,
        functional.adaptive_avg_pool2d,
        functional.adaptive_max_pool2d,
    }
)
# Roughly linear operations that do not mix channels. Flattening a map of several positions changes
# the number of channels, which the caller must check.
PASSING: frozenset[Any] = (
    MAX_POOLS
    | AVERAGE_POOLS
    | ADAPTIVE_POOLS
    | {
        nn.Flatten,
        nn.Dropout,
        nn.Identity,
        functional.dropout,
        torch.flatten,
        "flatten",
    }
)
MEANS: frozenset[Any] = frozenset({torch.mean, "mean"})
CONCATENATIONS: frozenset[Any] = frozenset({torch.cat, torch.concat, torch.concatenate})
PRODUCTS: frozenset[Any] = frozenset({operator.mul, operator.imul, torch.mul, "mul", "mul_"})
PADS: frozenset[Any] = frozenset(
    {functional.pad, nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d}
)
# Operations whose values are limited, as those of gates are.
BOUNDED: frozenset[Any] = frozenset(
    {
        nn.Sigmoid,
        nn.Hardsigmoid,
        nn.Softmax,
        nn.Tanh,
        functional.sigmoid,
        functional.hardsigmoid,
        functional.softmax,
        torch.sigmoid,
        torch.softmax,
        torch.tanh,
        "sigmoid",
        "sigmoid_",
        "softmax",
        "tanh",
    }
)
# Operations that move or select values and change none.
REARRANGEMENTS: frozenset[Any] = frozenset(
    {
        nn.ChannelShuffle,
        nn.PixelShuffle,
        nn.PixelUnshuffle,
        nn.Flatten,
        nn.Unflatten,
        nn.Identity,
        operator.getitem,
        torch.chunk,
        torch.split,
        torch.unbind,
        torch.flatten,
        torch.reshape,
        torch.permute,
        torch.transpose,
        torch.squeeze,
        torch.unsqueeze,
        *("chunk", "split", "unbind", "view", "reshape", "flatten", "unflatten", "permute"),
        *("transpose", "contiguous", "squeeze", "unsqueeze", "expand", "expand_as", "view_as"),
    }
)
SHAPED_LIKE: frozenset[Any] = frozenset({"expand_as", "view_as", "reshape_as", "type_as"})
MAP_DIMS = ({2, 3}, {-2, -1}, {2, -1}, {-2, 3})  # the height and the width of (B, C, H, W)


def module_of(node: fx.Node, model: fx.GraphModule) -> nn.Module | None:
    """The module that a node calls; None if it calls none."""
    return model.get_submodule(str(node.target)) if node.op == "call_module" else None


def put_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of another, whose own submodules stay where they are."""
    for child, kept in model.get_submodule(name).named_children():
        module.add_module(child, kept)
    model.set_submodule(name, module)


def operation_of(node: fx.Node, module: nn.Module | None) -> Any:
    """A node's operation as in the tables above; None for placeholders, attributes and outputs."""
    if module:
        return type(module)
    return node.target if node.op in ("call_function", "call_method") else None


def averages_maps(node: fx.Node) -> bool:
    """Whether a node averages maps over all positions, as `maps.mean((2, 3))` does."""
    if node.target not in MEANS:
        return False
    dims = argument(node, 1, "dim")
    return isinstance(dims, list | tuple) and set(dims) in MAP_DIMS


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """An argument of a node's call, given by position or by name."""
    if position < len(node.args):
        return node.args[position]
    return node.kwargs.get(name, default)


def pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    """Height and width of what torch gives as one number, one for both, or two."""
    return (size, size) if isinstance(size, int) else (size[0], size[-1])
