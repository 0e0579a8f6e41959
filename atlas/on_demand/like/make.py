"""Which units one image drives hardest: measured with the network."""

from __future__ import annotations

import torch

from atlas.kinds.natural.make import as_images
from atlas.network.taps import Watch
from atlas.on_demand.like import LikeRecord, LikeSpec
from atlas.on_demand.page import Request
from atlas.pixels import Pixels
from atlas.renderer import Renderer


def make(renderer: Renderer, request: Request) -> tuple[LikeRecord, Pixels]:
    """What an image drives hardest, and the image as the network is given it."""
    network = renderer.network
    assert isinstance(request.spec, LikeSpec) and request.pixels is not None
    watch, identity = network.watch(network.facts.layers), network.facts.identity
    return (
        hardest_driven(watch, request.pixels, request.spec, identity, request.name),
        request.pixels,
    )


def hardest_driven(
    watch: Watch, pixels: Pixels, spec: LikeSpec, weights_sha256: str, file_name: str
) -> LikeRecord:
    """The units that an image drives furthest above their averages, layer by layer.

    Args:
        watch: reads the layers.
        pixels: the image as the network is given it, (size_px, size_px, 3).
        spec: the number of units per layer.
        weights_sha256: digest of the network's weights.
        file_name: name of the image's file.

    Raises:
        NetworkError: a response is not finite.
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
        if reader.layer.is_classifier:
            p = torch.softmax(peaks, 0)[top.indices].tolist()
            shares = {str(index): round(share, 5) for index, share in zip(indices, p, strict=True)}
    return LikeRecord(weights_sha256, file_name, units, shares)
