"""What every synthesised picture shares: its seed, and what is measured when it is finished."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from atlas.errors import NetworkError
from atlas.network import Tap
from atlas.pictures.picture import Picture
from atlas.units import Unit

N_PREDICTIONS = 5
STARTS = ("z", "mean", "logit")  # numbers that are also given for the noise


@dataclass(frozen=True)
class Ascent:
    """What an ascent leaves: the images it began with and the ones it reached.

    Both are (B, 3, H, W) in 0..1, and may differ in size. `moved` is (B,): whether the unit's
    gradient was ever other than zero.
    """

    start: Tensor
    final: Tensor
    moved: Tensor


def unit_generator(seed: int, unit: Unit) -> torch.Generator:
    """A random stream of the unit's own, so that batch mates cannot change its picture."""
    digest = hashlib.sha256(f"{seed} {unit.id}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little", signed=True))


def unit_channels(units: Sequence[Unit], device: torch.device) -> Tensor:
    """The units' channel numbers, (B,)."""
    return torch.tensor([unit.index for unit in units], device=device)


def finish(ascent: Ascent, units: Sequence[Unit], tap: Tap) -> list[Picture]:
    """Quantise an ascent's images and measure, in float32, what the units make of them.

    Args:
        ascent: of B images.
        units: B units of the tapped layer.
        tap: a float32 tap.

    Raises:
        NetworkError: a score is not finite.
    """
    pixels = (ascent.final.clamp(0, 1) * 255).round().to(torch.uint8)  # (B, 3, H, W)
    before, after = _score(tap, ascent.start, units), _score(tap, pixels / 255, units)
    images = pixels.permute(0, 2, 3, 1).cpu().numpy()  # (B, H, W, 3)
    pictures = []
    for row, unit in enumerate(units):
        begun = {f"{name}_start": before[row][name] for name in STARTS if name in before[row]}
        numbers = after[row] | begun
        if not ascent.moved[row]:
            numbers["dead"] = True
        pictures.append(Picture(unit, images[row], numbers))
    return pictures


@torch.inference_mode()
def _score(tap: Tap, images: Tensor, units: Sequence[Unit]) -> list[dict[str, Any]]:
    channels = unit_channels(units, images.device)
    raw = tap(tap.normalise(images.float()))
    if not raw.isfinite().all():
        raise NetworkError(
            f"{tap.layer.name} gives values that are not finite for units "
            f"{units[0].index}-{units[-1].index}; check the weights"
        )
    if tap.layer.kind == "classifier":
        return _predictions(raw.flatten(1), channels)
    z = tap.sigmas(tap.unit_maps(raw, channels), channels).flatten(1)  # (B, h * w)
    name = "z" if tap.layer.batch_norm else "mean"  # sigmas need a BatchNorm's statistics
    means, peaks = z.mean(1).tolist(), z.amax(1).tolist()
    return [
        {name: round(mean, 3), f"{name}_max": round(peak, 3)}
        for mean, peak in zip(means, peaks, strict=True)
    ]


def _predictions(logits: Tensor, channels: Tensor) -> list[dict[str, Any]]:
    own = logits.gather(1, channels[:, None])  # (B, 1)
    ranks = (logits > own).sum(1)
    probabilities = logits.softmax(1)
    top_p, top_index = probabilities.topk(min(N_PREDICTIONS, logits.shape[1]), dim=1)
    return [
        {
            "logit": round(float(own[row, 0]), 3),
            "p": round(float(probabilities[row, channel]), 5),
            "rank": int(ranks[row]),
            "top5": [
                [int(index), round(float(p), 5)]
                for index, p in zip(top_index[row], top_p[row], strict=True)
            ],
        }
        for row, channel in enumerate(channels)
    ]
