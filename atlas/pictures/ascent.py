"""What all gradient ascents share: a random generator for each unit, and the type of the result."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from atlas.errors import NetworkError
from atlas.memory import is_out_of_memory
from atlas.text import displayable
from atlas.units import Unit


@dataclass(frozen=True)
class Ascent:
    """The result of an ascent for B units.

    Attributes:
        start: the images that it began with, (B, 3, H, W) in 0..1.
        final: the images that it ended with, (B, 3, H, W) in 0..1, perhaps of another size.
        moved: whether an image's gradient was ever nonzero, (B,).
        enlargement: how many times as large as `final` the pictures are to be shown.
        shown: the rows, and columns, of `final` that make the picture; responses are measured on
            all of `final`.
    """

    start: Tensor
    final: Tensor
    moved: Tensor
    enlargement: int = 1
    shown: slice = field(default_factory=lambda: slice(None))


def unit_generator(seed: int, unit: Unit, purpose: str) -> torch.Generator:
    """A generator seeded by the unit, so that its picture does not depend on its batch."""
    digest = hashlib.sha256(f"{seed} {unit.id} {purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def unit_channels(units: Sequence[Unit], device: torch.device) -> Tensor:
    """The units' indices in their layer, (B,)."""
    return to_device(torch.tensor([unit.index for unit in units]), device)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the host to a device, without waiting for a GPU's earlier work."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def with_gradient(score: Tensor, layer: str) -> Tensor:
    """The score of units of a layer, unchanged.

    Raises:
        NetworkError: it has no gradient, as the network's code stops it.
    """
    if not score.requires_grad:
        raise NetworkError(
            f"no gradient of {layer} reaches the image, which its pictures need; leave out "
            "detach(), inference_mode() and numpy() on the way to it, draw other --layers, or ask "
            "for --kinds that need none, such as filter,tuning,noise"
        )
    return score


def backpropagate(loss: Tensor) -> None:
    """Compute gradients.

    Raises:
        NetworkError: the network's code overwrites what they are computed from.
    """
    try:
        loss.backward()
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        cause = displayable(str(error).partition(":")[0])
        raise NetworkError(
            f"no gradient can be computed through the network's code ({cause}); let it change no "
            "tensor in place that others were computed from, or ask for --kinds that need none, "
            "such as filter,tuning,noise"
        ) from error
