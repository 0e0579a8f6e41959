"""Makes variants of a unit's picture, all together, since each is pushed from the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from atlas.network.taps import Tap
from atlas.on_demand.page import Request
from atlas.on_demand.variants import VariantsRecord, VariantsSpec
from atlas.pictures.ascent import Ascent, unit_channels
from atlas.pictures.finished import peaks, quantise
from atlas.pictures.fourier import OwnResponses, Stream, climb
from atlas.pictures.strip import side_by_side
from atlas.pixels import Pixels
from atlas.recipes import Stage
from atlas.renderer import Renderer
from atlas.units import Unit


class Apart:
    """Scores images of one unit by its responses, less where an image is like the others.

    The first image is scored by the unit's response alone.

    Args:
        responses: scores each image by the unit's response.
        diversity: how much likeness costs.
    """

    def __init__(self, responses: OwnResponses, diversity: float) -> None:
        self._responses, self._diversity = responses, diversity

    def score(self, images: Tensor, jitter: Tensor, stage: Stage) -> Tensor:
        """The score of each image, which depends on all of them: (B, 3, M, M) -> (B,)."""
        features, scores = self._responses.inputs_and_score(images, stage)
        features = torch.cat([features[:1].detach(), features[1:]])  # nothing pushes the first
        others = likeness(features).fill_diagonal_(0.0)  # (B, B)
        cost = self._diversity * others[1:].sum(1) / (len(images) - 1)
        return torch.cat([scores[:1], scores[1:] * (1 - cost)])


def make(renderer: Renderer, request: Request) -> tuple[VariantsRecord, Pixels]:
    """What the unit answers to its own picture and the variants; the pictures, side by side.

    Raises:
        NetworkError: a response is not finite.
    """
    spec, facts = request.spec, renderer.network.facts
    assert isinstance(spec, VariantsSpec)
    unit = facts.unit(spec.unit)
    fast, exact = renderer.taps(facts.layer(unit.layer), spec.recipe)
    levels = quantise(variants(fast, unit, spec).final)
    images = levels / 255
    found = peaks(exact, images, unit_channels([unit] * len(images), exact.device))
    record = VariantsRecord(
        facts.identity,
        request.name,
        unit.id,
        _rounded(found),
        [_rounded(row) for row in likeness_of(exact, images)],
    )
    return record, side_by_side(levels)


def variants(tap: Tap, unit: Unit, spec: VariantsSpec) -> Ascent:
    """The ascent to a unit's own picture and its variants, each from a seed of its own."""
    streams = [Stream(spec.recipe.seed + nth, unit) for nth in range(spec.count + 1)]
    apart = Apart(OwnResponses(tap, streams, spec.recipe), spec.diversity)
    return climb(apart, streams, spec.recipe, tap.device)


@torch.no_grad()
def likeness_of(tap: Tap, images: Tensor) -> Tensor:
    """How alike images (B, 3, N, N) in 0..1 are in what a layer reads, in 0..1: (B, B)."""
    return likeness(tap.inputs(tap.normalise(images)))


def likeness(features: Tensor) -> Tensor:
    """Cosines between the Gram matrices of features, (B, C, ...) -> (B, B).

    A Gram matrix says which channels are active together, wherever that is.
    Source: Gatys et al. 2015, https://arxiv.org/abs/1505.07376
    """
    maps = F.normalize(features.float().flatten(1)).view(*features.shape[:2], -1)  # (B, C, P)
    if maps.shape[1] <= maps.shape[2]:
        grams = (maps @ maps.mT).flatten(1)
        products = grams @ grams.T
    else:  # the same, without matrices that are larger than the maps
        overlaps = torch.einsum("icp,jcq->ijpq", maps, maps)
        products = overlaps.square().sum((2, 3))
    norms = products.diagonal().clamp(min=1e-24).sqrt()
    return products / (norms[:, None] * norms)


def _rounded(values: Tensor | Sequence[float]) -> list[float]:
    return [round(float(value), 3) for value in values]
