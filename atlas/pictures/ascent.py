"""What every ascent shares: the randomness of each unit, and what is left at the end."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from atlas.units import Unit


@dataclass(frozen=True)
class Ascent:
    """What an ascent leaves: the images it began with and the ones it reached.

    Both are (B, 3, H, W) in 0..1, and may differ in size. `moved` is (B,): whether the unit's
    gradient was ever other than zero. `shown` are the rows, and columns, that make the picture:
    the response is measured on the whole.
    """

    start: Tensor
    final: Tensor
    moved: Tensor
    shown: slice = field(default_factory=lambda: slice(None))


def unit_generator(seed: int, unit: Unit, purpose: str) -> torch.Generator:
    """A random stream of the unit's own, so that batch mates cannot change its picture."""
    digest = hashlib.sha256(f"{seed} {unit.id} {purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def unit_channels(units: Sequence[Unit], device: torch.device) -> Tensor:
    """The units' channel numbers, (B,)."""
    return to_device(torch.tensor([unit.index for unit in units]), device)


def to_device(made: Tensor, device: torch.device) -> Tensor:
    """A tensor of the host on a device, without waiting for a GPU that is still at work."""
    if device.type != "cuda":
        return made.to(device)
    return made.pin_memory().to(device, non_blocking=True)
