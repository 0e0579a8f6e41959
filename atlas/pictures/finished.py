"""From an ascent to pictures: quantised, measured, and brought to the host.

On a GPU all of it is only asked for here; the numbers are read, and what they say is checked, when
the pictures are wanted. Until then the next batch can begin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from atlas.errors import NetworkError
from atlas.network.taps import Tap
from atlas.pictures.ascent import Ascent, unit_channels
from atlas.pictures.embedding import packed
from atlas.pictures.picture import Picture
from atlas.units import Unit

N_PREDICTIONS = 5
STARTS = {"score": "start", "rms": "rms_start"}  # what is also measured on the first noise
DIGITS = {"p": 5, "top5_p": 5}  # of the others three are kept

Measured = Mapping[str, Tensor]  # by field of the record, a row for each image
Measure = Callable[[Tap, Tensor, Tensor], dict[str, Tensor]]


class Finished:
    """Pictures on their way from a device.

    Args:
        units: B of them, whose pictures these are.
        pixels: (B, H, W, 3), uint8.
        measured: on the pictures; besides the record's fields, whether it is `finite`, and whether
            the gradient ever `moved` the picture.
        record: type of the pictures' numbers.
    """

    def __init__(
        self, units: Sequence[Unit], pixels: Tensor, measured: Measured, record: type
    ) -> None:
        self.units = tuple(units)
        self._record = record
        later = pixels.is_cuda
        self._pixels = pixels.to("cpu", non_blocking=later)
        self._measured = {
            name: values.to("cpu", non_blocking=later) for name, values in measured.items()
        }
        self._copied = torch.cuda.Event() if later else None
        if self._copied:
            # Of this device: with several, the current one may be another.
            self._copied.record(torch.cuda.current_stream(pixels.device))

    def pictures(self) -> list[Picture]:
        """Wait for the pictures.

        Raises:
            NetworkError: a unit's response is not finite.
        """
        if self._copied:
            self._copied.synchronize()
        pixels = self._pixels.numpy()
        columns = {name: values.tolist() for name, values in self._measured.items()}
        return [
            Picture(unit, pixels[row], self._recorded(unit, {n: columns[n][row] for n in columns}))
            for row, unit in enumerate(self.units)
        ]

    def _recorded(self, unit: Unit, row: dict[str, Any]) -> Any:
        """One picture's numbers."""
        if not row.pop("finite"):
            raise NetworkError(f"{unit.layer} gives values that are not finite; check the weights")
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
    """Images in 0..1 as they are stored: (B, 3, H, W), uint8."""
    return (images.clamp(0, 1) * 255).round().to(torch.uint8)


@torch.inference_mode()
def all_responses(tap: Tap, images: Tensor) -> Tensor:
    """What all units make of images (B, 3, H, W) in 0..1, in sigmas: (B, n_units, h, w)."""
    return tap.all_sigmas(tap(tap.normalise(images.float())))


@torch.inference_mode()
def own_responses(tap: Tap, images: Tensor, channels: Tensor) -> Tensor:
    """What each unit makes of its own image (B, 3, H, W) in 0..1, in sigmas: (B, h, w)."""
    return tap.sigmas(tap.own_maps(tap.normalise(images.float()), channels), channels)


def responses(tap: Tap, images: Tensor, channels: Tensor) -> dict[str, Tensor]:
    """What each unit makes of its own image: mean and both extremes over positions.

    For a class, what the network says of the image.
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


def centre_response(tap: Tap, images: Tensor, channels: Tensor) -> dict[str, Tensor]:
    """What each unit makes of the middle of its own image."""
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
    """Quantise an ascent's images and measure, in float32, what the units make of them.

    Args:
        ascent: of B images.
        units: B units of the tapped layer.
        tap: a float32 tap.
        record: type of the pictures' numbers.
        measure: what to measure.
        more: other numbers that belong to the pictures.
        embed: to say where the pictures lie among all pictures.
    """
    channels = unit_channels(units, tap.device)
    pixels = quantise(ascent.final)  # (B, 3, H, W)
    before, after = (measure(tap, images, channels) for images in (ascent.start, pixels / 255))
    starts = {start: before[name] for name, start in STARTS.items() if name in before}
    finite = before["finite"] & after["finite"]
    measured = {**after, **starts, **(more or {}), "finite": finite, "moved": ascent.moved}
    if embed:
        measured["embedding"] = embed(pixels / 255)
    shown = pixels[:, :, ascent.shown, ascent.shown].permute(0, 2, 3, 1)  # (B, H, W, 3)
    return Finished(units, shown.contiguous(), measured, record)


def _predictions(logits: Tensor, channels: Tensor) -> dict[str, Tensor]:
    own = logits.gather(1, channels[:, None])  # (B, 1)
    probabilities = logits.softmax(1)
    top_p, top_index = probabilities.topk(min(N_PREDICTIONS, logits.shape[1]), dim=1)
    return {
        "score": own[:, 0],
        "p": probabilities.gather(1, channels[:, None])[:, 0],
        "rank": (logits > own).sum(1),
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
