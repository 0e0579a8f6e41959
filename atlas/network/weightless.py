"""The modules of a graph without their weights, with which shapes are found without computing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

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
        vars(self).update(_emptied(vars(traced), {}))
        self.graph = traced.graph


@contextmanager
def without_contents() -> Iterator[None]:
    """Run weightless modules: what their code makes has no contents either."""
    with torch.device("meta"), torch.inference_mode():
        yield


def _emptied(attributes: Mapping[str, Any], twins: dict[int, nn.Module]) -> dict[str, Any]:
    """A module's attributes with tensors that have no contents.

    Args:
        attributes: of the module.
        twins: the modules that were made before, by the ids of those that they are made from.
    """
    return {
        **_on_meta(attributes),
        "_parameters": _on_meta(attributes["_parameters"]),
        "_buffers": _on_meta(attributes["_buffers"]),
        "_modules": {
            name: None if child is None else _twin(child, twins)
            for name, child in attributes["_modules"].items()
        },
    }


def _twin(module: nn.Module, twins: dict[int, nn.Module]) -> nn.Module:
    if isinstance(module, nn.BatchNorm2d) or operator_of_module(module).role in KEEPING_SHAPE:
        return nn.Identity()
    if id(module) not in twins:
        # Not with `copy`, which modules with computed weights refuse.
        twin = twins[id(module)] = object.__new__(type(module))
        vars(twin).update(_emptied(vars(module), twins))
    return twins[id(module)]


def _on_meta(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values, of tensors the shapes alone."""
    return {
        name: nn.Parameter(value.to("meta"), requires_grad=False)
        if isinstance(value, nn.Parameter)
        else value.to("meta")
        if isinstance(value, Tensor)
        else value
        for name, value in values.items()
    }
