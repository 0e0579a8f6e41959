"""Values in a traced network that do not depend on the image, such as weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from atlas.network.operators import argument

PARAMETRIZATIONS = ".parametrizations"  # torch keeps the original of a parametrised weight there


class Constants:
    """The values of nodes that do not depend on the image."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.traced = traced
        self._values: dict[fx.Node, Any] = {}
        self._nodes: set[fx.Node] = set()
        self._parameters = {name for name, _ in traced.named_parameters(remove_duplicate=False)}
        for node in traced.graph.nodes:
            inputs = node.all_input_nodes
            if node.op == "get_attr" or (inputs and self._nodes.issuperset(inputs)):
                self._nodes.add(node)

    def has(self, value: Any) -> bool:
        """Whether an argument of a node is constant."""
        return not isinstance(value, fx.Node) or value in self._nodes

    def is_learnt(self, node: fx.Node) -> bool:
        """Whether a node is constant and depends on a parameter: a matrix of weights."""
        if node not in self._nodes:
            return False
        if node.op == "get_attr":
            return str(node.target) in self._parameters
        return any(map(self.is_learnt, node.all_input_nodes))

    @torch.no_grad()
    def value(self, node: Any) -> Any:
        """The value of a constant argument."""
        if not isinstance(node, fx.Node):
            return node
        if node not in self._values:
            args = fx.node.map_arg(node.args, self.value)
            kwargs = fx.node.map_arg(node.kwargs, self.value)
            call = getattr(fx.Interpreter(self.traced), node.op)
            self._values[node] = call(node.target, args, kwargs)
        return self._values[node]

    def owner(self, node: fx.Node) -> str:
        """The name of the module that owns the weight of a functional call."""
        first = argument(node, 1, "weight" if "weight" in node.kwargs else "running_mean")
        while first.op != "get_attr":
            first = first.all_input_nodes[0]
        path = str(first.target).partition(PARAMETRIZATIONS)[0]
        return path if path != first.target else path.rpartition(".")[0] or path
