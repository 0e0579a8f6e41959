"""What every synthesised picture shares: its seed, and what is measured when it is finished."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from atlas.pictures.picture import Picture
from atlas.taps import Tap
from atlas.units import Unit

N_PREDICTIONS = 5
STARTS = ("z", "mean", "logit", "rms")  # numbers that are also given for the first noise

Measure = Callable[[Tap, Tensor, Sequence[Unit]], list[dict[str, Any]]]


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
    return torch.tensor([unit.index for unit in units], device=device)


def quantise(images: Tensor) -> Tensor:
    """Images in 0..1 as they are stored: (B, 3, H, W), uint8."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


@torch.inference_mode()
def all_responses(tap: Tap, images: Tensor) -> Tensor:
    """What all units make of images (B, 3, H, W) in 0..1, in sigmas: (B, n_units, h, w).

    Raises:
        NetworkError: it is not finite.
    """
    return tap.all_sigmas(tap.checked(tap(tap.normalise(images.float()))))


@torch.inference_mode()
def own_responses(tap: Tap, images: Tensor, units: Sequence[Unit]) -> Tensor:
    """What each unit makes of its own image (B, 3, H, W) in 0..1, in sigmas: (B, h, w).

    Raises:
        NetworkError: it is not finite.
    """
    channels = unit_channels(units, images.device)
    raw = tap.own_maps(tap.normalise(images.float()), channels)
    return tap.sigmas(tap.checked(raw), channels)


def responses(tap: Tap, images: Tensor, units: Sequence[Unit]) -> list[dict[str, Any]]:
    """What each unit makes of its own image: mean and both extremes over positions.

    For a class, what the network says of the image.
    """
    name = tap.layer.score_name
    if name == "logit":
        return _predictions(
            all_responses(tap, images).flatten(1), unit_channels(units, images.device)
        )
    z = own_responses(tap, images, units).flatten(1)  # (B, h * w)
    return [
        {name: round(mean, 3), f"{name}_max": round(high, 3), f"{name}_min": round(low, 3)}
        for mean, high, low in zip(
            z.mean(1).tolist(), z.amax(1).tolist(), z.amin(1).tolist(), strict=True
        )
    ]


def centre_response(tap: Tap, images: Tensor, units: Sequence[Unit]) -> list[dict[str, Any]]:
    """What each unit makes of the middle of its own image."""
    middle = tap.middle(own_responses(tap, images, units))  # (B,)
    return [{tap.layer.score_name: round(value, 3)} for value in middle.tolist()]


def layer_response(tap: Tap, images: Tensor, units: Sequence[Unit]) -> list[dict[str, Any]]:
    """Root mean square activation over all units and positions, in sigmas above threshold."""
    active = (all_responses(tap, images) + tap.offset[:, None, None]).relu()
    rms = active.square().flatten(1).mean(1).sqrt().tolist()
    return [{"rms": round(value, 3)} for value in rms]


def finish(
    ascent: Ascent, units: Sequence[Unit], tap: Tap, measure: Measure = responses
) -> list[Picture]:
    """Quantise an ascent's images and measure, in float32, what the units make of them.

    Args:
        ascent: of B images.
        units: B units of the tapped layer.
        tap: a float32 tap.
        measure: what to measure.

    Raises:
        NetworkError: a score is not finite.
    """
    pixels = quantise(ascent.final)  # (B, 3, H, W)
    before, after = (measure(tap, images, units) for images in (ascent.start, pixels / 255))
    shown = pixels[:, :, ascent.shown, ascent.shown]
    images = shown.permute(0, 2, 3, 1).cpu().numpy()  # (B, H, W, 3)
    pictures = []
    for row, unit in enumerate(units):
        begun = {f"{name}_start": before[row][name] for name in STARTS if name in before[row]}
        numbers = after[row] | begun
        if not ascent.moved[row]:
            numbers["dead"] = True
        pictures.append(Picture(unit, images[row], numbers))
    return pictures


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
