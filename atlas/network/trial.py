"""Try what a network's own code can do, on one image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from atlas.memory import is_out_of_memory
from atlas.text import displayable


def why_it_fails(model: nn.Module, images: Tensor) -> str:
    """Why a network gives no outputs for images, or no gradient of them; empty if it does.

    Args:
        model: the network.
        images: (B, C, H, W), in the precision of its weights.
    """
    images = images.detach().clone().requires_grad_(True)
    try:
        with torch.enable_grad():
            outputs = [each for each in tree_leaves(model(images)) if _has_gradient(each)]
            if outputs:
                sum(output.float().sum() for output in outputs).backward()
    except Exception as error:  # the network's own operations
        if is_out_of_memory(error):
            raise
        return displayable(str(error).partition("\n")[0]) or type(error).__name__
    return ""


def _has_gradient(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad
