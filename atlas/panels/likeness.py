"""Which units one image drives hardest."""

from __future__ import annotations

from typing import Any

import torch

from atlas.panels.natural import as_images
from atlas.photographs import Pixels
from atlas.spec import Like
from atlas.taps import Watch


def hardest_driven(watch: Watch, pixels: Pixels, spec: Like) -> dict[str, Any]:
    """The units that an image drives furthest above their averages, layer by layer.

    Args:
        watch: of the layers.
        pixels: the image as the network gets it, (size_px, size_px, 3).
        spec: how many units of each layer.

    Returns:
        JSON-ready: `units` holds by layer's name a list of [unit, answer at its strongest
        position], strongest first; `p` by class the probability of those listed.

    Raises:
        NetworkError: an answer is not finite.
    """
    units: dict[str, list[list[float]]] = {}
    shares: dict[str, float] = {}
    for reader, z in watch.sigmas(as_images([pixels], watch.device)):
        peaks = reader.checked(z.amax((2, 3))[0].float())  # (n_units,)
        top = peaks.topk(min(spec.n_units, len(peaks)))
        indices = top.indices.tolist()
        units[reader.layer.name] = [
            [index, round(value, 3)]
            for index, value in zip(indices, top.values.tolist(), strict=True)
        ]
        if reader.layer.kind == "classifier":
            p = torch.softmax(peaks, 0)[top.indices].tolist()
            shares = {str(index): round(share, 5) for index, share in zip(indices, p, strict=True)}
    return {"units": units, "p": shares}
