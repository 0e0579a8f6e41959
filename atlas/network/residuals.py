"""Residual branches whose channels vary from step to step, and whose gradients count less.

Where a sum adds a branch to a shortcut, the branch is what this one network has learnt to add. With
channels that are a little stronger or weaker at every step, and with gradients that come more
through the shortcuts, an ascent finds what drives a class whatever becomes of single channels, and
other networks recognise that more often. Both were first used to make adversarial examples that
transfer.

Sources: Li et al. 2020, "Learning Transferable Adversarial Examples via Ghost Networks",
https://arxiv.org/abs/1812.03413; Wu et al. 2020, "Skip Connections Matter: On the Transferability
of Adversarial Examples Generated with ResNets", https://arxiv.org/abs/2002.05990
"""

from __future__ import annotations

import copy

from torch import Tensor, fx, nn

from atlas.network.operators import SUMS, module_of, operation_of, operator_of
from atlas.network.outputs import shape_of

LAYER_ROLES = ("conv", "linear")
LAYERS = (nn.Conv2d, nn.Linear)  # and subclasses that compute in their own way


class ResidualBranch(nn.Module):
    """Passes a branch's maps on, each channel of each image times a gain.

    Args:
        n_channels: number C of the maps' channels.
        gradient: factor of the gradients that go back through it.
    """

    def __init__(self, n_channels: int, gradient: float = 1.0) -> None:
        super().__init__()
        self.n_channels = n_channels
        self.gradient = gradient
        self.gains: Tensor | None = None  # (B, C); None: all are 1

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if self.gains is None:
            maps = maps.clone()  # what follows may be computed in place
        else:
            maps = maps * self.gains[:, :, None, None].to(maps.dtype)
        if self.gradient != 1 and maps.requires_grad:
            maps.register_hook(self._damped)
        return maps

    def _damped(self, gradient: Tensor) -> Tensor:
        return gradient * self.gradient


class ResidualBranches:
    """All residual branches of a copy of a graph.

    Attributes:
        graph: the copy, which shares the modules of the original.
    """

    def __init__(self, original: fx.GraphModule, gradient: float = 1.0) -> None:
        """Find the branches of a graph with shapes, which is left as it is.

        Args:
            original: the graph.
            gradient: factor of the gradients that go back through the branches.
        """
        self.graph = fx.GraphModule(original, copy.deepcopy(original.graph))
        self._branches: list[ResidualBranch] = []
        for total, branch in residual_branches(self.graph):
            shape = shape_of(branch)
            assert shape is not None
            name = f"residual_branch_{len(self._branches)}"
            self._branches.append(ResidualBranch(shape[1], gradient))
            self.graph.add_module(name, self._branches[-1])
            with self.graph.graph.inserting_before(total):
                varied = self.graph.graph.call_module(name, (branch,))
            total.replace_input_with(branch, varied)
        self.graph.recompile()

    @property
    def n_channels(self) -> int:
        """Number of channels of all branches."""
        return sum(self.sizes)

    @property
    def sizes(self) -> list[int]:
        """Number of channels of each branch."""
        return [branch.n_channels for branch in self._branches]

    def scale(self, gains: Tensor) -> None:
        """Scale each channel of each image from now on, (B, n_channels), branch after branch."""
        for branch, own in zip(self._branches, gains.split(self.sizes, dim=1), strict=True):
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
        is_layer = isinstance(module, LAYERS) or operator_of(node, module).role in LAYER_ROLES
        depths[node] = max(before, default=0) + is_layer
        if operation_of(node, module) in SUMS and len(before) == 2 and before[0] != before[1]:
            branch = max(node.all_input_nodes, key=depths.__getitem__)
            shape = shape_of(branch)
            if shape is not None and len(shape) == 4:
                found.append((node, branch))
    return found
