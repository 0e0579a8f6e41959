"""Makes caricatures: pictures that a layer answers to as to a photograph, only more so."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.kinds.natural.make import as_images
from atlas.network.taps import Tap
from atlas.on_demand.caricature import CaricatureRecord, CaricatureSpec
from atlas.on_demand.page import Request
from atlas.pictures.ascent import Ascent
from atlas.pictures.finished import quantise
from atlas.pictures.fourier import Stream, climb, jittered
from atlas.pictures.strip import side_by_side
from atlas.pixels import Pixels
from atlas.recipes import Stage
from atlas.renderer import Renderer

LEAST_COSINE = 0.1  # that counts; so the score has a gradient even where the cosine is not positive


class Likeness:
    """Scores images by how much a layer's responses to them are those to a photograph.

    Args:
        tap: a tap on the layer.
        photograph: in 0..1, (1, 3, size_px, size_px).
        cosine_power: the higher, the less responses count that the photograph does not have.
    """

    def __init__(self, tap: Tap, photograph: Tensor, cosine_power: float) -> None:
        self._tap, self._photograph, self._power = tap, photograph, cosine_power

    def score(self, images: Tensor, jitter: Tensor, stage: Stage) -> Tensor:
        """The score of each image: (B, 3, M, M) -> (B,). The photograph is jittered alike."""
        photographs = resized(self._photograph, stage.size_px).expand(len(images), -1, -1, -1)
        with torch.no_grad():
            wanted = self._responses(jittered(photographs, jitter, stage.seen_px))
        found = self._responses(images)  # (B, n_units * h * w)
        cosine = F.cosine_similarity(found, wanted)
        projection = (found * F.normalize(wanted)).sum(1) / found.shape[1] ** 0.5
        score: Tensor = projection * cosine.clamp(min=LEAST_COSINE) ** self._power
        return score

    @torch.no_grad()
    def cosine(self, images: Tensor) -> float:
        """The cosine between the responses to an image (1, 3, N, N) and to the photograph."""
        photograph = resized(self._photograph, images.shape[-1])
        cosines = F.cosine_similarity(self._responses(images), self._responses(photograph))
        return self._tap.checked(cosines).item()

    def _responses(self, images: Tensor) -> Tensor:
        return self._tap.all_sigmas(self._tap(self._tap.normalise(images))).flatten(1)


def make(renderer: Renderer, request: Request) -> tuple[CaricatureRecord, Pixels]:
    """How alike the two are to the layer; the photograph and the caricature, side by side.

    Raises:
        NetworkError: a response is not finite.
    """
    spec, pixels, network = request.spec, request.pixels, renderer.network
    assert isinstance(spec, CaricatureSpec) and pixels is not None
    photograph = as_images([pixels], network.device)
    fast, exact = renderer.taps(network.facts.layer(spec.layer), spec.recipe)
    ascent = caricature(fast, photograph, spec)
    shown = quantise(torch.cat([resized(photograph, ascent.final.shape[-1]), ascent.final]))
    likeness = Likeness(exact, photograph, spec.cosine_power)
    record = CaricatureRecord(
        network.facts.identity,
        request.name,
        spec.layer,
        round(likeness.cosine(shown[1:] / 255), 3),
        round(likeness.cosine(ascent.start), 3),
    )
    return record, side_by_side(shown)


def caricature(tap: Tap, photograph: Tensor, spec: CaricatureSpec) -> Ascent:
    """The ascent to the caricature of a photograph in 0..1, (1, 3, size_px, size_px)."""
    likeness = Likeness(tap, photograph, spec.cosine_power)
    return climb(likeness, [Stream(spec.recipe.seed, tap.layer.whole)], spec.recipe, tap.device)


def resized(photograph: Tensor, size_px: int) -> Tensor:
    """A photograph (1, 3, N, N) at another size."""
    if photograph.shape[-1] == size_px:
        return photograph
    return F.interpolate(photograph, size=size_px, mode="bilinear", antialias=True)
