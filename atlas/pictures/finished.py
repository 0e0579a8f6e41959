"""Finished pictures from the result of an ascent: quantise, measure, and copy them to the host.

On a GPU this work is only queued at first. The numbers are read and checked when the pictures are
fetched, so that the next batch can start before that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.errors import NetworkError
from atlas.network.taps import Tap
from atlas.pictures.ascent import Ascent, unit_channels
from atlas.pictures.embedding import packed
from atlas.pictures.picture import Picture
from atlas.units import Unit

N_PREDICTIONS = 5
STARTS = {"score": "start", "rms": "rms_start"}  # fields for what is also measured on start images
DIGITS = {"p": 5, "top5_p": 5}  # decimals of these fields; others have three

Measured = Mapping[str, Tensor]  # by field of the record, one row per image
Measure = Callable[[Tap, Tensor, Tensor], dict[str, Tensor]]


class Finished:
    """Pictures whose copy from a device to the host may still be under way.

    Args:
        units: the B units of the pictures.
        pixels: (B, H, W, 3), uint8.
        measured: the fields of the record, and for each picture `finite`, whether all responses
            are finite, and `moved`, whether its gradient was ever nonzero.
        record: type of the pictures' records.
    """

    def __init__(
        self, units: Sequence[Unit], pixels: Tensor, measured: Measured, record: type
    ) -> None:
        self.units = tuple(units)
        self._record = record
        is_async = pixels.is_cuda
        self._pixels = pixels.to("cpu", non_blocking=is_async)
        self._measured = {
            name: values.to("cpu", non_blocking=is_async) for name, values in measured.items()
        }
        self._copied = torch.cuda.Event() if is_async else None
        if self._copied:
            # The pixels' device is named because torch's current device may be another GPU.
            self._copied.record(torch.cuda.current_stream(pixels.device))

    def pictures(self) -> list[Picture]:
        """Wait for the copy and return the pictures.

        Raises:
            NetworkError: a unit's response is not finite.
        """
        if self._copied:
            self._copied.synchronize()
        pixels = self._pixels.numpy()
        columns = {name: values.tolist() for name, values in self._measured.items()}
        return [
            Picture(unit, pixels[row], self._record_of(unit, {n: columns[n][row] for n in columns}))
            for row, unit in enumerate(self.units)
        ]

    def _record_of(self, unit: Unit, row: dict[str, Any]) -> Any:
        """The record of one picture, from its row of the measured numbers."""
        if not row.pop("finite"):
            raise NetworkError.not_finite(unit.layer)
        moved = row.pop("moved")
        embedding = row.pop("embedding", None)
        fields = {name: _rounded(value, DIGITS.get(name, 3)) for name, value in row.items()}
        if embedding:
            fields["embedding"] = packed(embedding)
        if "top5_p" in fields:
            indices, shares = fields.pop("top5_index"), fields.pop("top5_p")
            fields["top5"] = [list(pair) for pair in zip(indices, shares, strict=True)]
        return self._record(**fields, dead=not moved)


def quantise(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in 0..1 as the 8-bit levels that are stored, uint8."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


def enlarged(images: Tensor, factor: int) -> Tensor:
    """Images (B, 3, H, W) smoothly enlarged: (B, 3, factor * H, factor * W), perhaps beyond 0..1.

    Transforming their spectra to a larger size would be sharper, and rings along the borders.
    """
    return F.interpolate(images, scale_factor=factor, mode="bicubic", align_corners=False)


@torch.inference_mode()
def all_responses(tap: Tap, images: Tensor) -> Tensor:
    """All units' responses to images (B, 3, H, W) in 0..1, in sigmas: (B, n_units, h, w)."""
    return tap.all_sigmas(tap(tap.normalise(images.float())))


@torch.inference_mode()
def own_responses(tap: Tap, images: Tensor, channels: Tensor) -> Tensor:
    """Each unit's response to its own image (B, 3, H, W) in 0..1, in sigmas: (B, h, w)."""
    return tap.sigmas(tap.own_maps(tap.normalise(images.float()), channels), channels)


