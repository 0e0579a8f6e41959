"""Pictures of one network's units, shown to the units of the other."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from atlas.comparing import ExchangeRecord
from atlas.comparing.classes import Pair
from atlas.kinds.natural.make import as_images
from atlas.network.network import Network
from atlas.network.taps import Tap
from atlas.pictures.finished import responses
from atlas.pixels import Pixels
from atlas.units import Layer

DIGITS = 3  # after the point, of what is stored
N_AT_ONCE = 8  # pictures that are shown together


def exchange_record(
    a: Network,
    b: Network,
    layer: Layer,
    pairs: Sequence[Pair],
    pictures: tuple[Mapping[int, Pixels], Mapping[int, Pixels]],
) -> ExchangeRecord:
    """Show the pictures of pairs of units to both units of each pair.

    Args:
        a: the first network.
        b: the second.
        layer: the layer that the units are in.
        pairs: units of A, each with a unit of B.
        pictures: excitatory pictures (H, W, 3) of units of A, and of B, by index.

    Raises:
        NetworkError: a response is not finite.
    """
    units_a, units_b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    tap_a, tap_b = (network.tap(network.facts.layer(layer.name), "float32") for network in (a, b))
    of_a = [pictures[0].get(index) for index in units_a]
    of_b = [pictures[1].get(index) for index in units_b]
    return ExchangeRecord(
        a_to_a=peaks(tap_a, of_a, units_a, a.facts.input_size_px),
        b_to_a=peaks(tap_b, of_a, units_b, b.facts.input_size_px),
        b_to_b=peaks(tap_b, of_b, units_b, b.facts.input_size_px),
        a_to_b=peaks(tap_a, of_b, units_a, a.facts.input_size_px),
    )


def peaks(
    tap: Tap, pictures: Sequence[Pixels | None], units: Sequence[int], size_px: int
) -> list[float | None]:
    """The response of each unit to its picture, at its strongest position; None without one.

    Args:
        tap: a float32 tap on the units' layer.
        pictures: (H, W, 3) each.
        units: indices of the units.
        size_px: side of the images that the network takes, for layers that take no other.
    """
    found: list[float | None] = [None] * len(pictures)
    shown = [nth for nth, picture in enumerate(pictures) if picture is not None]
    for start in range(0, len(shown), N_AT_ONCE):
        batch = shown[start : start + N_AT_ONCE]
        images = as_images([pictures[nth] for nth in batch], tap.device)  # type: ignore[misc]
        channels = torch.tensor([units[nth] for nth in batch], device=tap.device)
        reached = _peaks(tap, _fitted(tap, images, size_px), channels)
        for nth, peak in zip(batch, reached, strict=True):
            found[nth] = round(peak, DIGITS)
    return found


def decoded(data: bytes) -> Pixels:
    """A stored picture as pixels, (H, W, 3)."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def _fitted(tap: Tap, images: Tensor, size_px: int) -> Tensor:
    if not tap.layer.takes_one_size:
        return images
    return F.interpolate(images, (size_px, size_px), mode="bilinear", antialias=True)


def _peaks(tap: Tap, images: Tensor, channels: Tensor) -> list[float]:
    measured = responses(tap, images, channels)
    peak = measured.get("highest", measured["score"])
    tap.checked(peak)
    return [float(each) for each in peak.tolist()]
