"""The modules of a graph without their weights, with which shapes are found without computing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, fx, nn

from atlas.families.modules import with_tensors
from atlas.network.operators import operator_of_module

KEEPING_SHAPE = {"batch norm", "rectifier", "pointwise", "passing"}


class Weightless(nn.Module):
    """The modules of a graph, whose tensors have shapes and no contents.

    `fx.Interpreter` runs the graph with them, and finds the same shapes. BatchNorms and pointwise
    functions, which keep the shape, are left out: without contents too they take most of the time.

    Args:
        traced: the graph, which is shared; its modules are left as they are.
    """

    def __init__(self, traced: fx.GraphModule) -> None:
        super().__init__()
        vars(self).update(vars(with_tensors(traced, _on_meta, _identity_for)))
        self.graph = traced.graph


@contextmanager
def without_contents() -> Iterator[None]:
    """Run weightless modules: what their code makes has no contents either."""
    with torch.device("meta"), torch.inference_mode():
        yield


def _on_meta(tensor: Tensor) -> Tensor:
    empty = tensor.to("meta")
    return nn.Parameter(empty, requires_grad=False) if isinstance(tensor, nn.Parameter) else empty


def _identity_for(module: nn.Module) -> nn.Module | None:
    """An identity, for a module that keeps the shape; None for others."""
    keeps_shape = (
        isinstance(module, nn.BatchNorm2d) or operator_of_module(module).role in KEEPING_SHAPE
    )
    return nn.Identity() if keeps_shape else None