def responses(tap: Tap, images: Tensor, channels: Tensor) -> dict[str, Tensor]:
    """Each unit's response to its own image: the mean and both extremes over positions.

    For a class: its logit, probability and rank, and the classes of the highest probability.
    """
    if tap.layer.is_classifier:
        return _predictions(all_responses(tap, images).flatten(1), channels)
    z = own_responses(tap, images, channels).flatten(1)  # (B, h * w)
    return {
        "score": z.mean(1),
        "highest": z.amax(1),
        "lowest": z.amin(1),
        "finite": z.isfinite().all(1),
    }


def peaks(tap: Tap, images: Tensor, channels: Tensor) -> Tensor:
    """Each unit's response to its own image in 0..1, at the strongest position: (B,).

    Raises:
        NetworkError: a response is not finite.
    """
    return tap.checked(own_responses(tap, images, channels).amax((1, 2)))


def centre_response(tap: Tap, images: Tensor, channels: Tensor) -> dict[str, Tensor]:
    """Each unit's response to its own image at the middle position."""
    middle = tap.middle(own_responses(tap, images, channels))  # (B,)
    return {"score": middle, "finite": middle.isfinite()}


def layer_response(tap: Tap, images: Tensor, channels: Tensor) -> dict[str, Tensor]:
    """Root mean square activation over all units and positions, in sigmas above threshold."""
    active = (all_responses(tap, images) + tap.offset[:, None, None]).relu()
    rms = active.square().flatten(1).mean(1).sqrt()
    return {"rms": rms, "finite": rms.isfinite()}


def finish(
    ascent: Ascent,
    units: Sequence[Unit],
    tap: Tap,
    record: type,
    measure: Measure = responses,
    more: Measured | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
) -> Finished:
    """Quantise an ascent's images and measure, in float32, the units' responses to them.

    Args:
        ascent: the result for B images.
        units: B units of the tapped layer.
        tap: a float32 tap on the units' layer.
        record: type of the pictures' records.
        measure: computes fields of the record from a tap, images and channels.
        more: further fields of the record.
        embed: computes the images' embeddings; None for records without one.
    """
    channels = unit_channels(units, tap.device)
    pixels = quantise(ascent.final)  # (B, 3, H, W)
    at_start, at_end = (measure(tap, images, channels) for images in (ascent.start, pixels / 255))
    starts = {start: at_start[name] for name, start in STARTS.items() if name in at_start}
    finite = at_start["finite"] & at_end["finite"]
    measured = {**at_end, **starts, **(more or {}), "finite": finite, "moved": ascent.moved}
    if embed:
        measured["embedding"] = embed(pixels / 255)
    shown = pixels[:, :, ascent.shown, ascent.shown]
    if ascent.enlargement > 1:
        shown = quantise(enlarged(ascent.final, ascent.enlargement))
        measured["enlargement"] = torch.full_like(channels, ascent.enlargement)
    shown = shown.permute(0, 2, 3, 1)  # (B, H, W, 3)
    return Finished(units, shown.contiguous(), measured, record)


def _predictions(logits: Tensor, channels: Tensor) -> dict[str, Tensor]:
    own_logit = logits.gather(1, channels[:, None])  # (B, 1)
    probabilities = logits.softmax(1)
    top_p, top_index = probabilities.topk(min(N_PREDICTIONS, logits.shape[1]), dim=1)
    return {
        "score": own_logit[:, 0],
        "p": probabilities.gather(1, channels[:, None])[:, 0],
        "rank": (logits > own_logit).sum(1),
        "top5_index": top_index,
        "top5_p": top_p,
        "finite": logits.isfinite().all(1),
    }


def _rounded(value: Any, digits: int) -> Any:
    if isinstance(value, list):
        return [_rounded(each, digits) for each in value]
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value
