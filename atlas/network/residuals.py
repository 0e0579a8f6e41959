"""Residual branches whose gradient is damped and whose output varies from step to step.

Where a sum adds a branch to a shortcut, the gradient through the shortcut comes from what the
network saw before, and the gradient through the branch from what this one network makes of it. With
less of the latter, and with a branch that is not quite the same at every step, an ascent finds
pictures that other networks recognise too. Both were first used to make adversarial examples that
transfer.

Sources: Wu et al. 2020, "Skip Connections Matter", https://arxiv.org/abs/2002.05990, and Li et al.
2020, "Learning Transferable Adversarial Examples via Ghost Networks",
https://arxiv.org/abs/1812.03413
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from atlas.network.operators import SUMS, module_of, operation_of, operator_of
from atlas.network.outputs import shape_of

LAYER_ROLES = ("conv", "linear")


class ResidualBranch(nn.Module):
    """Passes a branch's maps on, each channel of each image times a gain, and damps their gradient.

    Args:
        n_channels: number C of the maps' channels.
        gradient: share of the gradient that is passed back.
    """

    def __init__(self, n_channels: int, gradient: float) -> None:
        super().__init__()
        self.n_channels = n_channels
        self.gradient = gradient
        self.gains: Tensor | None = None  # (B, C); None: all are 1

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        ones = maps.new_ones(1, 1, 1, 1)
        gains = ones if self.gains is None else self.gains[:, :, None, None].to(maps.dtype)
        passed_on: Tensor = _Damped.apply(maps, gains, self.gradient)
        return passed_on


class _Damped(torch.autograd.Function):
    """Multiplies by gains; the gradient is multiplied by a share as well."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, gains: Tensor, gradient: float) -> Tensor:
        ctx.gains, ctx.gradient = gains, gradient
        return maps * gains

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return grads[0] * (ctx.gains * ctx.gradient), None, None


class ResidualBranches:
    """All residual branches of a copy of a graph.

    Attributes:
        graph: the copy, which shares the modules of the original.
    """

    def __init__(self, original: fx.GraphModule, gradient: float) -> None:
        """Find the branches.

        Args:
            original: a graph with shapes; it is left as it is.
            gradient: share of the gradient that each branch passes back.
        """
        self.graph = fx.GraphModule(original, copy.deepcopy(original.graph))
        self.branches: list[ResidualBranch] = []
        for total, branch in residual_branches(self.graph):
            shape = shape_of(branch)
            assert shape is not None
            module = ResidualBranch(shape[1], gradient)
            name = f"residual_branch_{len(self.branches)}"
            self.branches.append(module)
            self.graph.add_module(name, module)
            with self.graph.graph.inserting_before(total):
                damped = self.graph.graph.call_module(name, (branch,))
            total.replace_input_with(branch, damped)
        self.graph.recompile()

    def vary(self, generators: Sequence[torch.Generator], noise: float, device: Any) -> None:
        """Draw new gains, uniform in 1 +- noise, for every channel of every branch.

        Args:
            generators: each image's own, so that its picture does not depend on its batch.
            noise: largest difference of a gain from 1.
            device: where the network is.
        """
        sizes = [branch.n_channels for branch in self.branches]
        if not sizes:
            return
        draws = torch.stack([torch.rand(sum(sizes), generator=each) for each in generators])
        gains = 1 + noise * (2 * draws.to(device) - 1)  # (B, channels of all branches)
        for branch, own in zip(self.branches, gains.split(sizes, dim=1), strict=True):
            branch.gains = own


def residual_branches(graph: fx.GraphModule) -> list[tuple[fx.Node, fx.Node]]:
    """Each sum of two maps one of which went through more layers: the sum, and that map.

    Maps are compared by the layers that lie between them and the image, on the longest way.
    """
    depths: dict[fx.Node, int] = {}
    found = []
    for node in graph.graph.nodes:
        module = module_of(node, graph)
        before = [depths[each] for each in node.all_input_nodes]
        is_layer = operator_of(node, module).role in LAYER_ROLES
        depths[node] = max(before, default=0) + is_layer
        if operation_of(node, module) in SUMS and len(before) == 2 and before[0] != before[1]:
            branch = max(node.all_input_nodes, key=depths.__getitem__)
            shape = shape_of(branch)
            if shape is not None and len(shape) == 4:
                found.append((node, branch))
    return found
