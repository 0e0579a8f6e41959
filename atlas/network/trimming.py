"""Maps that are computed only where they are read.

Where positions near the border of a layer's map do not count, neither does what only they read:
going back from them, a conv loses its padding, and its input a rim, as long as there is something
to lose. What is left is the same up to rounding.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor, fx, nn

from atlas.network.operators import RECTIFIERS, SUMS, module_of, operation_of
from atlas.network.shortcuts import UnstridedConv

POINTWISE: frozenset[Any] = RECTIFIERS | SUMS | {nn.Identity, nn.BatchNorm2d, nn.Dropout}


class Trim(NamedTuple):
    """Rows and columns that are left out at each of a map's four sides."""

    made: int  # of the map itself
    read: int  # of the map that it is computed from


NOTHING = Trim(0, 0)


def trimmed(extractor: fx.GraphModule, n_unread: int) -> fx.GraphModule:
    """The same maps without `n_unread` rows and columns at each side.

    Args:
        extractor: from images to maps, in evaluation mode; it stays as it is.
        n_unread: 0 or more.
    """
    short = fx.GraphModule(extractor, copy.deepcopy(extractor.graph))
    trims: dict[fx.Node, Trim] = {}
    for node in reversed(short.graph.nodes):
        unread = min((trims[user].read for user in node.users), default=n_unread)
        trims[node] = _trim_node(short, node, unread)
    for node in list(short.graph.nodes):
        for user in list(node.users):
            if rest := trims[user].read - trims[node].made:  # of a map that others read more of
                with short.graph.inserting_before(user):
                    user.replace_input_with(node, short.graph.call_function(cut, (node, rest)))
    short.recompile()
    short.delete_all_unused_submodules()
    return short


def trim_module(module: nn.Module, n_unread: int) -> tuple[nn.Module, Trim]:
    """A layer that leaves out what it can of `n_unread`, and what that is.

    Position p of its map reads from pixel p * stride - padding on, so without padding it is what
    position 0 reads if so many pixels are cut off.
    """
    if not n_unread:
        return module, NOTHING
    if isinstance(module, UnstridedConv):
        return module.trimmed(n_unread), Trim(n_unread, 0)
    if not isinstance(module, nn.Conv2d | nn.MaxPool2d) or isinstance(module.padding, str):
        return module, NOTHING
    rows, columns = (
        n_unread * stride - padding
        for stride, padding in zip(_pair(module.stride), _pair(module.padding), strict=True)
    )
    if rows != columns or rows < 0:
        return module, NOTHING
    short = copy.copy(module)  # of the same weights
    short.padding = (0, 0)
    return short, Trim(n_unread, rows)


def cut(maps: Tensor, n: int) -> Tensor:
    """Maps (..., H, W) without n rows and columns at each side.

    What has one position only, to be broadcast over maps, stays.
    """
    if maps.shape[-1] == 1:
        return maps
    return F.pad(maps, (-n, -n, -n, -n))  # unlike a slice, its gradient keeps channels last


def _trim_node(model: fx.GraphModule, node: fx.Node, n_unread: int) -> Trim:
    module = module_of(node, model)
    if node.op == "output" or operation_of(node, module) in POINTWISE:
        return Trim(n_unread, n_unread)
    if module is None:
        return NOTHING
    short, trim = trim_module(module, n_unread)
    if short is not module:
        node.target = f"{node.name}_trimmed"
        model.add_submodule(node.target, short)
    return trim


def _pair(value: int | tuple[int, ...]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
