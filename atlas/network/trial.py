"""Try what a network's own code can do, on one image."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from atlas.memory import is_out_of_memory
from atlas.network.gradients import gradients_let_through
from atlas.text import displayable

TOLERANCE = 1e-3  # relative, of answers that a GPU may add up in another order


def why_it_fails(model: nn.Module, images: Tensor) -> str:
    """Why a network gives no outputs for images, or no gradient of them; empty if it does.

    Args:
        model: the network.
        images: (B, C, H, W), in the precision of its weights.
    """
    images = images.detach().clone().requires_grad_(True)
    try:
        with torch.enable_grad(), gradients_let_through():
            outputs = [each for each in tree_leaves(model(images)) if _has_gradient(each)]
            if outputs:
                sum(output.float().sum() for output in outputs).backward()
    except Exception as error:  # the network's own operations
        if is_out_of_memory(error):
            raise
        return displayable(str(error).partition("\n")[0]) or type(error).__name__
    return ""


def is_random(model: nn.Module, images: Tensor) -> bool:
    """Whether a network answers the same images differently each time.

    Args:
        model: the network.
        images: (B, C, H, W), as the network is given them; False if it cannot be run on them.
    """
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=[]):
            first, second = ([*_numbers(model(images.clone()))] for _ in range(2))
    except Exception as error:  # the network's own operations
        if is_out_of_memory(error):
            raise
        return False
    pairs = zip(first, second, strict=True)
    return any(not torch.allclose(*pair, rtol=TOLERANCE, equal_nan=True) for pair in pairs)


def _numbers(outputs: object) -> Iterator[Tensor]:
    for each in tree_leaves(outputs):
        if isinstance(each, Tensor) and each.is_floating_point():
            yield each


def _has_gradient(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad
